// Tests of refresh and revocation against Authelia.

package flow

import (
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/tests/authelia"
)

// offline requests refresh tokens.
func offline(s *setup) {
	s.config.Scopes = append(s.config.Scopes, "offline_access")
}

// signedIn returns the result of a sign-in by alice.
func (h *harness) signedIn() *Result {
	h.Helper()
	result, err := h.signIn()
	if err != nil {
		h.Fatal(err)
	}
	return result
}

// A refresh is one token request, and its response replaces all tokens.
func TestRefresh(t *testing.T) {
	t.Parallel()
	h := newHarness(t, offline)
	result, err := h.signIn()
	if err != nil {
		t.Fatal(err)
	}
	h.Advance(time.Minute)
	fresh, err := h.rp.Refresh(t.Context(), result.Tokens, result.Identity)
	if err != nil {
		t.Fatal(err)
	}
	old := result.Tokens
	if fresh.Access == old.Access || fresh.Refresh == old.Refresh || fresh.ID == old.ID || fresh.Refresh == "" || !fresh.Expires.After(old.Expires) {
		t.Errorf("Refresh = %+v, want other tokens than %+v", fresh, old)
	}
	h.calls(authelia.EndpointToken, 2)
	if request := h.last(authelia.EndpointToken); request.Form.Get("grant_type") != "refresh_token" || request.Form.Get("refresh_token") != old.Refresh || request.Form.Get("client_secret") != "" {
		t.Errorf("form %+v, want a refresh_token grant", request.Form)
	}
	if _, err := h.rp.Recheck(t.Context(), *fresh, result.Identity); err != nil {
		t.Errorf("Recheck with the new tokens: %v, want no error", err)
	}
	_, err = h.rp.Recheck(t.Context(), old, result.Identity) // the refresh revoked it
	failsAs(t, err, ErrTokensEnded, "")
}

// Responses to a refresh, including ID tokens that violate OpenID Connect Core
// 1.0 section 12.2.
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
		"valid":                {func(*authelia.Server) {}, nil, ""},
		"expired":              {func(op *authelia.Server) { op.ExpireRefreshTokens() }, ErrTokensEnded, "invalid_grant"},
		"revoked":              {func(op *authelia.Server) { op.RevokeTokens("alice") }, ErrTokensEnded, "invalid_grant"},
		"provider down":        {func(op *authelia.Server) { op.Down() }, ErrProviderUnavailable, ""},
		"503":                  {fault(authelia.Fault{Status: http.StatusServiceUnavailable}), ErrProviderUnavailable, ""},
		"rate limited":         {fault(authelia.Fault{Status: http.StatusTooManyRequests}), ErrProviderUnavailable, ""},
		"no ID token":          {answer(authelia.Without("id_token")), nil, ""},
		"no new refresh token": {answer(authelia.Without("refresh_token")), nil, ""},
		"no access token":      {answer(authelia.Without("access_token")), ErrIDTokenInvalid, ""},
		"token_type another":   {answer(authelia.Set("token_type", "mac")), ErrTokensEnded, "token_type"},
		"nonce missing":        {idToken(authelia.Without("nonce")), nil, ""},
		"nonce another":        {idToken(authelia.Set("nonce", "another")), ErrIDTokenInvalid, "nonce"},
		"auth_time missing":    {idToken(authelia.Without("auth_time")), nil, ""},
		"auth_time another":    {idToken(authelia.Set("auth_time", 1)), ErrIDTokenInvalid, "auth_time"},
		"aud of two":           {idToken(authelia.Set("aud", []string{"romm", "another"})), ErrSubjectChanged, "audience"},
		"at_hash another":      {idToken(authelia.Set("at_hash", "AAAAAAAAAAAAAAAAAAAAAA")), ErrIDTokenInvalid, "at_hash"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHarness(t, offline)
			result, err := h.signIn()
			if err != nil {
				t.Fatal(err)
			}
			row.change(h.op)
			fresh, err := h.rp.Refresh(t.Context(), result.Tokens, result.Identity)
			failsAs(t, err, row.want, row.text)
			if err == nil && (fresh.Refresh == "" || fresh.ID == "") {
				t.Errorf("Refresh = %+v, want all tokens", fresh)
			}
			if calls := h.op.Calls(authelia.EndpointToken); calls > 2 {
				t.Errorf("%d token requests, want 1", calls)
			}
		})
	}
}

// Without a refresh token, or for another issuer, no request is sent.
func TestRefreshWithoutToken(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	result, err := h.signIn()
	if err != nil {
		t.Fatal(err)
	}
	_, err = h.rp.Refresh(t.Context(), result.Tokens, result.Identity)
	failsAs(t, err, ErrTokensEnded, "")
	result.Tokens.Refresh, result.Identity.Issuer = "x", "https://another.example"
	_, err = h.rp.Refresh(t.Context(), result.Tokens, result.Identity)
	failsAs(t, err, ErrTokensEnded, "")
	h.calls(authelia.EndpointToken, 1)
}

