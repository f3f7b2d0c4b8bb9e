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

func TestTokenResponse(t *testing.T) {
	p := newParty(t)
	answer := p.token("romm", redemption(p.code(query("romm"), "alice")))
	p.status("token", answer, http.StatusOK)
	if got := answer.Header.Get("Cache-Control"); got != "no-store" {
		t.Errorf("Cache-Control is %q", got)
	}
	got := answer.json(t)
	has(t, got, map[string]string{
		"expires_in": "3599", "token_type": `"bearer"`, "scope": `"openid profile email"`, "refresh_token": "absent",
	})
	if access := text(got["access_token"]); len(access) != 99 || !strings.HasPrefix(access, "authelia_at_") {
		t.Errorf("access token %q", access)
	}
	full := p.full()
	if refresh := text(full["refresh_token"]); len(refresh) != 99 || !strings.HasPrefix(refresh, "authelia_rt_") {
		t.Errorf("refresh token %q", refresh)
	}
	if bare := p.tokens(query("romm", "scope", "profile"), "alice"); bare["id_token"] != nil {
		t.Error("an ID token without the scope openid")
	}
}

func TestIDToken(t *testing.T) {
	p := newParty(t)
	tokens := p.tokens(query("romm"), "alice")
	header, claims := payload(t, tokens["id_token"])
	has(t, header, map[string]string{"alg": `"RS256"`, "kid": `"main-rs256"`, "typ": `"JWT"`})
	now := p.Now().Unix()
	hash := sha256.Sum256([]byte(text(tokens["access_token"])))
	has(t, claims, map[string]string{
		"amr": `["pwd","kba"]`, "aud": `["romm"]`, "azp": `"romm"`, "iss": `"` + issuer + `"`, "nonce": `"n-0S6"`,
		"sub": `"` + p.op.Subject("alice") + `"`, "iat": fmt.Sprint(now), "exp": fmt.Sprint(now + 3600), "auth_time": fmt.Sprint(now),
		"at_hash": `"` + base64.RawURLEncoding.EncodeToString(hash[:16]) + `"`,
		// Only in userinfo:
		"email": "absent", "email_verified": "absent", "name": "absent", "preferred_username": "absent", "groups": "absent",
		"acr": "absent", "sid": "absent", "nbf": "absent",
	})
	if len(text(claims["jti"])) != 36 || len(claims) != 11 {
		t.Errorf("claims %v", claims)
	}
	_, claims = payload(t, p.tokens(query("romm", "nonce", "", "acr_values", "x"), "alice")["id_token"])
	has(t, claims, map[string]string{"nonce": "absent", "acr": `"0"`})
	_, claims = payload(t, p.full()["id_token"])
	has(t, claims, map[string]string{
		"email": `"alice@example.test"`, "email_verified": "true", "name": `"Alice Example"`, "preferred_username": `"alice"`,
		"groups": `["romm-admins","romm-users"]`, "updated_at": "absent",
	})
	_, claims = payload(t, p.tokens(query("full"), "alice")["id_token"])
	has(t, claims, map[string]string{"groups": "absent"})
}

func TestIDTokenSignature(t *testing.T) {
	for client, alg := range map[string]jose.SignatureAlgorithm{"romm": jose.RS256, "es": jose.ES256, "ps": jose.PS256} {
		t.Run(string(alg), func(t *testing.T) {
			p := newParty(t)
			if err := verify(p, p.tokens(query(client), "alice")["id_token"], alg); err != nil {
				t.Error(err)
			}
		})
	}
}

// verify checks a JWS against the JWKS.
func verify(p *party, token any, alg jose.SignatureAlgorithm) error {
	p.Helper()
	jws, err := jose.ParseSignedCompact(text(token), []jose.SignatureAlgorithm{alg})
	if err != nil {
		return err
	}
	for _, raw := range keysOf(p.T, p.get("/jwks.json")) {
		if raw["kid"] != jws.Signatures[0].Header.KeyID {
			continue
		}
		var key jose.JSONWebKey
		if err := key.UnmarshalJSON([]byte(jsonText(p.T, raw))); err != nil {
			return err
		}
		_, err := jws.Verify(key)
		return err
	}
	return fmt.Errorf("no key %q", jws.Signatures[0].Header.KeyID)
}

