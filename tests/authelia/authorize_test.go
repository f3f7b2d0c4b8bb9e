// Tests of the authorization endpoint: its response, its errors and the response
// modes.

package authelia_test

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/romm-oidc/caddy-romm-oidc/tests/authelia"
)

func TestAuthorizationResponse(t *testing.T) {
	h := newHarness(t)
	first := h.get(authorizeURL(query("romm")))
	h.status("authorization request by GET", first, http.StatusFound)
	if got := first.Header.Get("Location"); !strings.HasPrefix(got, issuer+"/?flow=openid_connect&flow_id=") {
		t.Errorf("Location is %s, want the login form with a flow", got)
	}
	posted := h.send(http.MethodPost, "/api/oidc/authorization", query("romm").Encode(), "Content-Type", formType)
	h.status("authorization request by POST", posted, http.StatusFound)

	params := h.login(query("romm"), "alice")
	for name, want := range map[string]string{"iss": issuer, "scope": "openid profile email", "state": state} {
		if got := params.Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	code := params.Get("code")
	left, right, _ := strings.Cut(strings.TrimPrefix(code, "authelia_ac_"), ".")
	if !strings.HasPrefix(code, "authelia_ac_") || len(left) != 43 || len(right) != 43 {
		t.Errorf("code is %q, want authelia_ac_ and two parts of 43 characters", code)
	}
	if len(params) != 4 {
		t.Errorf("callback has %v, want code, iss, scope and state only", params)
	}
}

func TestAuthorizationResponseIsA303(t *testing.T) {
	h := newHarness(t)
	h.login(query("quiet"), "alice")
	answer := h.get(authorizeURL(query("quiet")))
	h.status("authorization with a session and implicit consent", answer, http.StatusSeeOther)
	if got := answer.Header.Get("Location"); !strings.HasPrefix(got, callback+"?code=") {
		t.Errorf("Location is %s, want the callback with a code", got)
	}
}

// Requests whose client or redirect URI cannot be trusted end on a page of the portal.
func TestUntrustedRequestsEndAtThePortal(t *testing.T) {
	const redirectHint = "The 'redirect_uri' parameter does not match any of the OAuth 2.0 Client's pre-registered 'redirect_uris'."
	tests := []struct {
		name       string
		query      url.Values
		code, hint string
	}{
		{name: "unknown client", query: query("unknown"), code: "invalid_client"},
		{name: "client_id missing", query: query("romm", "client_id", ""), code: "invalid_client"},
		{name: "redirect_uri with another path", query: query("romm", "redirect_uri", "https://romm.example.test/other"), code: "invalid_request", hint: redirectHint},
		{name: "redirect_uri with a trailing slash", query: query("romm", "redirect_uri", callback+"/"), code: "invalid_request", hint: redirectHint},
		{name: "redirect_uri with http", query: query("romm", "redirect_uri", strings.Replace(callback, "https", "http", 1)), code: "invalid_request", hint: redirectHint},
		{name: "redirect_uri with its host in capitals", query: query("romm", "redirect_uri", strings.Replace(callback, "romm.", "ROMM.", 1)), code: "invalid_request", hint: redirectHint},
		{name: "redirect_uri with an explicit port", query: query("romm", "redirect_uri", strings.Replace(callback, ".test/", ".test:443/", 1)), code: "invalid_request", hint: redirectHint},
		{name: "redirect_uri with a query added", query: query("romm", "redirect_uri", callback+"?a=b"), code: "invalid_request", hint: redirectHint},
		{name: "redirect_uri missing", query: query("romm", "redirect_uri", ""), code: "invalid_request", hint: redirectHint},
		{name: "localhost redirect_uri with another port", query: query("loop", "redirect_uri", "http://localhost:5000/cb"), code: "invalid_request", hint: redirectHint},
		{name: "loopback redirect_uri with another path", query: query("loop", "redirect_uri", "http://127.0.0.1:5000/other"), code: "invalid_request", hint: redirectHint},
		{name: "request object sent", query: query("romm", "request", "a.b.c"), code: "invalid_request_object"},
		{name: "request_uri sent", query: query("romm", "request_uri", "urn:x"), code: "invalid_request_uri"},
		{name: "unknown response mode", query: query("romm", "response_mode", "web_message"), code: "unsupported_response_mode"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			h := newHarness(t)
			answer := h.get(authorizeURL(test.query))
			h.status("untrusted request", answer, http.StatusFound)
			location, err := answer.Location()
			if err != nil {
				t.Fatal(err)
			}
			if location.Host != "auth.example.test" || location.Path != "/consent/completion" {
				t.Fatalf("Location is %s, want the portal's completion page", location)
			}
			if got := location.Query().Get("error"); got != test.code {
				t.Errorf("error is %q, want %q", got, test.code)
			}
			if got := location.Query().Get("error_hint"); test.hint != "" && got != test.hint {
				t.Errorf("error_hint is %q, want %q", got, test.hint)
			}
			if _, err := h.op.SignIn(h.browser, authorizeURL(test.query), "alice", "alice-pw"); !errors.Is(err, authelia.ErrNoCallback) {
				t.Errorf("SignIn: error is %v, want ErrNoCallback", err)
			}
		})
	}
}