// Revoked tokens are refused. The client authenticates as Authelia expects it at
// this endpoint, whatever its method at the token endpoint.
func TestRevoke(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*setup){
		"basic": func(*setup) {},
		"post":  func(s *setup) { s.config.ClientAuth, s.client.AuthMethod = ClientAuthPost, "client_secret_post" },
		"secret that needs encoding": func(s *setup) {
			s.config.ClientSecret, s.client.Secret = "a%b +c:d", "a%b +c:d"
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHarness(t, offline, change)
			result, err := h.signIn()
			if err != nil {
				t.Fatal(err)
			}
			if err := h.rp.Revoke(t.Context(), result.Tokens, result.Identity); err != nil {
				t.Errorf("Revoke: %v, want no error", err)
			}
			_, err = h.rp.Recheck(t.Context(), result.Tokens, result.Identity)
			failsAs(t, err, ErrTokensEnded, "")
			_, err = h.rp.Refresh(t.Context(), result.Tokens, result.Identity)
			failsAs(t, err, ErrTokensEnded, "")
		})
	}
}

// No request is sent to a provider without the endpoint. A refusal is an error,
// and so is an unavailable provider.
func TestRevokeRefused(t *testing.T) {
	t.Parallel()
	t.Run("no endpoint", func(t *testing.T) {
		t.Parallel()
		h := newHarness(t)
		h.op.Misbehave(func(m *authelia.Misbehaviour) { m.Metadata = authelia.Without("revocation_endpoint") })
		result, err := h.signIn()
		if err != nil {
			t.Fatal(err)
		}
		if err := h.rp.Revoke(t.Context(), result.Tokens, result.Identity); err != nil {
			t.Errorf("Revoke: %v, want no error", err)
		}
	})
	h := newHarness(t)
	result, err := h.signIn()
	if err != nil {
		t.Fatal(err)
	}
	h.op.UpdateClient("romm", func(c *authelia.Client) { c.Secret = "another" })
	err = h.rp.Revoke(t.Context(), result.Tokens, result.Identity)
	if refused, ok := errors.AsType[*TokenError](err); !ok || refused.Status != http.StatusUnauthorized {
		t.Errorf("Revoke = %v, want a TokenError", err)
	}
	h.op.Down()
	failsAs(t, h.rp.Revoke(t.Context(), result.Tokens, result.Identity), ErrProviderUnavailable, "")
}

// A refresh is one request, whatever happens: a second one with a used token
// would revoke the new tokens too. Errors that end the tokens differ from
// temporary ones.
func TestRefreshIsNeverRepeated(t *testing.T) {
	t.Parallel()
	fault := func(status int, body string) authelia.Fault {
		return authelia.Fault{Status: status, Body: body, Header: http.Header{"Content-Type": {"application/json"}}}
	}
	for name, row := range map[string]struct {
		fault authelia.Fault
		ended bool
		gone  bool // for good
		want  error
	}{
		"invalid_grant":      {fault(400, `{"error":"invalid_grant"}`), true, true, ErrTokensEnded},
		"invalid_client":     {fault(401, `{"error":"invalid_client"}`), false, true, nil},
		"invalid_request":    {fault(400, `{"error":"invalid_request"}`), false, true, nil},
		"404":                {fault(404, `{}`), false, true, nil},
		"an error with 200":  {fault(200, `{"error":"invalid_request"}`), false, true, nil},
		"redirect":           {fault(302, ``), false, false, nil},
		"rate limit":         {fault(429, `{"error":"temporarily_unavailable"}`), false, false, ErrProviderUnavailable},
		"Authelia's 500":     {fault(500, `{"error":"error"}`), false, false, ErrProviderUnavailable},
		"broken connection":  {authelia.Fault{Reset: true}, false, false, ErrProviderUnavailable},
		"timeout":            {authelia.Fault{Hang: true}, false, false, ErrProviderUnavailable},
		"200 that is a page": {fault(200, "<html>"), false, false, ErrIDTokenInvalid},
		"token_type mac":     {fault(200, `{"access_token":"a","token_type":"mac"}`), true, false, ErrTokensEnded},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				h := newHarness(t, offline)
				old := h.signedIn()
				h.op.ForgetRequests()
				h.op.Misbehave(func(m *authelia.Misbehaviour) { m.Fail(authelia.EndpointToken, row.fault) })
				_, err := h.rp.Refresh(t.Context(), old.Tokens, old.Identity)
				if err == nil || errors.Is(err, ErrTokensEnded) != row.ended || row.want != nil && !errors.Is(err, row.want) {
					t.Errorf("Refresh = %v, want ErrTokensEnded: %v, cause %v", err, row.ended, row.want)
				}
				if refused, ok := errors.AsType[*TokenError](err); ok && refused.Definite() != row.gone || !ok && row.gone {
					t.Errorf("Refresh = %v, want a definite refusal: %v", err, row.gone)
				}
				h.calls(authelia.EndpointToken, 1)
			})
		})
	}
}

// A refresh token that was used, revoked or has expired ends the tokens.
func TestRefreshOfEndedTokens(t *testing.T) {
	t.Parallel()
	h := newHarness(t, offline)
	old := h.signedIn()
	if _, err := h.rp.Refresh(t.Context(), old.Tokens, old.Identity); err != nil {
		t.Fatal(err)
	}
	_, err := h.rp.Refresh(t.Context(), old.Tokens, old.Identity)
	failsAs(t, err, ErrTokensEnded, "invalid_grant")
	other := h.signedIn()
	h.Advance(91 * time.Minute)
	_, err = h.rp.Refresh(t.Context(), other.Tokens, other.Identity)
	failsAs(t, err, ErrTokensEnded, "invalid_grant")
}
