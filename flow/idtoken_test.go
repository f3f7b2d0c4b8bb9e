// Tests of ID token verification.

package flow

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/tests/authelia"
)

// Checks of OpenID Connect Core 1.0 section 3.1.3.7 beyond those of the
// conformance suite, which package handler plays. A refused token costs one token
// request, and its access token is never used.
func TestIDToken(t *testing.T) {
	t.Parallel()
	set, without := authelia.Set, authelia.Without
	now := newHarness(t).Now()
	for name, row := range map[string]struct {
		edit authelia.Edit
		fail string // empty if the token is accepted
	}{
		"iss with a slash":              {set("iss", testIssuer+"/"), "different provider"},
		"iss in another case":           {set("iss", "https://AUTH.example.test"), "different provider"},
		"sub empty":                     {set("sub", ""), "sub is missing"},
		"sub a number":                  {set("sub", 1), "unmarshal"},
		"sub of 256 characters":         {set("sub", strings.Repeat("s", 256)), "not an identifier"},
		"sub of two lines":              {set("sub", "a\nb"), "not an identifier"},
		"sub that looks like another":   {set("sub", "\u0430lice"), "not an identifier"},
		"aud empty":                     {set("aud", []string{}), "expected audience"},
		"aud a string":                  {set("aud", "romm"), ""},
		"aud in another case":           {set("aud", "ROMM"), "expected audience"},
		"secondary aud first":           {set("aud", []string{"another", "romm"}), "names other clients"},
		"azp another":                   {set("azp", "another"), "azp"},
		"azp missing":                   {without("azp"), ""},
		"azp a list":                    {set("azp", []string{"romm"}), "azp is another client"},
		"exp past":                      {set("exp", now.Unix()-1), "expired"},
		"exp text":                      {set("exp", "tomorrow"), "unmarshal"},
		"exp in a moment":               {set("exp", now.Unix()+1), ""},
		"exp a fraction":                {set("exp", float64(now.Unix())+10.5), ""},
		"nbf past":                      {set("nbf", now.Unix()), ""},
		"nbf future, within the leeway": {set("nbf", now.Add(5*time.Minute).Unix()), ""},
		"nbf future":                    {set("nbf", now.Add(5*time.Minute+time.Second).Unix()), "nbf"},
		"iat zero":                      {set("iat", 0), "iat is missing"},
		"iat negative":                  {set("iat", -now.Unix()), "iat is missing"},
		"iat future, within the leeway": {set("iat", now.Add(2*time.Minute).Unix()), ""},
		"iat future":                    {set("iat", now.Add(2*time.Minute+time.Second).Unix()), "iat is too old or in the future"},
		"iat old, but not too old":      {set("iat", now.Add(-10*time.Minute).Unix()), ""},
		"iat old":                       {set("iat", now.Add(-10*time.Minute-time.Second).Unix()), "iat is too old or in the future"},
		"iat text":                      {set("iat", "now"), "unmarshal"},
		"nonce empty":                   {set("nonce", ""), "nonce"},
		"nonce null":                    {set("nonce", nil), "nonce"},
		"nonce with more behind it":     {appendTo("nonce", "x"), "nonce"},
		"at_hash with padding":          {appendTo("at_hash", "=="), "at_hash"},
		"exceeds 16 KiB":                {set("more", strings.Repeat("x", 16<<10)), "exceeds 16 KiB"},
		"rather large":                  {set("more", strings.Repeat("x", 10<<10)), ""},
		"sid a number":                  {set("sid", 1), ""},
		"auth_time text":                {set("auth_time", "noon"), ""},
		"distributed claims without a source at all": {set("_claim_names", map[string]any{"email": "s"}), "source does not exist"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHarness(t)
			h.op.Misbehave(func(m *authelia.Misbehaviour) { m.IDToken = row.edit })
			result, err := h.signIn()
			h.calls(authelia.EndpointToken, 1)
			h.calls(authelia.EndpointOther, 0)
			if row.fail == "" {
				failsAs(t, err, nil, "")
				return
			}
			failsAs(t, err, ErrIDTokenInvalid, row.fail)
			h.calls(authelia.EndpointUserinfo, 0)
			if result != nil {
				t.Errorf("sign-in = %+v, want none", result)
			}
		})
	}
}