func TestLoopbackPortMayVary(t *testing.T) {
	h := newHarness(t)
	h.code(query("loop", "redirect_uri", "http://127.0.0.1:5000/cb"), "alice")
}

func TestErrorsBeforeTheSignIn(t *testing.T) {
	tests := []struct {
		name  string
		query url.Values
		code  string
		text  string
	}{
		{
			name: "state of 7 characters", query: query("romm", "state", "1234567"), code: "invalid_state",
			text: "Request parameter 'state' must be at least be 8 characters long to ensure sufficient entropy.",
		},
		{name: "state missing", query: query("romm", "state", ""), code: "invalid_state"},
		{
			name: "scope not registered", query: query("romm", "scope", "openid groups"), code: "invalid_scope",
			text: "The OAuth 2.0 Client is not allowed to request scope 'groups'.",
		},
		{name: "offline_access not registered", query: query("romm", "scope", "openid offline_access"), code: "invalid_scope"},
		{name: "unknown scope", query: query("full", "scope", "openid roms"), code: "invalid_scope"},
		{name: "response_type missing", query: query("romm", "response_type", ""), code: "unsupported_response_type"},
		{name: "response_type of the implicit flow", query: query("romm", "response_type", "id_token"), code: "unsupported_response_type"},
		{name: "audience sent", query: query("romm", "audience", "https://api.example.test"), code: "invalid_target"},
		{name: "prompt=none without a session", query: query("romm", "prompt", "none"), code: "login_required"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			h := newHarness(t)
			answer := h.get(authorizeURL(test.query))
			h.status("refused request", answer, http.StatusSeeOther)
			location, err := answer.Location()
			if err != nil {
				t.Fatal(err)
			}
			params := location.Query()
			if !strings.HasPrefix(location.String(), callback+"?") || params.Get("error") != test.code || params.Get("iss") != issuer ||
				params.Get("state") != test.query.Get("state") || !strings.HasSuffix(params.Get("error_description"), test.text) {
				t.Errorf("Location is %s, want the callback with error %s, iss, the state sent and a description that ends in %q", location, test.code, test.text)
			}
		})
	}
}

func TestErrorsAfterSignInAndConsent(t *testing.T) {
	tests := []struct {
		name  string
		query url.Values
		code  string
	}{
		{name: "code_challenge missing but required", query: query("full", "code_challenge", "", "code_challenge_method", ""), code: "invalid_request"},
		{name: "code_challenge_method plain", query: query("romm", "code_challenge_method", "plain"), code: "invalid_request"},
		{name: "code_challenge_method missing", query: query("romm", "code_challenge_method", ""), code: "invalid_request"},
		{name: "code_challenge_method unknown", query: query("full", "code_challenge_method", "S512"), code: "invalid_request"},
		{name: "prompt unknown", query: query("romm", "prompt", "create"), code: "invalid_request"},
		{name: "claims malformed", query: query("romm", "claims", "{"), code: "invalid_request"},
		{name: "id_token_hint invalid", query: query("romm", "id_token_hint", "a.b.c"), code: "invalid_request"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			h := newHarness(t)
			h.status("before the sign-in", h.get(authorizeURL(test.query)), http.StatusFound)
			params := h.login(test.query, "alice")
			if params.Get("error") != test.code || params.Get("state") != state || params.Get("iss") != issuer || params.Has("code") {
				t.Errorf("callback has %v, want error %s, the state, iss and no code", params, test.code)
			}
			if h.op.Calls(authelia.EndpointConsent) == 0 {
				t.Error("the consent page had 0 requests, want the refusal to come after consent")
			}
		})
	}
}

