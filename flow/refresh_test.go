package flow

import (
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/tests/authelia"
)

// offline asks for refresh tokens.
func offline(s *setup) {
	s.config.Scopes = append(s.config.Scopes, "offline_access")
}

// signedIn returns what came of a sign-in by alice.
func (w *world) signedIn() *Result {
	w.Helper()
	result, err := w.signIn()
	if err != nil {
		w.Fatal(err)
	}
	return result
}

// A refresh is one token request, and what comes back replaces all tokens.
func TestRefresh(t *testing.T) {
	t.Parallel()
	w := newWorld(t, offline)
	result, err := w.signIn()
	if err != nil {
		t.Fatal(err)
	}
	w.Advance(time.Minute)
	fresh, err := w.rp.Refresh(t.Context(), result.Tokens, result.Identity)
	if err != nil {
		t.Fatal(err)
	}
	old := result.Tokens
	if fresh.Access == old.Access || fresh.Refresh == old.Refresh || fresh.ID == old.ID || fresh.Refresh == "" || !fresh.Expires.After(old.Expires) {
		t.Errorf("got %+v for %+v", fresh, old)
	}
	w.calls(authelia.EndpointToken, 2)
	if request := w.last(authelia.EndpointToken); request.Form.Get("grant_type") != "refresh_token" || request.Form.Get("refresh_token") != old.Refresh || request.Form.Get("client_secret") != "" {
		t.Errorf("%+v", request.Form)
	}
	if _, err := w.rp.Recheck(t.Context(), *fresh, result.Identity); err != nil {
		t.Error(err)
	}
	_, err = w.rp.Recheck(t.Context(), old, result.Identity) // it ended with the refresh
	failsAs(t, err, ErrTokensEnded, "")
}

// What a refresh may end with, and what is refused of its answer. A refused
// ID token names what OpenID Connect Core 1.0 section 12.2 asks for.
func TestRefreshRefused(t *testing.T) {
	t.Parallel()
	idToken := func(edit authelia.Edit) func(*authelia.Server) {
		return func(op *authelia.Server) {
			op.Misbehave(func(m *authelia.Misbehaviour) { m.IDToken = edit })
		}
	}
	answer := func(edit authelia.Edit) func(*authelia.Server) {
		return func(op *authelia.Server) {
			op.Misbehave(func(m *authelia.Misbehaviour) { m.TokenResponse = edit })
		}
	}
	fault := func(f authelia.Fault) func(*authelia.Server) {
		return func(op *authelia.Server) {
			op.Misbehave(func(m *authelia.Misbehaviour) { m.Faults = map[string]authelia.Fault{authelia.EndpointToken: f} })
		}
	}
	for name, row := range map[string]struct {
		change func(*authelia.Server)
		want   error
		text   string
	}{
		"good":                            {func(*authelia.Server) {}, nil, ""},
		"expired":                         {func(op *authelia.Server) { op.ExpireRefreshTokens() }, ErrTokensEnded, "invalid_grant"},
		"revoked":                         {func(op *authelia.Server) { op.RevokeTokens("alice") }, ErrTokensEnded, "invalid_grant"},
		"down":                            {func(op *authelia.Server) { op.Down() }, ErrProviderUnavailable, ""},
		"503":                             {fault(authelia.Fault{Status: http.StatusServiceUnavailable}), ErrProviderUnavailable, ""},
		"rate limited":                    {fault(authelia.Fault{Status: http.StatusTooManyRequests}), ErrProviderUnavailable, ""},
		"oidcc-client-test-refresh-token": {answer(authelia.Without("id_token")), nil, ""},
		"no new refresh token":            {answer(authelia.Without("refresh_token")), nil, ""},
		"no access token":                 {answer(authelia.Without("access_token")), ErrIDTokenInvalid, ""},
		"token_type another":              {answer(authelia.Set("token_type", "mac")), ErrTokensEnded, "token_type"},
		"nonce left out":                  {idToken(authelia.Without("nonce")), nil, ""},
		"nonce another":                   {idToken(authelia.Set("nonce", "another")), ErrIDTokenInvalid, "nonce"},
		"auth_time left out":              {idToken(authelia.Without("auth_time")), nil, ""},
		"auth_time another":               {idToken(authelia.Set("auth_time", 1)), ErrIDTokenInvalid, "auth_time"},
		"aud another":                     {idToken(authelia.Set("aud", []string{"another"})), ErrIDTokenInvalid, "audience"},
		"at_hash another":                 {idToken(authelia.Set("at_hash", "AAAAAAAAAAAAAAAAAAAAAA")), ErrIDTokenInvalid, "at_hash"},
		"oidcc-client-test-refresh-token-invalid-issuer": {idToken(authelia.Set("iss", "https://evil.example")), ErrIDTokenInvalid, "provider"},
		"oidcc-client-test-refresh-token-invalid-sub":    {idToken(authelia.Set("sub", "another")), ErrIDTokenInvalid, "sub"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, offline)
			result, err := w.signIn()
			if err != nil {
				t.Fatal(err)
			}
			row.change(w.op)
			fresh, err := w.rp.Refresh(t.Context(), result.Tokens, result.Identity)
			failsAs(t, err, row.want, row.text)
			if err == nil && (fresh.Refresh == "" || fresh.ID == "") {
				t.Errorf("something was lost: %+v", fresh)
			}
			if calls := w.op.Calls(authelia.EndpointToken); calls > 2 {
				t.Errorf("%d token requests", calls)
			}
		})
	}
}

