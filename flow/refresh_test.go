package flow

import (
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/tests/authelia"
)

// offline lets the client of a world refresh.
func offline(s *setup) { s.config.Scopes = append(s.config.Scopes, "offline_access") }

// signedIn returns what came of a sign-in by alice.
func (w *world) signedIn() *Result {
	w.Helper()
	result, err := w.signIn()
	if err != nil {
		w.Fatal(err)
	}
	return result
}

// The request on the wire (RFC 6749 section 6), and what becomes of each token.
func TestRefresh(t *testing.T) {
	t.Parallel()
	w := newWorld(t, offline)
	old := w.signedIn()
	if old.Tokens.Refresh == "" {
		t.Fatal("no refresh token")
	}
	w.Advance(50 * time.Minute)
	w.op.ForgetRequests()
	fresh, err := w.rp.Refresh(t.Context(), old.Tokens, old.Identity)
	if err != nil {
		t.Fatal(err)
	}
	w.calls(authelia.EndpointToken, 1)
	request := w.last(authelia.EndpointToken)
	if got := request.Form.Encode(); got != "grant_type=refresh_token&refresh_token="+old.Tokens.Refresh {
		t.Errorf("sent %s", got)
	}
	if fresh.Access == old.Tokens.Access || fresh.Refresh == old.Tokens.Refresh || fresh.Refresh == "" || fresh.ID == old.Tokens.ID {
		t.Errorf("not all of them are new: %+v", fresh)
	}
	if want := w.Now().Add(time.Hour - time.Second); !fresh.Expires.Equal(want) {
		t.Errorf("expires %s, want %s", fresh.Expires, want)
	}
	if _, err := w.rp.Recheck(t.Context(), fresh, old.Identity); err != nil {
		t.Errorf("the new access token: %v", err)
	}
	again, err := w.rp.Refresh(t.Context(), fresh, old.Identity)
	if err != nil || again.Refresh == fresh.Refresh {
		t.Errorf("the new refresh token: %v", err)
	}
}

// RFC 6749 section 6 and OpenID Connect Core 1.0 section 12.2: an answer may
// have neither a refresh token nor an ID token; those before it go on.
func TestRefreshKeepsWhatIsNotReplaced(t *testing.T) {
	t.Parallel()
	w := newWorld(t, offline)
	old := w.signedIn()
	w.op.Misbehave(func(m *authelia.Misbehaviour) { m.TokenResponse = authelia.Without("refresh_token", "id_token") })
	fresh, err := w.rp.Refresh(t.Context(), old.Tokens, old.Identity)
	if err != nil || fresh.Refresh != old.Tokens.Refresh || fresh.ID != old.Tokens.ID || fresh.Access == old.Tokens.Access {
		t.Errorf("got %+v, %v", fresh, err)
	}
}

// A refreshed ID token is verified as any other, and says of the sign-in what
// the one before it said.
func TestRefreshedIDToken(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		edit authelia.Edit
		ok   bool
	}{
		"another iss":       {authelia.Set("iss", "https://evil.example"), false},
		"another sub":       {authelia.Set("sub", "another"), false},
		"no sub":            {authelia.Without("sub"), false},
		"another aud":       {authelia.Set("aud", []string{"another"}), false},
		"another azp":       {authelia.Set("azp", "another"), false},
		"another nonce":     {authelia.Set("nonce", "another"), false},
		"another auth_time": {authelia.Set("auth_time", 1795442000), false},
		"another at_hash":   {authelia.Set("at_hash", "AAAAAAAAAAAAAAAAAAAAAA"), false},
		"an old iat":        {authelia.Set("iat", 1700000000), false},
		"expired":           {authelia.Set("exp", 1700000000), false},
		"no nonce":          {authelia.Without("nonce"), true},
		"no auth_time":      {authelia.Without("auth_time"), true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, offline)
			old := w.signedIn()
			w.op.Misbehave(func(m *authelia.Misbehaviour) { m.IDToken = row.edit })
			fresh, err := w.rp.Refresh(t.Context(), old.Tokens, old.Identity)
			if row.ok != (err == nil) {
				t.Fatalf("got %v", err)
			}
			if !row.ok && (!errors.Is(err, ErrTokensEnded) || fresh.Access != "") {
				t.Errorf("got %+v, %v", fresh, err)
			}
		})
	}
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
	w.op.ForgetRequests()
	for _, identity := range []Identity{{Issuer: "https://old.example", Subject: other.Identity.Subject}, {}} {
		_, err = w.rp.Refresh(t.Context(), other.Tokens, identity)
		failsAs(t, err, ErrTokensEnded, "of this issuer")
	}
	w.calls(authelia.EndpointToken, 0)
}

// A userinfo that takes the access token no longer says so.
func TestRecheckOfEndedTokens(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*authelia.Server){
		"expired": (*authelia.Server).ExpireAccessTokens, "revoked": func(op *authelia.Server) { op.RevokeTokens("alice") },
		"another database": (*authelia.Server).ResetDatabase,
	} {
		w := newWorld(t)
		old := w.signedIn()
		end(w.op)
		_, err := w.rp.Recheck(t.Context(), old.Tokens, old.Identity)
		failsAs(t, err, ErrTokensEnded, "401")
		if t.Failed() {
			t.Log(name)
		}
	}
	w := newWorld(t)
	old := w.signedIn()
	userinfo(authelia.Set("sub", "another"))(w.op)
	if _, err := w.rp.Recheck(t.Context(), old.Tokens, old.Identity); errors.Is(err, ErrTokensEnded) {
		t.Errorf("somebody else's userinfo: %v", err)
	}
}