func edits(all ...authelia.Edit) authelia.Edit { return authelia.Edits(all...) }

// appendTo appends to a claim.
func appendTo(name, suffix string) authelia.Edit {
	return func(object map[string]any) { object[name] = object[name].(string) + suffix }
}

func TestIDTokenSignature(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		alg       string
		signature authelia.Signature
		fail      string // empty if the token is accepted
	}{
		"ES256":                    {"ES256", authelia.SignedProperly, ""},
		"PS256":                    {"PS256", authelia.SignedProperly, ""},
		"invalid-sig-ps256":        {"PS256", authelia.SignedThenBroken, "signature"},
		"signed by another key":    {"RS256", authelia.SignedByForeignKey, "signature"},
		"signed by an unknown key": {"RS256", authelia.SignedByUnknownKey, "signature"},
		"altered":                  {"RS256", authelia.SignedThenAltered, "signature"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHarness(t, func(s *setup) { s.client.Alg = row.alg })
			h.op.Misbehave(func(m *authelia.Misbehaviour) { m.Signature = row.signature })
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

// The registered algorithm is the only one, whatever the provider's keys could
// verify: a token of another one does not come from this client's registration
// (OIDC Core 3.1.3.7 (7), Back-Channel Logout 2.6 (3)). The error names the line to
// write.
func TestAlgorithmIsPinned(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct{ registered, used, says string }{
		"ES256 where RS256 is registered":   {"RS256", "ES256", `write "id_token_alg ES256"`},
		"PS256 where RS256 is registered":   {"RS256", "PS256", `write "id_token_alg PS256"`},
		"RS256 where ES256 is registered":   {"ES256", "RS256", `write "id_token_alg RS256"`},
		"RS512 announced, and RS256 in use": {"RS512", "RS256", `write "id_token_alg RS256"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHarness(t, func(s *setup) { s.client.Alg, s.config.IDTokenAlg = row.used, row.registered })
			_, err := h.signIn()
			failsAs(t, err, ErrIDTokenInvalid, row.says)
			h.calls(authelia.EndpointUserinfo, 0)
			if _, err := h.rp.VerifyLogout(t.Context(), h.op.LogoutToken("romm", authelia.SignedProperly, authelia.Set("sid", "s1"))); err == nil || !strings.Contains(err.Error(), row.says) {
				t.Errorf("VerifyLogout: %v, want an error with %q", err, row.says)
			}
		})
	}
	// Of a refreshed ID token too: its tokens are not used.
	h := newHarness(t, func(s *setup) { s.config.Scopes = append(s.config.Scopes, "offline_access") })
	result, err := h.signIn()
	if err != nil {
		t.Fatal(err)
	}
	h.op.UpdateClient("romm", func(c *authelia.Client) { c.Alg = "ES256" })
	_, err = h.rp.Refresh(t.Context(), result.Tokens, result.Identity)
	failsAs(t, err, ErrTokensEnded, `write "id_token_alg ES256"`)
}

// Userinfo is signed as registered, or not at all. If it came unsigned where a
// signature is expected, an attacker between could leave it away.
func TestUserinfoAlgorithmIsPinned(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct{ registered, used, says string }{
		"signed, not registered":             {"", "RS256", `write "userinfo_alg RS256"`},
		"ES256 where RS256 is registered":    {"RS256", "ES256", `write "userinfo_alg ES256"`},
		"unsigned where RS256 is registered": {"RS256", "", `leave out "userinfo_alg RS256"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHarness(t, func(s *setup) { s.config.UserinfoAlg = row.registered })
			h.op.UpdateClient("romm", func(c *authelia.Client) { c.UserinfoAlg = row.used })
			_, err := h.signIn()
			failsAs(t, err, ErrUserinfoInvalid, row.says)
		})
	}
}

// A login without a nonce matches no token, not even one without a nonce.
func TestNoNonceIsNotANonce(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	login, query := h.begin()
	h.op.Misbehave(func(m *authelia.Misbehaviour) { m.IDToken = authelia.Without("nonce") })
	login.Nonce = ""
	_, err := h.rp.Exchange(t.Context(), login, query.Get("code"))
	failsAs(t, err, ErrIDTokenInvalid, "nonce")
}

// The longest subject that the specification permits, and optional claims of any
// form.
func TestIDTokenOptionalClaims(t *testing.T) {
	t.Parallel()
	longest := strings.Repeat("s", 255)
	for name, row := range map[string]struct {
		edit     authelia.Edit
		authTime int64
		sid      string
	}{
		"auth_time missing":    {authelia.Without("auth_time"), 0, ""},
		"auth_time text":       {authelia.Set("auth_time", "noon"), 0, ""},
		"auth_time negative":   {authelia.Set("auth_time", -1), 0, ""},
		"auth_time a fraction": {authelia.Set("auth_time", 1.5), 1, ""},
		"auth_time an object":  {authelia.Set("auth_time", map[string]any{}), 0, ""},
		"sid":                  {edits(authelia.Set("auth_time", 5), authelia.Set("sid", longest)), 5, longest},
		"sid too long":         {edits(authelia.Set("auth_time", 5), authelia.Set("sid", longest+"s")), 5, longest},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHarness(t)
			h.op.Misbehave(func(m *authelia.Misbehaviour) {
				m.IDToken = edits(row.edit, authelia.Set("sub", longest))
				m.Userinfo = func(claims map[string]any) any { claims["sub"] = longest; return claims }
			})
			result, err := h.signIn()
			if err != nil {
				t.Fatal(err)
			}
			if result.Identity.AuthTime != row.authTime || result.Tokens.SID != row.sid || result.Identity.Subject != longest {
				t.Errorf("identity %+v, sid %q, want %+v", result.Identity, result.Tokens.SID, row)
			}
		})
	}
}

