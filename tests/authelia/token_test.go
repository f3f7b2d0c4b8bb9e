// Tests of the token endpoint: tokens, codes, PKCE and the rate limit.

package authelia_test

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/romm-oidc/caddy-romm-oidc/tests/authelia"
)

func TestTokenResponseMembers(t *testing.T) {
	h := newHarness(t)
	answer := h.token("romm", redemption(h.code(query("romm"), "alice")))
	h.status("token", answer, http.StatusOK)
	if got := answer.Header.Get("Cache-Control"); got != "no-store" {
		t.Errorf("Cache-Control is %q, want no-store", got)
	}
	got := answer.json(t)
	has(t, got, map[string]string{
		"expires_in": "3599", "token_type": `"bearer"`, "scope": `"openid profile email"`, "refresh_token": "absent",
	})
	if access := text(got["access_token"]); len(access) != 99 || !strings.HasPrefix(access, "authelia_at_") {
		t.Errorf("access token is %q, want authelia_at_ and 99 characters in all", access)
	}
	full := h.full()
	if refresh := text(full["refresh_token"]); len(refresh) != 99 || !strings.HasPrefix(refresh, "authelia_rt_") {
		t.Errorf("refresh token is %q, want authelia_rt_ and 99 characters in all", refresh)
	}
	if bare := h.tokens(query("romm", "scope", "profile"), "alice"); bare["id_token"] != nil {
		t.Error("the response has an ID token, want none without the scope openid")
	}
}

func TestIDTokenClaims(t *testing.T) {
	h := newHarness(t)
	tokens := h.tokens(query("romm"), "alice")
	header, claims := payload(t, tokens["id_token"])
	has(t, header, map[string]string{"alg": `"RS256"`, "kid": `"main-rs256"`, "typ": `"JWT"`})
	now := h.Now().Unix()
	hash := sha256.Sum256([]byte(text(tokens["access_token"])))
	has(t, claims, map[string]string{
		"amr": `["pwd","kba"]`, "aud": `["romm"]`, "azp": `"romm"`, "iss": `"` + issuer + `"`, "nonce": `"n-0S6"`,
		"sub": `"` + h.op.Subject("alice") + `"`, "iat": fmt.Sprint(now), "exp": fmt.Sprint(now + 3600), "auth_time": fmt.Sprint(now),
		"at_hash": `"` + base64.RawURLEncoding.EncodeToString(hash[:16]) + `"`,
		// In userinfo only:
		"email": "absent", "email_verified": "absent", "name": "absent", "preferred_username": "absent", "groups": "absent",
		"acr": "absent", "sid": "absent", "nbf": "absent",
	})
	if len(text(claims["jti"])) != 36 || len(claims) != 11 {
		t.Errorf("claims are %v, want 11 with a UUID as jti", claims)
	}
	_, claims = payload(t, h.tokens(query("romm", "nonce", "", "acr_values", "x"), "alice")["id_token"])
	has(t, claims, map[string]string{"nonce": "absent", "acr": `"0"`})
	_, claims = payload(t, h.full()["id_token"])
	has(t, claims, map[string]string{
		"email": `"alice@example.test"`, "email_verified": "true", "name": `"Alice Example"`, "preferred_username": `"alice"`,
		"groups": `["romm-admins","romm-users"]`, "updated_at": "absent",
	})
	_, claims = payload(t, h.tokens(query("full"), "alice")["id_token"])
	has(t, claims, map[string]string{"groups": "absent"})
}

func TestIDTokenSignature(t *testing.T) {
	for client, alg := range map[string]jose.SignatureAlgorithm{"romm": jose.RS256, "es": jose.ES256, "ps": jose.PS256} {
		t.Run(string(alg), func(t *testing.T) {
			h := newHarness(t)
			if err := verify(h, h.tokens(query(client), "alice")["id_token"], alg); err != nil {
				t.Errorf("verifying the ID token: error is %v, want nil", err)
			}
		})
	}
}

// verify checks a JWS against the JWKS.
func verify(h *harness, token any, alg jose.SignatureAlgorithm) error {
	h.Helper()
	jws, err := jose.ParseSignedCompact(text(token), []jose.SignatureAlgorithm{alg})
	if err != nil {
		return err
	}
	for _, raw := range keysOf(h.T, h.get("/jwks.json")) {
		if raw["kid"] != jws.Signatures[0].Header.KeyID {
			continue
		}
		var key jose.JSONWebKey
		if err := key.UnmarshalJSON([]byte(jsonText(h.T, raw))); err != nil {
			return err
		}
		_, err := jws.Verify(key)
		return err
	}
	return fmt.Errorf("no key %q", jws.Signatures[0].Header.KeyID)
}