func TestCode(t *testing.T) {
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
		usable bool // afterwards
	}{
		{name: "good", status: 200},
		{name: "55 s old", age: 55 * time.Second, status: 200},
		{name: "62 s old", age: 62 * time.Second, status: 400, code: "invalid_grant", text: generic},
		{name: "garbage", form: func(f url.Values) url.Values { return with(f, "code", "authelia_ac_x.y") }, status: 400, code: "invalid_grant", text: generic, usable: true},
		{name: "empty", form: func(f url.Values) url.Values { return without(f, "code") }, status: 400, code: "invalid_grant", usable: true},
		{name: "another client's", client: "odd-secretless", status: 400, code: "invalid_grant", usable: true},
		{name: "other redirect URI", form: func(f url.Values) url.Values { return with(f, "redirect_uri", callback+"/") }, status: 400, code: "invalid_grant", usable: true},
		{name: "redirect URI omitted", form: func(f url.Values) url.Values { return without(f, "redirect_uri") }, status: 200},
		{name: "no verifier", form: func(f url.Values) url.Values { return without(f, "code_verifier") }, status: 400, code: "invalid_grant"},
		{name: "wrong verifier", form: func(f url.Values) url.Values { return with(f, "code_verifier", strings.Repeat("x", 43)) }, status: 400, code: "invalid_grant"},
		{name: "short verifier", form: func(f url.Values) url.Values { return with(f, "code_verifier", "short") }, status: 400, code: "invalid_grant"},
		{name: "unknown grant", form: func(f url.Values) url.Values { return with(f, "grant_type", "password") }, status: 400, code: "invalid_request", usable: true},
		{name: "grant not allowed", form: func(f url.Values) url.Values { return with(f, "grant_type", "client_credentials") }, status: 400, code: "unauthorized_client", usable: true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p := newParty(t, func(o *authelia.Options) {
				o.Clients = append(o.Clients, authelia.Client{ID: "odd-secretless", Secret: secret, RedirectURIs: []string{callback}})
			})
			code := p.code(query("romm"), "alice")
			p.Advance(test.age)
			form, client := redemption(code), "romm"
			if test.form != nil {
				form = test.form(form)
			}
			if test.client != "" {
				client = test.client
			}
			answer := p.token(client, form)
			p.status("token", answer, test.status)
			if answer.Header.Get("WWW-Authenticate") != "" || answer.Header.Get("Cache-Control") != "no-store" {
				t.Errorf("header %v", answer.Header)
			}
			if test.status == http.StatusOK {
				return
			}
			object := answer.json(t)
			if object["error"] != test.code || !strings.HasPrefix(text(object["error_description"]), test.text) {
				t.Errorf("error %v", object)
			}
			want := http.StatusBadRequest
			if test.usable {
				want = http.StatusOK
			}
			p.status("afterwards", p.token("romm", redemption(code)), want)
		})
	}
}

func TestWrongVerifierBurnsTheCode(t *testing.T) {
	p := newParty(t)
	code := p.code(query("romm"), "alice")
	form := redemption(code)
	form.Del("code_verifier")
	p.token("romm", form)
	got := text(p.token("romm", redemption(code)).json(t)["error_description"])
	if !strings.HasSuffix(got, "Unable to find initial PKCE data tied to this request.") {
		t.Errorf("description %q", got)
	}
}

// RFC 7636 4.1: a verifier has at least 43 characters, even if the challenge was made of a shorter one.
func TestShortVerifier(t *testing.T) {
	p := newParty(t)
	hash := sha256.Sum256([]byte("short"))
	form := redemption(p.code(query("romm", "code_challenge", base64.RawURLEncoding.EncodeToString(hash[:])), "alice"))
	form.Set("code_verifier", "short")
	p.status("token", p.token("romm", form), http.StatusBadRequest)
}

func TestVerifierWithoutChallenge(t *testing.T) {
	p := newParty(t)
	code := p.code(query("romm", "code_challenge", "", "code_challenge_method", ""), "alice")
	answer := p.token("romm", redemption(code))
	p.status("token", answer, http.StatusBadRequest)
	has(t, answer.json(t), map[string]string{"error": `"invalid_grant"`})
}

