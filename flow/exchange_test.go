// Tests of the token request.

package flow

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/tests/authelia"
)

// A code is sent once, whatever happens: a second time would count towards the
// rate limit, which locks all users out, and make Authelia revoke the tokens.
func TestTokenRequestIsNeverRepeated(t *testing.T) {
	t.Parallel()
	fault := func(status int, body string) authelia.Fault {
		return authelia.Fault{Status: status, Body: body, Header: http.Header{"Content-Type": {"application/json"}}}
	}
	for name, row := range map[string]struct {
		fault authelia.Fault
		want  error
		code  string // of a TokenError, if want is nil
	}{
		"invalid_grant":               {fault(400, `{"error":"invalid_grant","error_description":"used"}`), nil, "invalid_grant"},
		"invalid_client":              {fault(401, `{"error":"invalid_client"}`), nil, "invalid_client"},
		"403 without a word":          {fault(403, ""), nil, ""},
		"404 of a proxy":              {fault(404, "<html>"), nil, ""},
		"error with status 200":       {fault(200, `{"error":"invalid_grant"}`), nil, "invalid_grant"},
		"error with terminal escapes": {fault(400, `{"error":"a\u001b[31m\nb"}`), nil, "a?[31m?b"},
		"rate limit":                  {fault(429, `{"error":"temporarily_unavailable"}`), ErrProviderUnavailable, "429"},
		"Authelia's 500":              {fault(500, `{"error":"error"}`), ErrProviderUnavailable, "500"},
		"502":                         {fault(502, ""), ErrProviderUnavailable, "502"},
		"503":                         {fault(503, ""), ErrProviderUnavailable, "503"},
		"broken connection":           {authelia.Fault{Reset: true}, ErrProviderUnavailable, "token endpoint"},
		"timeout":                     {authelia.Fault{Hang: true}, ErrProviderUnavailable, "token endpoint"},
		"200 that is a page":          {fault(200, "<html>"), ErrIDTokenInvalid, "token response"},
		"200 that is empty":           {fault(200, ""), ErrIDTokenInvalid, "token response"},
		"200 with nothing":            {fault(200, "{}"), ErrIDTokenInvalid, "token response"},
		"200 with null":               {fault(200, "null"), ErrIDTokenInvalid, "token response"},
		"200 with a list":             {fault(200, "[]"), ErrIDTokenInvalid, "token response"},
		"200 larger than 1 MiB":       {fault(200, `{"access_token":"`+strings.Repeat("a", 2<<20)), ErrIDTokenInvalid, "token response"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				h := newHarness(t)
				h.op.Misbehave(func(m *authelia.Misbehaviour) { m.Fail(authelia.EndpointToken, row.fault) })
				result, err := h.signIn()
				if result != nil {
					t.Errorf("Exchange = %+v, want none", result)
				}
				if row.want != nil {
					failsAs(t, err, row.want, row.code)
				} else if refused, ok := errors.AsType[*TokenError](err); !ok || refused.Code != row.code || refused.Status != row.fault.Status {
					t.Errorf("got %v, want a TokenError %d %s", err, row.fault.Status, row.code)
				}
				if err != nil && len(err.Error()) > 300 {
					t.Errorf("the error quotes too much of the response: %.400v", err)
				}
				h.calls(authelia.EndpointToken, 1)
				h.calls(authelia.EndpointUserinfo, 0)
			})
		})
	}
}

func TestTokenErrorText(t *testing.T) {
	t.Parallel()
	if got := (&TokenError{Code: "invalid_grant", Status: 400}).Error(); got != "the token endpoint answered 400 invalid_grant" {
		t.Errorf("TokenError = %q, want endpoint, status and code", got)
	}
	h := newHarness(t)
	h.op.Misbehave(func(m *authelia.Misbehaviour) {
		m.Fail(authelia.EndpointToken, authelia.Fault{
			Status: 400, Body: `{"error":"` + strings.Repeat("x", 1000) + `"}`, Header: http.Header{"Content-Type": {"application/json"}},
		})
	})
	_, err := h.signIn()
	if refused, ok := errors.AsType[*TokenError](err); !ok || len(refused.Code) != 100 {
		t.Errorf("Exchange = %v, want a TokenError with a code of 100 bytes", err)
	}
}

