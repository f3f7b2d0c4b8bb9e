// Tests of userinfo.

package flow

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/romm-oidc/caddy-romm-oidc/tests/authelia"
)

// sent makes userinfo answer with the edited claims.
func sent(edit authelia.Edit) func(map[string]any) any {
	return func(claims map[string]any) any { edit(claims); return claims }
}

// plainly makes userinfo answer with a given value.
func plainly(answer any) func(map[string]any) any { return func(map[string]any) any { return answer } }

// OpenID Connect Core 1.0 section 5.3.
func TestUserinfo(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		answer func(map[string]any) any
		fail   string // empty if the response is accepted
	}{
		"as it is":               {nil, ""},
		"sub missing":            {sent(authelia.Without("sub")), "sub does not match the ID token"},
		"sub empty":              {sent(authelia.Set("sub", "")), "sub does not match the ID token"},
		"sub null":               {sent(authelia.Set("sub", nil)), "sub does not match the ID token"},
		"sub a number":           {sent(authelia.Set("sub", 1)), "sub does not match the ID token"},
		"sub in another case":    {func(c map[string]any) any { c["sub"] = strings.ToUpper(c["sub"].(string)); return c }, "sub does not match the ID token"},
		"sub with a suffix":      {sent(appendTo("sub", " ")), "sub does not match the ID token"},
		"sub under another name": {func(c map[string]any) any { c["SUB"] = c["sub"]; delete(c, "sub"); return c }, "sub does not match the ID token"},
		"null":                   {plainly(nil), "not a JSON object"},
		"a list":                 {plainly([]any{}), "not a JSON object"},
		"text":                   {plainly("alice"), "not a JSON object"},
		"a number":               {plainly(1), "not a JSON object"},
		"true":                   {plainly(true), "not a JSON object"},
		"an empty object":        {plainly(map[string]any{}), "sub does not match the ID token"},
		"larger than 1 MiB":      {sent(authelia.Set("more", strings.Repeat("x", 1<<20))), "larger than 1 MiB"},
		"just below 1 MiB":       {sent(authelia.Set("more", strings.Repeat("x", 1<<20-2<<10))), ""},
		"a million members":      {func(c map[string]any) any { c["more"] = make([]int, 400_000); return c }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHarness(t)
			h.op.Misbehave(func(m *authelia.Misbehaviour) { m.Userinfo = row.answer })
			result, err := h.signIn()
			if row.fail == "" {
				failsAs(t, err, nil, "")
				return
			}
			failsAs(t, err, ErrUserinfoInvalid, row.fail)
			if result != nil {
				t.Errorf("sign-in = %+v, want none", result)
			}
		})
	}
}

func TestUserinfoRefused(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		fault authelia.Fault
		want  error
		text  string
	}{
		"Authelia's 401":    {authelia.Fault{Status: 401, Body: "{}"}, ErrUserinfoInvalid, "answered 401"},
		"403":               {authelia.Fault{Status: 403, Body: `{"error":"insufficient_scope"}`}, ErrUserinfoInvalid, "answered 403"},
		"404":               {authelia.Fault{Status: 404, Body: "alice@example.test"}, ErrUserinfoInvalid, "answered 404"},
		"204":               {authelia.Fault{Status: 204}, ErrUserinfoInvalid, "answered 204"},
		"429":               {authelia.Fault{Status: 429}, ErrProviderUnavailable, "answered 429"},
		"500":               {authelia.Fault{Status: 500, Body: "alice@example.test"}, ErrProviderUnavailable, "answered 500"},
		"503":               {authelia.Fault{Status: 503}, ErrProviderUnavailable, "answered 503"},
		"broken connection": {authelia.Fault{Reset: true}, ErrProviderUnavailable, "requesting userinfo"},
		"hang":              {authelia.Fault{Hang: true}, ErrProviderUnavailable, "requesting userinfo"},
		"a page":            {authelia.Fault{Body: "<html>alice@example.test"}, ErrUserinfoInvalid, "not a JSON object"},
		"nothing":           {authelia.Fault{}, ErrUserinfoInvalid, "not a JSON object"},
		"two objects":       {authelia.Fault{Body: "{}{}"}, ErrUserinfoInvalid, "not a JSON object"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				h := newHarness(t)
				h.op.Misbehave(func(m *authelia.Misbehaviour) { m.Fail(authelia.EndpointUserinfo, row.fault) })
				_, err := h.signIn()
				failsAs(t, err, row.want, row.text)
				if err != nil && strings.Contains(err.Error(), "alice") {
					t.Errorf("the error quotes the response: %v, want it without", err)
				}
				h.calls(authelia.EndpointUserinfo, 1)
			})
		})
	}
}

