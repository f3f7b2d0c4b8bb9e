package authelia_test

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/tests/authelia"
)

func TestAuthorizationResponse(t *testing.T) {
	p := newParty(t)
	first := p.get(authorizeURL(query("romm")))
	p.status("to the login form", first, http.StatusFound)
	if got := first.Header.Get("Location"); !strings.HasPrefix(got, issuer+"/?flow=openid_connect&flow_id=") {
		t.Errorf("login form at %s", got)
	}
	posted := p.send(http.MethodPost, "/api/oidc/authorization", query("romm").Encode(), "Content-Type", formType)
	p.status("POST", posted, http.StatusFound)

	params := p.login(query("romm"), "alice")
	for name, want := range map[string]string{"iss": issuer, "scope": "openid profile email", "state": state} {
		if got := params.Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	code := params.Get("code")
	left, right, _ := strings.Cut(strings.TrimPrefix(code, "authelia_ac_"), ".")
	if !strings.HasPrefix(code, "authelia_ac_") || len(left) != 43 || len(right) != 43 {
		t.Errorf("code %q", code)
	}
	if len(params) != 4 {
		t.Errorf("parameters %v", params)
	}
}

func TestAuthorizationStatusIs303(t *testing.T) {
	p := newParty(t)
	p.login(query("quiet"), "alice")
	answer := p.get(authorizeURL(query("quiet")))
	p.status("silent success", answer, http.StatusSeeOther)
	if got := answer.Header.Get("Location"); !strings.HasPrefix(got, callback+"?code=") {
		t.Errorf("Location %s", got)
	}
}

// Requests whose client or redirect URI cannot be trusted end on a page of the portal.
func TestUntrustedRequests(t *testing.T) {
	const redirectHint = "The 'redirect_uri' parameter does not match any of the OAuth 2.0 Client's pre-registered 'redirect_uris'."
	tests := []struct {
		name       string
		query      url.Values
		code, hint string
	}{
		{name: "unknown client", query: query("nobody"), code: "invalid_client"},
		{name: "no client", query: query("romm", "client_id", ""), code: "invalid_client"},
		{name: "another path", query: query("romm", "redirect_uri", "https://romm.example.test/other"), code: "invalid_request", hint: redirectHint},
		{name: "trailing slash", query: query("romm", "redirect_uri", callback+"/"), code: "invalid_request", hint: redirectHint},
		{name: "http", query: query("romm", "redirect_uri", strings.Replace(callback, "https", "http", 1)), code: "invalid_request", hint: redirectHint},
		{name: "host in capitals", query: query("romm", "redirect_uri", strings.Replace(callback, "romm.", "ROMM.", 1)), code: "invalid_request", hint: redirectHint},
		{name: "explicit port", query: query("romm", "redirect_uri", strings.Replace(callback, ".test/", ".test:443/", 1)), code: "invalid_request", hint: redirectHint},
		{name: "extra query", query: query("romm", "redirect_uri", callback+"?a=b"), code: "invalid_request", hint: redirectHint},
		{name: "missing", query: query("romm", "redirect_uri", ""), code: "invalid_request", hint: redirectHint},
		{name: "localhost with another port", query: query("loop", "redirect_uri", "http://localhost:5000/cb"), code: "invalid_request", hint: redirectHint},
		{name: "loopback with another path", query: query("loop", "redirect_uri", "http://127.0.0.1:5000/other"), code: "invalid_request", hint: redirectHint},
		{name: "request object", query: query("romm", "request", "a.b.c"), code: "invalid_request_object"},
		{name: "request_uri", query: query("romm", "request_uri", "urn:x"), code: "invalid_request_uri"},
		{name: "unknown response mode", query: query("romm", "response_mode", "web_message"), code: "unsupported_response_mode"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p := newParty(t)
			answer := p.get(authorizeURL(test.query))
			p.status("error", answer, http.StatusFound)
			location, err := answer.Location()
			if err != nil {
				t.Fatal(err)
			}
			if location.Host != "auth.example.test" || location.Path != "/consent/completion" {
				t.Fatalf("it goes to %s", location)
			}
			if got := location.Query().Get("error"); got != test.code {
				t.Errorf("error is %q, want %q", got, test.code)
			}
			if got := location.Query().Get("error_hint"); test.hint != "" && got != test.hint {
				t.Errorf("hint is %q", got)
			}
			if _, err := p.op.SignIn(p.browser, authorizeURL(test.query), "alice", "alice-pw"); !errors.Is(err, authelia.ErrNoCallback) {
				t.Errorf("SignIn returned %v", err)
			}
		})
	}
}