func TestPKCEIsOptional(t *testing.T) {
	h := newHarness(t)
	code := h.code(query("romm", "code_challenge", "", "code_challenge_method", "", "nonce", "seven77"), "alice")
	form := redemption(code)
	form.Del("code_verifier")
	h.status("token request without PKCE", h.token("romm", form), http.StatusOK)
}

func TestAuthorizationPolicyDeniesOtherGroups(t *testing.T) {
	h := newHarness(t)
	params := h.login(query("admins"), "carol")
	if params.Get("error") != "access_denied" || !strings.HasSuffix(params.Get("error_description"), "The user was denied access to this client.") {
		t.Errorf("callback has %v, want access_denied by the authorization policy", params)
	}
	h.browser = newBrowser(t, h.op)
	h.code(query("admins"), "alice")
}

// A user without a device stays at the portal, and the client never hears of the
// request, not even with prompt=none.
func TestTwoFactorPolicyKeepsTheUserAtThePortal(t *testing.T) {
	h := newHarness(t)
	h.op.UpdateClient("quiet", func(c *authelia.Client) { c.TwoFactor = true })
	if _, err := h.op.SignIn(h.browser, authorizeURL(query("quiet")), "alice", "alice-pw"); !errors.Is(err, authelia.ErrNoCallback) {
		t.Errorf("SignIn: error is %v, want ErrNoCallback", err)
	}
	answer := h.get(authorizeURL(query("quiet", "prompt", "none")))
	h.status("prompt=none", answer, http.StatusFound)
	if page := h.get(answer.Header.Get("Location")); !strings.Contains(page.body, "Register your first device") {
		t.Errorf("the portal shows %s, want the registration of a device", page.body)
	}
	h.code(query("admins"), "alice")
}

func TestResponseModes(t *testing.T) {
	h := newHarness(t)
	h.login(query("modes"), "alice")
	posted := h.get(authorizeURL(query("modes", "response_mode", "form_post")))
	h.status("form_post", posted, http.StatusOK)
	for _, want := range []string{`action="` + callback, `name="code"`, `name="iss" value="` + issuer, `name="state"`} {
		if !strings.Contains(posted.body, want) {
			t.Errorf("form_post: the page lacks %s, want it in %s", want, posted.body)
		}
	}
	if csp := posted.Header.Get("Content-Security-Policy"); !strings.Contains(csp, "script-src 'sha256-") {
		t.Errorf("form_post: Content-Security-Policy is %q, want the script's hash in it", csp)
	}
	hanging := h.get(authorizeURL(query("modes", "response_mode", "form_post.jwt")))
	if csp := hanging.Header.Get("Content-Security-Policy"); strings.Contains(csp, "script-src") {
		t.Errorf("form_post.jwt: Content-Security-Policy is %q, want no script-src, as in the original", csp)
	}
	fragment := h.get(authorizeURL(query("modes", "response_mode", "fragment"))).Header.Get("Location")
	if !strings.HasPrefix(fragment, callback+"#code=") {
		t.Errorf("fragment: Location is %s, want the code in the fragment", fragment)
	}
	location, err := h.get(authorizeURL(query("modes", "response_mode", "query.jwt"))).Location()
	if err != nil {
		t.Fatal(err)
	}
	_, claims := payload(t, location.Query().Get("response"))
	has(t, claims, map[string]string{"iss": `"` + issuer + `"`, "aud": `["modes"]`, "state": `"` + state + `"`})

	refused := h.get(authorizeURL(query("romm", "response_mode", "fragment"))).Header.Get("Location")
	if !strings.HasPrefix(refused, callback+"#") || !strings.Contains(refused, "error=unsupported_response_mode") {
		t.Errorf("fragment for another client: Location is %s, want unsupported_response_mode in the fragment", refused)
	}
}
