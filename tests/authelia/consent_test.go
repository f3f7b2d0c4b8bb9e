// Tests of the consent step: when the portal asks, and what a consent is good for.

package authelia_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/tests/authelia"
)

func TestAutoConsentAsksAtEverySignIn(t *testing.T) {
	h := newHarness(t)
	for range 2 {
		before := h.op.Calls(authelia.EndpointConsent)
		h.code(query("romm"), "alice")
		if h.op.Calls(authelia.EndpointConsent) == before {
			t.Error("the consent page had 0 requests in this sign-in, want the user asked")
		}
	}
	if got := h.op.Calls(authelia.EndpointPortal); got != 2 { // the form, and its POST
		t.Errorf("the login form had %d requests, want 2: one sign-in", got)
	}
}

func TestImplicitConsentAsksOnlyForOfflineAccess(t *testing.T) {
	h := newHarness(t)
	h.code(query("quiet"), "alice")
	if got := h.op.Calls(authelia.EndpointConsent); got != 0 {
		t.Errorf("the consent page had %d requests, want 0", got)
	}
	h.op.UpdateClient("quiet", func(c *authelia.Client) { c.Scopes = append(c.Scopes, "offline_access") })
	h.code(query("quiet", "scope", "openid offline_access"), "alice")
	if got := h.op.Calls(authelia.EndpointConsent); got == 0 {
		t.Error("the consent page had 0 requests, want the user asked for offline_access")
	}
}

func TestPreConfiguredConsentIsRememberedPerScopes(t *testing.T) {
	h := newHarness(t)
	h.op.UpdateClient("romm", func(c *authelia.Client) {
		c.ConsentMode, c.Scopes = "pre-configured", append(c.Scopes, "offline_access")
	})
	for _, test := range []struct {
		name  string
		query url.Values
		asked bool
	}{
		{"first sign-in", query("romm"), true},
		{"second sign-in", query("romm"), false},
		{"second sign-in with prompt=none", query("romm", "prompt", "none"), false},
		{"the same scopes in another order", query("romm", "scope", "email openid profile"), false},
		{"fewer scopes", query("romm", "scope", "openid"), true},
		{"prompt=consent", query("romm", "prompt", "consent"), true},
		{"offline_access", query("romm", "scope", "openid offline_access"), true},
		{"offline_access again", query("romm", "scope", "openid offline_access"), true},
	} {
		before := h.op.Calls(authelia.EndpointConsent)
		h.code(test.query, "alice")
		if asked := h.op.Calls(authelia.EndpointConsent) > before; asked != test.asked {
			t.Errorf("%s: user asked for consent: %v, want %v", test.name, asked, test.asked)
		}
	}
	h.op.UpdateClient("romm", func(c *authelia.Client) { c.Scopes = append(c.Scopes, "groups") })
	page := h.get(authorizeURL(query("romm", "scope", "openid groups"))).Header.Get("Location")
	target := h.send(http.MethodPost, page, "decision=accept", "Content-Type", formType).Header.Get("Location")
	h.status("consent that is not to be remembered", h.get(target), http.StatusSeeOther)
	h.status("sign-in after it", h.get(authorizeURL(query("romm", "scope", "openid groups"))), http.StatusFound)
}

func TestRefusedConsentIsAccessDenied(t *testing.T) {
	h := newHarness(t)
	location, err := h.op.Refuse(h.browser, authorizeURL(query("romm")), "alice", "alice-pw")
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(location)
	if err != nil {
		t.Fatal(err)
	}
	params := u.Query()
	if params.Get("error") != "access_denied" || params.Get("state") != state || params.Get("iss") != issuer ||
		!strings.Contains(params.Get("error_description"), "Make sure that the request you are making is valid.") {
		t.Errorf("callback has %v, want access_denied with the state and iss", params)
	}
}

// consented goes up to the URL that the portal returns to after Accept, without following it.
func (h *harness) consented() string {
	h.Helper()
	h.login(query("quiet"), "alice")
	page := h.get(authorizeURL(query("romm"))).Header.Get("Location")
	answer := h.send(http.MethodPost, page, "decision=accept", "Content-Type", formType)
	h.status("accepting on the consent page", answer, http.StatusFound)
	return answer.Header.Get("Location")
}

func TestConsentIsGoodOnce(t *testing.T) {
	tests := []struct {
		name string
		spec func(h *harness, target string) string
		want string
	}{
		{name: "used for the first time", spec: func(_ *harness, target string) string { return target }, want: "code="},
		{name: "used twice", spec: func(h *harness, target string) string { h.get(target); return target }, want: "error=server_error"},
		{name: "used after 11 minutes", spec: func(h *harness, target string) string { h.Advance(11 * time.Minute); return target }, want: "error=server_error"},
		{name: "used for another request", spec: func(_ *harness, target string) string { return target + "&nonce=other" }, want: "error=server_error"},
		{name: "unknown consent_id", spec: func(*harness, string) string { return authorizeURL(query("romm", "consent_id", "x")) }, want: "error=server_error"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			h := newHarness(t)
			answer := h.get(test.spec(h, h.consented()))
			h.status("back from the consent page", answer, http.StatusSeeOther)
			location := answer.Header.Get("Location")
			if !strings.Contains(location, test.want) {
				t.Errorf("Location is %s, want %s in it", location, test.want)
			}
			if strings.HasPrefix(test.want, "error") && !strings.Contains(location, url.QueryEscape("Could not perform consent.")) {
				t.Errorf("Location is %s, want the description \"Could not perform consent.\"", location)
			}
		})
	}
}

func TestConsentOfAnotherUserIsRefused(t *testing.T) {
	h := newHarness(t)
	target := h.consented()
	h.browser = newBrowser(t, h.op)
	h.login(query("quiet"), "bob")
	if got := h.get(target).Header.Get("Location"); !strings.Contains(got, "error=server_error") {
		t.Errorf("Location is %s, want error=server_error", got)
	}
}

func TestConsentPage(t *testing.T) {
	h := newHarness(t)
	h.login(query("quiet"), "alice")
	page := h.get(h.get(authorizeURL(query("romm"))).Header.Get("Location"))
	h.status("consent page", page, http.StatusOK)
	for _, want := range []string{"Accept", "Deny", "romm", "Hi alice", `method="post"`, "prefers-color-scheme: dark"} {
		if !strings.Contains(page.body, want) {
			t.Errorf("the page lacks %q, want it in %s", want, page.body)
		}
	}
	anonymous := newBrowser(t, h.op)
	h.browser = anonymous
	again := h.get(page.Request.URL.String())
	h.status("consent page without a session", again, http.StatusFound)
	h.status("consent page of an unknown flow", h.get("/consent/openid/decision?flow_id=x"), http.StatusOK)
}