func TestLoopbackPortMayVary(t *testing.T) {
	p := newParty(t)
	p.code(query("loop", "redirect_uri", "http://127.0.0.1:5000/cb"), "alice")
}

func TestErrorsBeforeLogin(t *testing.T) {
	tests := []struct {
		name  string
		query url.Values
		code  string
		text  string
	}{
		{
			name: "short state", query: query("romm", "state", "1234567"), code: "invalid_state",
			text: "Request parameter 'state' must be at least be 8 characters long to ensure sufficient entropy.",
		},
		{name: "no state", query: query("romm", "state", ""), code: "invalid_state"},
		{
			name: "scope not registered", query: query("romm", "scope", "openid groups"), code: "invalid_scope",
			text: "The OAuth 2.0 Client is not allowed to request scope 'groups'.",
		},
		{name: "offline_access not registered", query: query("romm", "scope", "openid offline_access"), code: "invalid_scope"},
		{name: "unknown scope", query: query("full", "scope", "openid roms"), code: "invalid_scope"},
		{name: "no response type", query: query("romm", "response_type", ""), code: "unsupported_response_type"},
		{name: "implicit", query: query("romm", "response_type", "id_token"), code: "unsupported_response_type"},
		{name: "audience", query: query("romm", "audience", "https://api.example.test"), code: "invalid_target"},
		{name: "prompt=none", query: query("romm", "prompt", "none"), code: "login_required"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p := newParty(t)
			answer := p.get(authorizeURL(test.query))
			p.status("error", answer, http.StatusSeeOther)
			location, err := answer.Location()
			if err != nil {
				t.Fatal(err)
			}
			params := location.Query()
			if !strings.HasPrefix(location.String(), callback+"?") || params.Get("error") != test.code || params.Get("iss") != issuer ||
				params.Get("state") != test.query.Get("state") || !strings.HasSuffix(params.Get("error_description"), test.text) {
				t.Errorf("it goes to %s", location)
			}
		})
	}
}

func TestErrorsAfterLogin(t *testing.T) {
	tests := []struct {
		name  string
		query url.Values
		code  string
	}{
		{name: "PKCE required", query: query("full", "code_challenge", "", "code_challenge_method", ""), code: "invalid_request"},
		{name: "plain", query: query("romm", "code_challenge_method", "plain"), code: "invalid_request"},
		{name: "method absent", query: query("romm", "code_challenge_method", ""), code: "invalid_request"},
		{name: "unknown method", query: query("full", "code_challenge_method", "S512"), code: "invalid_request"},
		{name: "unknown prompt", query: query("romm", "prompt", "create"), code: "invalid_request"},
		{name: "malformed claims", query: query("romm", "claims", "{"), code: "invalid_request"},
		{name: "bad hint", query: query("romm", "id_token_hint", "a.b.c"), code: "invalid_request"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p := newParty(t)
			p.status("to the portal", p.get(authorizeURL(test.query)), http.StatusFound)
			params := p.login(test.query, "alice")
			if params.Get("error") != test.code || params.Get("state") != state || params.Get("iss") != issuer || params.Has("code") {
				t.Errorf("callback %v, want %s", params, test.code)
			}
			if p.op.Calls(authelia.EndpointConsent) == 0 {
				t.Error("nobody was asked for consent")
			}
		})
	}
}

func TestPKCEOptional(t *testing.T) {
	p := newParty(t)
	code := p.code(query("romm", "code_challenge", "", "code_challenge_method", "", "nonce", "seven77"), "alice")
	form := redemption(code)
	form.Del("code_verifier")
	p.status("without PKCE", p.token("romm", form), http.StatusOK)
}

func TestPolicyDenies(t *testing.T) {
	p := newParty(t)
	params := p.login(query("admins"), "carol")
	if params.Get("error") != "access_denied" || !strings.HasSuffix(params.Get("error_description"), "The user was denied access to this client.") {
		t.Errorf("callback %v", params)
	}
	p.browser = newBrowser(t, p.op)
	p.code(query("admins"), "alice")
}

