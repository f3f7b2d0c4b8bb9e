package authelia_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/tests/authelia"
)

func TestConsentAutoAsksEveryLogin(t *testing.T) {
	p := newParty(t)
	for range 2 {
		before := p.op.Calls(authelia.EndpointConsent)
		p.code(query("romm"), "alice")
		if p.op.Calls(authelia.EndpointConsent) == before {
			t.Error("consent was not asked")
		}
	}
	if got := p.op.Calls(authelia.EndpointPortal); got != 2 { // the form, and its POST
		t.Errorf("%d calls of the login form, want one login", got)
	}
}

func TestConsentImplicit(t *testing.T) {
	p := newParty(t)
	p.code(query("quiet"), "alice")
	if got := p.op.Calls(authelia.EndpointConsent); got != 0 {
		t.Errorf("consent was asked %d times", got)
	}
	p.op.UpdateClient("quiet", func(c *authelia.Client) { c.Scopes = append(c.Scopes, "offline_access") })
	p.code(query("quiet", "scope", "openid offline_access"), "alice")
	if got := p.op.Calls(authelia.EndpointConsent); got == 0 {
		t.Error("offline_access was granted without asking")
	}
}

func TestConsentRefused(t *testing.T) {
	p := newParty(t)
	location, err := p.op.Refuse(p.browser, authorizeURL(query("romm")), "alice", "alice-pw")
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
		t.Errorf("callback %v", params)
	}
}

// consented goes up to the URL that the portal returns to after Accept, without following it.
func (p *party) consented() string {
	p.Helper()
	p.login(query("quiet"), "alice")
	page := p.get(authorizeURL(query("romm"))).Header.Get("Location")
	answer := p.send(http.MethodPost, page, "decision=accept", "Content-Type", formType)
	p.status("accept", answer, http.StatusFound)
	return answer.Header.Get("Location")
}

func TestConsentServesOnce(t *testing.T) {
	tests := []struct {
		name string
		spec func(p *party, target string) string
		want string
	}{
		{name: "first use", spec: func(_ *party, target string) string { return target }, want: "code="},
		{name: "replayed", spec: func(p *party, target string) string { p.get(target); return target }, want: "error=server_error"},
		{name: "too old", spec: func(p *party, target string) string { p.Advance(11 * time.Minute); return target }, want: "error=server_error"},
		{name: "for another request", spec: func(_ *party, target string) string { return target + "&nonce=other" }, want: "error=server_error"},
		{name: "made up", spec: func(*party, string) string { return authorizeURL(query("romm", "consent_id", "x")) }, want: "error=server_error"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p := newParty(t)
			answer := p.get(test.spec(p, p.consented()))
			p.status("callback", answer, http.StatusSeeOther)
			location := answer.Header.Get("Location")
			if !strings.Contains(location, test.want) {
				t.Errorf("callback %s, want %s", location, test.want)
			}
			if strings.HasPrefix(test.want, "error") && !strings.Contains(location, url.QueryEscape("Could not perform consent.")) {
				t.Errorf("callback %s has another reason", location)
			}
		})
	}
}

func TestConsentOfAnotherUser(t *testing.T) {
	p := newParty(t)
	target := p.consented()
	p.browser = newBrowser(t, p.op)
	p.login(query("quiet"), "bob")
	if got := p.get(target).Header.Get("Location"); !strings.Contains(got, "error=server_error") {
		t.Errorf("callback %s", got)
	}
}

func TestConsentPage(t *testing.T) {
	p := newParty(t)
	p.login(query("quiet"), "alice")
	page := p.get(p.get(authorizeURL(query("romm"))).Header.Get("Location"))
	p.status("page", page, http.StatusOK)
	for _, want := range []string{"Accept", "Deny", "romm", "Hi alice", `method="post"`, "prefers-color-scheme: dark"} {
		if !strings.Contains(page.body, want) {
			t.Errorf("no %q in the page", want)
		}
	}
	anonymous := newBrowser(t, p.op)
	p.browser = anonymous
	again := p.get(page.Request.URL.String())
	p.status("without a session", again, http.StatusFound)
	p.status("unknown flow", p.get("/consent/openid/decision?flow_id=x"), http.StatusOK)
}