// RFC 6749 section 5.1.
func TestTokenResponse(t *testing.T) {
	t.Parallel()
	set, without := authelia.Set, authelia.Without
	for name, row := range map[string]struct {
		edit authelia.Edit
		fail string // empty if the response is accepted
	}{
		"token_type Bearer":      {set("token_type", "Bearer"), ""},
		"token_type BEARER":      {set("token_type", "BEARER"), ""},
		"token_type missing":     {without("token_type"), "token_type"},
		"token_type mac":         {set("token_type", "mac"), "token_type"},
		"token_type DPoP":        {set("token_type", "DPoP"), "token_type"},
		"token_type of two":      {set("token_type", "bearer "), "token_type"},
		"access_token missing":   {without("access_token"), "token response"},
		"access_token empty":     {set("access_token", ""), "token response"},
		"access_token a number":  {set("access_token", 1), "token response"},
		"access_token too long":  {set("access_token", strings.Repeat("a", tokenLimit+1)), "too long"},
		"refresh_token longest":  {set("refresh_token", strings.Repeat("a", tokenLimit)), ""},
		"refresh_token too long": {set("refresh_token", strings.Repeat("a", tokenLimit+1)), "too long"},
		"id_token missing":       {without("id_token"), "has no ID token"},
		"id_token empty":         {set("id_token", ""), "has no ID token"},
		"id_token a number":      {set("id_token", 1), "has no ID token"},
		"id_token no JWT":        {set("id_token", "a.b"), "malformed"},
		"id_token encrypted":     {set("id_token", "a.b.c.d.e"), "malformed"},
		"more than we know":      {set("authorization_details", []any{}), ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHarness(t)
			h.op.Misbehave(func(m *authelia.Misbehaviour) { m.TokenResponse = row.edit })
			_, err := h.signIn()
			if row.fail == "" {
				failsAs(t, err, nil, "")
				return
			}
			failsAs(t, err, ErrIDTokenInvalid, row.fail)
			h.calls(authelia.EndpointUserinfo, 0)
		})
	}
}

// A token of the maximum length works, up to userinfo.
func TestLongTokens(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	h.op.Misbehave(func(m *authelia.Misbehaviour) { m.TokenPadding = 3 << 10 })
	result, err := h.signIn()
	if err != nil || len(result.Tokens.Access) < 3<<10 {
		t.Errorf("sign-in = %v, want no error", err)
	}
}

// The access token's lifetime is bounded, whatever the provider says.
func TestExpiresIn(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		edit authelia.Edit
		want time.Duration
	}{
		"an hour":       {authelia.Set("expires_in", 3600), time.Hour},
		"a second":      {authelia.Set("expires_in", 1), time.Second},
		"text":          {authelia.Set("expires_in", "600"), 10 * time.Minute},
		"missing":       {authelia.Without("expires_in"), time.Hour},
		"null":          {authelia.Set("expires_in", nil), time.Hour},
		"zero":          {authelia.Set("expires_in", 0), time.Hour},
		"negative":      {authelia.Set("expires_in", -5), time.Hour},
		"most":          {authelia.Set("expires_in", 86400), 24 * time.Hour},
		"a year":        {authelia.Set("expires_in", 365*86400), 24 * time.Hour},
		"overflow":      {authelia.Set("expires_in", 1<<62), 24 * time.Hour},
		"most negative": {authelia.Set("expires_in", -1<<63), time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHarness(t)
			h.op.Misbehave(func(m *authelia.Misbehaviour) { m.TokenResponse = row.edit })
			result, err := h.signIn()
			if err != nil {
				t.Fatal(err)
			}
			if got := result.Tokens.Expires.Sub(h.Now()); got != row.want {
				t.Errorf("the access token lives %v, want %v", got, row.want)
			}
		})
	}
}

// The provider refuses the code of one login with the verifier of another: it
// checks what the relying party sends.
func TestExchangeOfAnotherLogin(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	_, query := h.begin()
	other, _ := h.begin()
	_, err := h.rp.Exchange(t.Context(), other, query.Get("code"))
	if refused, ok := errors.AsType[*TokenError](err); !ok || refused.Code != "invalid_grant" {
		t.Errorf("Exchange = %v, want invalid_grant", err)
	}
}

func TestExchangeWithoutProvider(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	h.op.Unavailable()
	_, err := h.rp.Exchange(t.Context(), &Login{Nonce: "n", Verifier: "v"}, "code")
	failsAs(t, err, ErrProviderUnavailable, "503")
	h.calls(authelia.EndpointToken, 0)
}

func TestRetryAfterOfAResponse(t *testing.T) {
	t.Parallel()
	const date = "Fri, 27 Nov 2026 12:00:00 GMT"
	for value, want := range map[string]time.Duration{
		"60": time.Minute, "0": 0, "": 0, "-5": 0, "soon": 0, "99999999999999999999": 0,
		"Fri, 27 Nov 2026 12:02:00 GMT": 2 * time.Minute, "Fri, 27 Nov 2026 11:00:00 GMT": 0,
	} {
		if got := retryAfter(http.Header{"Retry-After": {value}, "Date": {date}}); got != want {
			t.Errorf("retryAfter(%q) = %s, want %s", value, got, want)
		}
	}
	h := newHarness(t)
	h.op.Misbehave(func(m *authelia.Misbehaviour) {
		m.Fail(authelia.EndpointToken, authelia.Fault{Status: 429, Header: http.Header{"Retry-After": {"60"}}})
	})
	_, err := h.signIn()
	if endpoint, ok := errors.AsType[*EndpointError](err); !ok || endpoint.RetryAfter != time.Minute || !errors.Is(err, ErrProviderUnavailable) {
		t.Errorf("Exchange = %v, want an EndpointError that asks to wait a minute", err)
	}
}