func TestPrompt(t *testing.T) {
	t.Run("none with session and implicit consent is silent", func(t *testing.T) {
		p := newParty(t)
		p.login(query("quiet"), "alice")
		p.status("silent", p.get(authorizeURL(query("quiet", "prompt", "none"))), http.StatusSeeOther)
	})
	t.Run("none with consent to give goes to the portal", func(t *testing.T) {
		p := newParty(t)
		p.login(query("romm"), "alice")
		answer := p.get(authorizeURL(query("romm", "prompt", "none")))
		p.status("consent", answer, http.StatusFound)
		if got := answer.Header.Get("Location"); !strings.HasPrefix(got, issuer+"/consent/openid/decision?") {
			t.Errorf("Location %s", got)
		}
	})
	t.Run("none with the hint of another user", func(t *testing.T) {
		p := newParty(t)
		hint := text(p.tokens(query("quiet"), "bob")["id_token"])
		p.browser = newBrowser(t, p.op)
		p.login(query("quiet"), "alice")
		answer := p.get(authorizeURL(query("quiet", "prompt", "none", "id_token_hint", hint)))
		if !strings.Contains(answer.Header.Get("Location"), "error=login_required") {
			t.Errorf("Location %s", answer.Header.Get("Location"))
		}
	})
	t.Run("login asks for the password on the consent page", func(t *testing.T) {
		p := newParty(t)
		_, before := payload(t, p.tokens(query("quiet"), "alice")["id_token"])
		p.Advance(time.Minute)
		q := query("quiet", "prompt", "login")
		if _, err := p.op.SignIn(p.browser, authorizeURL(q), "alice", "wrong"); !errors.Is(err, authelia.ErrCredentials) {
			t.Fatalf("SignIn with a wrong password: %v", err)
		}
		_, after := payload(t, p.tokens(q, "alice")["id_token"])
		if after["auth_time"] == before["auth_time"] {
			t.Error("auth_time did not move")
		}
	})
	t.Run("login by someone who just signed in is not asked twice", func(t *testing.T) {
		p := newParty(t)
		p.code(query("quiet", "prompt", "login"), "alice")
		if got := p.op.Calls(authelia.EndpointConsent); got != 0 {
			t.Errorf("%d consent pages", got)
		}
	})
	t.Run("consent asks an implicit client too", func(t *testing.T) {
		p := newParty(t)
		p.code(query("quiet", "prompt", "consent"), "alice")
		if got := p.op.Calls(authelia.EndpointConsent); got == 0 {
			t.Error("no consent page")
		}
	})
	t.Run("max_age", func(t *testing.T) {
		p := newParty(t)
		p.login(query("quiet"), "alice")
		p.Advance(10 * time.Second)
		p.status("fresh", p.get(authorizeURL(query("quiet", "max_age", "10"))), http.StatusSeeOther)
		p.Advance(time.Second)
		p.status("stale", p.get(authorizeURL(query("quiet", "max_age", "10"))), http.StatusFound)
		p.code(query("quiet", "max_age", "10"), "alice")
	})
	for _, never := range []string{"0", "-1", "soon"} {
		t.Run("max_age="+never+" is never satisfied", func(t *testing.T) {
			p := newParty(t)
			if _, err := p.op.SignIn(p.browser, authorizeURL(query("quiet", "max_age", never)), "alice", "alice-pw"); !errors.Is(err, authelia.ErrNoCallback) {
				t.Errorf("SignIn: %v", err)
			}
		})
	}
}

func TestResponseModes(t *testing.T) {
	p := newParty(t)
	p.login(query("modes"), "alice")
	posted := p.get(authorizeURL(query("modes", "response_mode", "form_post")))
	p.status("form_post", posted, http.StatusOK)
	for _, want := range []string{`action="` + callback, `name="code"`, `name="iss" value="` + issuer, `name="state"`} {
		if !strings.Contains(posted.body, want) {
			t.Errorf("form_post: no %s in %s", want, posted.body)
		}
	}
	if csp := posted.Header.Get("Content-Security-Policy"); !strings.Contains(csp, "script-src 'sha256-") {
		t.Errorf("form_post: policy %q", csp)
	}
	hanging := p.get(authorizeURL(query("modes", "response_mode", "form_post.jwt")))
	if csp := hanging.Header.Get("Content-Security-Policy"); strings.Contains(csp, "script-src") {
		t.Errorf("form_post.jwt: policy %q, the original forgets the hash", csp)
	}
	fragment := p.get(authorizeURL(query("modes", "response_mode", "fragment"))).Header.Get("Location")
	if !strings.HasPrefix(fragment, callback+"#code=") {
		t.Errorf("fragment: %s", fragment)
	}
	location, err := p.get(authorizeURL(query("modes", "response_mode", "query.jwt"))).Location()
	if err != nil {
		t.Fatal(err)
	}
	_, claims := payload(t, location.Query().Get("response"))
	has(t, claims, map[string]string{"iss": `"` + issuer + `"`, "aud": `["modes"]`, "state": `"` + state + `"`})

	refused := p.get(authorizeURL(query("romm", "response_mode", "fragment"))).Header.Get("Location")
	if !strings.HasPrefix(refused, callback+"#") || !strings.Contains(refused, "error=unsupported_response_mode") {
		t.Errorf("fragment for another client: %s", refused)
	}
}