// The metadata list HS256 first, or only HS256, or nothing: the relying party
// decides which algorithms it accepts.
func TestAnnouncedAlgorithmsDoNotMatter(t *testing.T) {
	t.Parallel()
	for name, edit := range map[string]authelia.Edit{
		"HS256 first": nil,
		"HS256 alone": authelia.Set("id_token_signing_alg_values_supported", []string{"HS256"}),
		"none alone":  authelia.Set("id_token_signing_alg_values_supported", []string{"none"}),
		"missing":     authelia.Without("id_token_signing_alg_values_supported"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHarness(t)
			h.op.Misbehave(func(m *authelia.Misbehaviour) { m.Metadata = edit })
			if _, err := h.signIn(); err != nil {
				t.Errorf("sign-in: %v, want no error", err)
			}
			for _, signature := range []authelia.Signature{authelia.SignedWithClientSecret, authelia.SignedNone} {
				h.op.Misbehave(func(m *authelia.Misbehaviour) { m.Signature = signature })
				_, err := h.signIn()
				failsAs(t, err, ErrIDTokenInvalid, "malformed")
			}
		})
	}
}

// If a request ends while its token is checked, the token is not to blame.
func TestVerifyEndsWithTheRequest(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	login, query := h.begin()
	ctx, cancel := context.WithCancel(t.Context())
	h.rp.config.Client.Transport.(clockTransport).base.(*providerTransport).base = network(func(r *http.Request) (*http.Response, error) {
		if r.URL.Path == "/jwks.json" {
			cancel()
			<-t.Context().Done() // the keys never arrive
		}
		return h.op.Transport().RoundTrip(r)
	})
	_, err := h.rp.Exchange(ctx, login, query.Get("code"))
	failsAs(t, err, ErrProviderUnavailable, "keys")
	failsAs(t, err, context.Canceled, "")
}