func TestCodeRedemption(t *testing.T) {
	const generic = "The provided authorization grant (e.g., authorization code, resource owner credentials) or refresh token is invalid, expired, revoked"
	without := func(form url.Values, name string) url.Values { form.Del(name); return form }
	with := func(form url.Values, name, value string) url.Values { form.Set(name, value); return form }
	tests := []struct {
		name   string
		client string
		age    time.Duration
		form   func(url.Values) url.Values
		status int
		code   string
		text   string
		usable bool // by a good request afterwards
	}{
		{name: "good request", status: 200},
		{name: "code after 55 seconds", age: 55 * time.Second, status: 200},
		{name: "code after 62 seconds", age: 62 * time.Second, status: 400, code: "invalid_grant", text: generic},
		{name: "code unknown", form: func(f url.Values) url.Values { return with(f, "code", "authelia_ac_x.y") }, status: 400, code: "invalid_grant", text: generic, usable: true},
		{name: "code missing", form: func(f url.Values) url.Values { return without(f, "code") }, status: 400, code: "invalid_grant", usable: true},
		{name: "code of another client", client: "odd-secretless", status: 400, code: "invalid_grant", usable: true},
		{name: "redirect_uri of another request", form: func(f url.Values) url.Values { return with(f, "redirect_uri", callback+"/") }, status: 400, code: "invalid_grant", usable: true},
		{name: "redirect_uri omitted", form: func(f url.Values) url.Values { return without(f, "redirect_uri") }, status: 200},
		{name: "code_verifier missing", form: func(f url.Values) url.Values { return without(f, "code_verifier") }, status: 400, code: "invalid_grant"},
		{name: "code_verifier wrong", form: func(f url.Values) url.Values { return with(f, "code_verifier", strings.Repeat("x", 43)) }, status: 400, code: "invalid_grant"},
		{name: "code_verifier of 5 characters", form: func(f url.Values) url.Values { return with(f, "code_verifier", "short") }, status: 400, code: "invalid_grant"},
		{name: "grant_type unknown", form: func(f url.Values) url.Values { return with(f, "grant_type", "password") }, status: 400, code: "invalid_request", usable: true},
		{name: "grant_type not allowed for the client", form: func(f url.Values) url.Values { return with(f, "grant_type", "client_credentials") }, status: 400, code: "unauthorized_client", usable: true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			h := newHarness(t, func(o *authelia.Options) {
				o.Clients = append(o.Clients, authelia.Client{ID: "odd-secretless", Secret: secret, RedirectURIs: []string{callback}})
			})
			code := h.code(query("romm"), "alice")
			h.Advance(test.age)
			form, client := redemption(code), "romm"
			if test.form != nil {
				form = test.form(form)
			}
			if test.client != "" {
				client = test.client
			}
			answer := h.token(client, form)
			h.status("token request", answer, test.status)
			if answer.Header.Get("WWW-Authenticate") != "" || answer.Header.Get("Cache-Control") != "no-store" {
				t.Errorf("header is %v, want Cache-Control no-store and no WWW-Authenticate", answer.Header)
			}
			if test.status == http.StatusOK {
				return
			}
			object := answer.json(t)
			if object["error"] != test.code || !strings.HasPrefix(text(object["error_description"]), test.text) {
				t.Errorf("body is %v, want error %s and a description that begins with %q", object, test.code, test.text)
			}
			want := http.StatusBadRequest
			if test.usable {
				want = http.StatusOK
			}
			h.status("good request afterwards", h.token("romm", redemption(code)), want)
		})
	}
}

func TestWrongVerifierBurnsTheCode(t *testing.T) {
	h := newHarness(t)
	code := h.code(query("romm"), "alice")
	form := redemption(code)
	form.Del("code_verifier")
	h.token("romm", form)
	got := text(h.token("romm", redemption(code)).json(t)["error_description"])
	if !strings.HasSuffix(got, "Unable to find initial PKCE data tied to this request.") {
		t.Errorf("error_description is %q, want that the PKCE data is gone", got)
	}
}

// A verifier has at least 43 characters (RFC 7636 4.1), even if the challenge was made from a shorter one.
func TestShortVerifierIsRefused(t *testing.T) {
	h := newHarness(t)
	hash := sha256.Sum256([]byte("short"))
	form := redemption(h.code(query("romm", "code_challenge", base64.RawURLEncoding.EncodeToString(hash[:])), "alice"))
	form.Set("code_verifier", "short")
	h.status("token", h.token("romm", form), http.StatusBadRequest)
}

func TestVerifierWithoutChallengeIsRefused(t *testing.T) {
	h := newHarness(t)
	code := h.code(query("romm", "code_challenge", "", "code_challenge_method", ""), "alice")
	answer := h.token("romm", redemption(code))
	h.status("token", answer, http.StatusBadRequest)
	has(t, answer.json(t), map[string]string{"error": `"invalid_grant"`})
}