// Without a refresh token, or with somebody else's, nobody is asked.
func TestRefreshWithoutToken(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	result, err := w.signIn()
	if err != nil {
		t.Fatal(err)
	}
	_, err = w.rp.Refresh(t.Context(), result.Tokens, result.Identity)
	failsAs(t, err, ErrTokensEnded, "")
	result.Tokens.Refresh, result.Identity.Issuer = "x", "https://another.example"
	_, err = w.rp.Refresh(t.Context(), result.Tokens, result.Identity)
	failsAs(t, err, ErrTokensEnded, "")
	w.calls(authelia.EndpointToken, 1)
}

// Revoked tokens open nothing, and the client authenticates in the way that
// Authelia has for this endpoint, whatever it does at the token endpoint.
func TestRevoke(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*setup){
		"basic": func(*setup) {},
		"post":  func(s *setup) { s.config.ClientAuth, s.client.AuthMethod = ClientAuthPost, "client_secret_post" },
		"a secret that must be encoded": func(s *setup) {
			s.config.ClientSecret, s.client.Secret = "a%b +c:d", "a%b +c:d"
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, offline, change)
			result, err := w.signIn()
			if err != nil {
				t.Fatal(err)
			}
			if err := w.rp.Revoke(t.Context(), result.Tokens, result.Identity); err != nil {
				t.Error(err)
			}
			_, err = w.rp.Recheck(t.Context(), result.Tokens, result.Identity)
			failsAs(t, err, ErrTokensEnded, "")
			_, err = w.rp.Refresh(t.Context(), result.Tokens, result.Identity)
			failsAs(t, err, ErrTokensEnded, "")
		})
	}
}

// A provider that revokes nothing is not asked; one that refuses, or is away, is an error.
func TestRevokeRefused(t *testing.T) {
	t.Parallel()
	t.Run("no endpoint", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.op.Misbehave(func(m *authelia.Misbehaviour) { m.Metadata = authelia.Without("revocation_endpoint") })
		result, err := w.signIn()
		if err != nil {
			t.Fatal(err)
		}
		if err := w.rp.Revoke(t.Context(), result.Tokens, result.Identity); err != nil {
			t.Error(err)
		}
	})
	w := newWorld(t)
	result, err := w.signIn()
	if err != nil {
		t.Fatal(err)
	}
	w.op.UpdateClient("romm", func(c *authelia.Client) { c.Secret = "another" })
	err = w.rp.Revoke(t.Context(), result.Tokens, result.Identity)
	if refused, ok := errors.AsType[*TokenError](err); !ok || refused.Status != http.StatusUnauthorized {
		t.Errorf("got %v", err)
	}
	w.op.Down()
	failsAs(t, w.rp.Revoke(t.Context(), result.Tokens, result.Identity), ErrProviderUnavailable, "")
}

// A refresh is one request, whatever happens: a second one with a token that
// was rotated kills the new tokens too. What ends the tokens is told from what
// may pass.
func TestRefreshIsNeverRepeated(t *testing.T) {
	t.Parallel()
	fault := func(status int, body string) authelia.Fault {
		return authelia.Fault{Status: status, Body: body, Header: http.Header{"Content-Type": {"application/json"}}}
	}
	for name, row := range map[string]struct {
		fault authelia.Fault
		ended bool
		want  error
	}{
		"invalid_grant":      {fault(400, `{"error":"invalid_grant"}`), true, ErrTokensEnded},
		"invalid_client":     {fault(401, `{"error":"invalid_client"}`), false, nil},
		"rate limit":         {fault(429, `{"error":"temporarily_unavailable"}`), false, ErrProviderUnavailable},
		"Authelia's 500":     {fault(500, `{"error":"error"}`), false, ErrProviderUnavailable},
		"broken connection":  {authelia.Fault{Reset: true}, false, ErrProviderUnavailable},
		"timeout":            {authelia.Fault{Hang: true}, false, ErrProviderUnavailable},
		"200 that is a page": {fault(200, "<html>"), false, ErrIDTokenInvalid},
		"not a bearer":       {fault(200, `{"access_token":"a","token_type":"mac"}`), true, ErrTokensEnded},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, offline)
				old := w.signedIn()
				w.op.ForgetRequests()
				w.op.Misbehave(func(m *authelia.Misbehaviour) { m.Fail(authelia.EndpointToken, row.fault) })
				_, err := w.rp.Refresh(t.Context(), old.Tokens, old.Identity)
				if err == nil || errors.Is(err, ErrTokensEnded) != row.ended || row.want != nil && !errors.Is(err, row.want) {
					t.Errorf("got %v", err)
				}
				w.calls(authelia.EndpointToken, 1)
			})
		})
	}
}

// Used twice, rotated, expired in the night: the tokens have ended.
func TestRefreshOfEndedTokens(t *testing.T) {
	t.Parallel()
	w := newWorld(t, offline)
	old := w.signedIn()
	if _, err := w.rp.Refresh(t.Context(), old.Tokens, old.Identity); err != nil {
		t.Fatal(err)
	}
	_, err := w.rp.Refresh(t.Context(), old.Tokens, old.Identity)
	failsAs(t, err, ErrTokensEnded, "invalid_grant")
	other := w.signedIn()
	w.Advance(91 * time.Minute)
	_, err = w.rp.Refresh(t.Context(), other.Tokens, other.Identity)
	failsAs(t, err, ErrTokensEnded, "invalid_grant")
}