// A code that is used twice may have been stolen: what the first use gave is revoked (RFC 6749 4.1.2).
func TestCodeReplayRevokesTokens(t *testing.T) {
	p := newParty(t)
	code := p.code(query("full", "scope", "openid offline_access"), "alice")
	tokens := p.token("full", redemption(code)).json(t)
	p.status("before", p.userinfo(tokens["access_token"]), http.StatusOK)
	again := p.token("full", redemption(code))
	p.status("replay", again, http.StatusBadRequest)
	object := again.json(t)
	if object["error"] != "invalid_grant" || !strings.HasSuffix(text(object["error_description"]), "The authorization code has already been used.") {
		t.Errorf("error %v", object)
	}
	p.status("access token", p.userinfo(tokens["access_token"]), http.StatusUnauthorized)
	p.status("refresh token", p.renew("full", tokens["refresh_token"]), http.StatusBadRequest)
}

func TestTokenEndpointRequests(t *testing.T) {
	p := newParty(t)
	get := p.get("/api/oidc/token")
	p.status("GET", get, http.StatusMethodNotAllowed)
	if !strings.HasPrefix(get.Header.Get("Content-Type"), "text/plain") {
		t.Errorf("GET: %v", get.Header)
	}
	body := p.send(http.MethodPost, "/api/oidc/token", `{"grant_type":"authorization_code"}`,
		"Content-Type", "application/json", "Authorization", basic("romm", secret))
	p.status("JSON", body, http.StatusBadRequest)
	has(t, body.json(t), map[string]string{"error": `"invalid_request"`})
}

func TestRateLimit(t *testing.T) {
	p := newParty(t)
	tokens := p.full()
	code := p.code(query("romm"), "alice")
	bad := url.Values{"grant_type": {"authorization_code"}, "code": {"x"}}
	p.status("a good call does not count", p.renew("full", tokens["refresh_token"]), http.StatusOK)
	for i := range 30 {
		client, want := "romm", http.StatusBadRequest
		if i%2 == 0 {
			client, want = "nobody", http.StatusUnauthorized
		}
		p.status("failure", p.token(client, bad), want)
	}
	answer := p.token("romm", redemption(code))
	p.status("a good call", answer, http.StatusTooManyRequests)
	has(t, answer.json(t), map[string]string{
		"error":             `"temporarily_unavailable"`,
		"error_description": `"Too many requests. The endpoint is temporarily unavailable. Try again later."`,
	})
	if got := answer.Header.Get("Retry-After"); got != "60" {
		t.Errorf("Retry-After is %q", got)
	}
	p.status("other endpoints", p.call("/api/oidc/introspection", "romm", url.Values{"token": {"x"}}), http.StatusOK)
	p.status("another client address", p.token("romm", bad, "X-Forwarded-For", "198.51.100.7, 192.0.2.1"), http.StatusBadRequest)
	p.status("the same behind a proxy", p.token("romm", bad, "X-Forwarded-For", "192.0.2.1, 10.0.0.1"), http.StatusTooManyRequests)
	p.Advance(59 * time.Second)
	p.status("59 s later", p.token("romm", redemption(code)), http.StatusTooManyRequests)
	p.Advance(time.Second)
	p.status("60 s later", p.token("romm", redemption(p.code(query("romm"), "alice"))), http.StatusOK)
}

func TestRateLimitBuckets(t *testing.T) {
	p := newParty(t)
	bad := url.Values{"grant_type": {"authorization_code"}, "code": {"x"}}
	for range 30 {
		p.token("romm", bad)
	}
	p.Advance(61 * time.Second)
	for range 10 {
		p.status("second minute", p.token("romm", bad), http.StatusBadRequest)
	}
	answer := p.token("romm", bad)
	p.status("40 in 2 min", answer, http.StatusTooManyRequests)
	if got := answer.Header.Get("Retry-After"); got != "120" {
		t.Errorf("Retry-After is %q", got)
	}
	p.op.ForgetFailures()
	p.status("forgotten", p.token("romm", bad), http.StatusBadRequest)
}

func TestRateLimitOff(t *testing.T) {
	p := newParty(t, func(o *authelia.Options) { o.NoRateLimit = true })
	for range 40 {
		p.status("failure", p.token("romm", url.Values{"grant_type": {"authorization_code"}}), http.StatusBadRequest)
	}
}