// A code that is used twice may have been stolen: the tokens of the first use are revoked (RFC 6749 4.1.2).
func TestCodeReplayRevokesTokens(t *testing.T) {
	h := newHarness(t)
	code := h.code(query("full", "scope", "openid offline_access"), "alice")
	tokens := h.token("full", redemption(code)).json(t)
	h.status("access token before the replay", h.userinfo(tokens["access_token"]), http.StatusOK)
	again := h.token("full", redemption(code))
	h.status("code used twice", again, http.StatusBadRequest)
	object := again.json(t)
	if object["error"] != "invalid_grant" || !strings.HasSuffix(text(object["error_description"]), "The authorization code has already been used.") {
		t.Errorf("body is %v, want invalid_grant: the code has been used", object)
	}
	h.status("access token after the replay", h.userinfo(tokens["access_token"]), http.StatusUnauthorized)
	h.status("refresh token after the replay", h.renew("full", tokens["refresh_token"]), http.StatusBadRequest)
}

func TestTokenEndpointTakesFormPostsOnly(t *testing.T) {
	h := newHarness(t)
	get := h.get("/api/oidc/token")
	h.status("GET", get, http.StatusMethodNotAllowed)
	if !strings.HasPrefix(get.Header.Get("Content-Type"), "text/plain") {
		t.Errorf("GET: header is %v, want Content-Type text/plain", get.Header)
	}
	body := h.send(http.MethodPost, "/api/oidc/token", `{"grant_type":"authorization_code"}`,
		"Content-Type", "application/json", "Authorization", basic("romm", secret))
	h.status("JSON body", body, http.StatusBadRequest)
	has(t, body.json(t), map[string]string{"error": `"invalid_request"`})
}

func TestRateLimitCountsFailuresPerAddress(t *testing.T) {
	h := newHarness(t)
	tokens := h.full()
	code := h.code(query("romm"), "alice")
	bad := url.Values{"grant_type": {"authorization_code"}, "code": {"x"}}
	h.status("good request before the failures", h.renew("full", tokens["refresh_token"]), http.StatusOK)
	for i := range 30 {
		client, want := "romm", http.StatusBadRequest
		if i%2 == 0 {
			client, want = "unknown", http.StatusUnauthorized
		}
		h.status("failure", h.token(client, bad), want)
	}
	answer := h.token("romm", redemption(code))
	h.status("good request after 30 failures", answer, http.StatusTooManyRequests)
	has(t, answer.json(t), map[string]string{
		"error":             `"temporarily_unavailable"`,
		"error_description": `"Too many requests. The endpoint is temporarily unavailable. Try again later."`,
	})
	if got := answer.Header.Get("Retry-After"); got != "60" {
		t.Errorf("Retry-After is %q, want 60", got)
	}
	h.status("another endpoint after 30 failures", h.call("/api/oidc/introspection", "romm", url.Values{"token": {"x"}}), http.StatusOK)
	h.status("request from another address", h.token("romm", bad, "X-Forwarded-For", "198.51.100.7, 192.0.2.1"), http.StatusBadRequest)
	h.status("request from the same address behind a proxy", h.token("romm", bad, "X-Forwarded-For", "192.0.2.1, 10.0.0.1"), http.StatusTooManyRequests)
	h.Advance(59 * time.Second)
	h.status("request after 59 seconds", h.token("romm", redemption(code)), http.StatusTooManyRequests)
	h.Advance(time.Second)
	h.status("request after 60 seconds", h.token("romm", redemption(h.code(query("romm"), "alice"))), http.StatusOK)
}

func TestRateLimitBuckets(t *testing.T) {
	h := newHarness(t)
	bad := url.Values{"grant_type": {"authorization_code"}, "code": {"x"}}
	for range 30 {
		h.token("romm", bad)
	}
	h.Advance(61 * time.Second)
	for range 10 {
		h.status("failure in the second minute", h.token("romm", bad), http.StatusBadRequest)
	}
	answer := h.token("romm", bad)
	h.status("request after 40 failures in 2 minutes", answer, http.StatusTooManyRequests)
	if got := answer.Header.Get("Retry-After"); got != "120" {
		t.Errorf("Retry-After is %q, want 120", got)
	}
	h.op.ForgetFailures()
	h.status("failure after ForgetFailures", h.token("romm", bad), http.StatusBadRequest)
}

func TestRateLimitOff(t *testing.T) {
	h := newHarness(t, func(o *authelia.Options) { o.NoRateLimit = true })
	for range 40 {
		h.status("failure", h.token("romm", url.Values{"grant_type": {"authorization_code"}}), http.StatusBadRequest)
	}
}