// A connection that breaks during the response says nothing about the account.
func TestUserinfoCutShort(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	h.rp.config.Client.Transport.(clockTransport).base.(*providerTransport).base = network(func(r *http.Request) (*http.Response, error) {
		answer, err := h.op.Transport().RoundTrip(r)
		if err == nil && r.URL.Path == "/api/oidc/userinfo" {
			answer.Body = cutShort{}
		}
		return answer, err
	})
	_, err := h.signIn()
	failsAs(t, err, ErrProviderUnavailable, "reading the response")
}

// Signed userinfo (section 5.3.2), and invalid signed userinfo.
func TestSignedUserinfo(t *testing.T) {
	t.Parallel()
	for _, alg := range []string{"RS256", "ES256", "PS256"} {
		t.Run(alg, func(t *testing.T) {
			t.Parallel()
			h := newHarness(t, func(s *setup) { s.client.UserinfoAlg = alg })
			result, err := h.signIn()
			if err != nil || result.Identity.Username != "alice" {
				t.Errorf("sign-in = %+v, %v, want alice", result, err)
			}
		})
	}
	// An ID token with edited claims stands in for signed userinfo.
	for name, row := range map[string]struct {
		idToken   authelia.Edit
		signature authelia.Signature
		alter     func(jwt string) string
		fail      string // empty if the response is accepted
	}{
		"with iss and aud":        {idToken: authelia.Set("preferred_username", "alice")},
		"neither iss nor aud":     {idToken: authelia.Without("iss", "aud")},
		"for another client":      {idToken: authelia.Set("aud", "another"), fail: "iss or aud does not match"},
		"by another issuer":       {idToken: authelia.Set("iss", "https://evil.example"), fail: "iss or aud does not match"},
		"sub of another user":     {idToken: authelia.Set("sub", "another"), fail: "sub does not match the ID token"},
		"by a foreign key":        {signature: authelia.SignedByForeignKey, fail: "signature"},
		"broken":                  {signature: authelia.SignedThenBroken, fail: "signature"},
		"altered":                 {signature: authelia.SignedThenAltered, fail: "signature"},
		"alg none":                {signature: authelia.SignedNone, fail: "malformed"},
		"HS256 under the secret":  {signature: authelia.SignedWithClientSecret, fail: "malformed"},
		"exceeds 16 KiB":          {idToken: authelia.Set("more", strings.Repeat("x", 16<<10)), fail: "exceeds 16 KiB"},
		"plain JSON in its place": {alter: func(string) string { return `{"sub":"another"}` }, fail: "malformed"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHarness(t, func(s *setup) { s.config.UserinfoAlg = "RS256"; s.client.UserinfoAlg = "RS256" })
			var jwt string
			keep := func(response map[string]any) { jwt = response["id_token"].(string) }
			login, query := h.begin()
			h.op.Misbehave(func(m *authelia.Misbehaviour) {
				m.TokenResponse = keep
				m.Signature = row.signature
				m.IDToken = edits(authelia.Set("email", "alice@example.test"), authelia.Set("email_verified", true),
					authelia.Set("preferred_username", "alice"), row.idToken)
			})
			_, _ = h.rp.Exchange(t.Context(), login, query.Get("code"))
			h.op.Behave()
			if row.alter != nil {
				jwt = row.alter(jwt)
			}
			h.op.Misbehave(func(m *authelia.Misbehaviour) {
				m.Fail(authelia.EndpointUserinfo, authelia.Fault{Body: jwt, Header: http.Header{"Content-Type": {"application/jwt; charset=utf-8"}}})
			})
			_, err := h.signIn()
			if row.fail == "" {
				failsAs(t, err, nil, "")
			} else {
				failsAs(t, err, ErrUserinfoInvalid, row.fail)
			}
		})
	}
}

// Unavailable keys say nothing about the account.
func TestSignedUserinfoWithoutKeys(t *testing.T) {
	t.Parallel()
	h := newHarness(t, func(s *setup) { s.client.UserinfoAlg = "RS256" })
	result, err := h.signIn()
	if err != nil {
		t.Fatal(err)
	}
	h.op.RotateKeys()
	h.op.Misbehave(func(m *authelia.Misbehaviour) { m.Fail(authelia.EndpointJWKS, authelia.Fault{Status: 503}) })
	_, err = h.rp.Recheck(t.Context(), result.Tokens, result.Identity)
	failsAs(t, err, ErrProviderUnavailable, "reading its keys")
}
