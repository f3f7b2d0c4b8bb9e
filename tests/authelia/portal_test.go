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

func TestLoginForm(t *testing.T) {
	p := newParty(t)
	form := p.get(p.get(authorizeURL(query("romm"))).Header.Get("Location"))
	p.status("form", form, http.StatusOK)
	for _, want := range []string{`name="username"`, `name="password"`, `id="sign-in-button"`, "<label", `method="post"`, "prefers-color-scheme: dark"} {
		if !strings.Contains(form.body, want) {
			t.Errorf("no %s in the form", want)
		}
	}
	for name, credentials := range map[string]url.Values{
		"wrong password":   {"username": {"alice"}, "password": {"wrong"}},
		"unknown user":     {"username": {"nobody"}, "password": {"wrong"}},
		"disabled user":    {"username": {"dave"}, "password": {"dave-pw"}},
		"name in capitals": {"username": {"Alice"}, "password": {"alice-pw"}},
	} {
		answer := p.send(http.MethodPost, form.Request.URL.String(), credentials.Encode(), "Content-Type", formType)
		p.status(name, answer, http.StatusUnauthorized)
		if !strings.Contains(answer.body, "Authentication failed. Check your credentials.") || answer.Header.Get("Set-Cookie") != "" {
			t.Errorf("%s: %v %s", name, answer.Header, answer.body)
		}
	}
	if _, err := p.op.SignIn(p.browser, authorizeURL(query("romm")), "dave", "dave-pw"); !errors.Is(err, authelia.ErrCredentials) {
		t.Errorf("SignIn of a disabled user: %v", err)
	}
}

func TestFirstFactor(t *testing.T) {
	p := newParty(t)
	bad := p.send(http.MethodPost, "/api/firstfactor", `{"username":"dave","password":"dave-pw"}`)
	p.status("disabled", bad, http.StatusUnauthorized)
	if bad.body != `{"message":"Authentication failed. Check your credentials.","status":"KO"}` {
		t.Errorf("body %s", bad.body)
	}
	p.status("malformed", p.send(http.MethodPost, "/api/firstfactor", `{`), http.StatusBadRequest)
	good := p.send(http.MethodPost, "/api/firstfactor", `{"username":"alice","password":"alice-pw"}`)
	p.status("good", good, http.StatusOK)
	p.status("session", p.get(authorizeURL(query("quiet"))), http.StatusSeeOther)
}

func TestSessionCookie(t *testing.T) {
	tests := []struct {
		name, issuer, domain string
		want, not            []string
	}{
		{"https", issuer, "example.test", []string{"authelia_session=", "Domain=example.test", "Path=/", "HttpOnly", "Secure", "SameSite=Lax", "Max-Age=3600"}, nil},
		{"http loopback", "http://localhost:9091", "", []string{"HttpOnly", "SameSite=Lax"}, []string{"Secure", "Domain"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p := newParty(t, func(o *authelia.Options) { o.Issuer, o.CookieDomain = test.issuer, test.domain })
			cookie := p.send(http.MethodPost, "/", "username=alice&password=alice-pw", "Content-Type", formType).Header.Get("Set-Cookie")
			for _, want := range test.want {
				if !strings.Contains(cookie, want) {
					t.Errorf("no %s in %s", want, cookie)
				}
			}
			for _, not := range test.not {
				if strings.Contains(cookie, not) {
					t.Errorf("%s in %s", not, cookie)
				}
			}
		})
	}
}

func TestSessionEnds(t *testing.T) {
	for name, end := range map[string]func(*party){
		"expired": func(p *party) { p.Advance(time.Hour) },
		"dropped": func(p *party) { p.op.DropSessions() },
		"logout":  func(p *party) { p.send(http.MethodPost, "/api/logout", "") },
	} {
		t.Run(name, func(t *testing.T) {
			p := newParty(t)
			tokens := p.tokens(query("quiet"), "alice")
			p.status("before", p.get(authorizeURL(query("quiet"))), http.StatusSeeOther)
			end(p)
			p.status("after", p.get(authorizeURL(query("quiet"))), http.StatusFound)
			if name != "expired" { // after an hour they have expired by themselves
				p.status("tokens live on", p.userinfo(tokens["access_token"]), http.StatusOK)
			}
		})
	}
}

// What a session knows of its user is refreshed every 5 minutes only.
func TestRefreshInterval(t *testing.T) {
	always := func(o *authelia.Options) { o.RefreshInterval = -1 }
	disable := func(s *authelia.Server) { s.DisableUser("alice") }
	leave := func(s *authelia.Server) { s.SetGroups("alice") }
	tests := []struct {
		name   string
		option []func(*authelia.Options)
		change func(*authelia.Server)
		wait   time.Duration
		want   string
	}{
		{name: "group removed, before", change: leave, wait: 4 * time.Minute, want: callback + "?code="},
		{name: "group removed, after", change: leave, wait: 5 * time.Minute, want: callback + "?error=access_denied"},
		{name: "group removed, always", change: leave, option: []func(*authelia.Options){always}, want: callback + "?error=access_denied"},
		{name: "disabled, before", change: disable, wait: 4 * time.Minute, want: callback + "?error=server_error&error_description=" + url.QueryEscape("The authorization server encountered")},
		{name: "disabled, after", change: disable, wait: 5 * time.Minute, want: issuer + "/?flow="},
		{name: "disabled, always", change: disable, option: []func(*authelia.Options){always}, want: issuer + "/?flow="},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p := newParty(t, test.option...)
			p.login(query("admins"), "alice")
			test.change(p.op)
			p.Advance(test.wait)
			if got := p.get(authorizeURL(query("admins"))).Header.Get("Location"); !strings.HasPrefix(got, test.want) {
				t.Errorf("it goes to %s, want %s", got, test.want)
			}
		})
	}
}

func TestLogoutPage(t *testing.T) {
	p := newParty(t)
	p.login(query("quiet"), "alice")
	page := p.get("/logout?rd=" + url.QueryEscape("https://romm.example.test/"))
	p.status("page", page, http.StatusOK)
	for _, want := range []string{"/api/logout", "2000", `romm.example.test`} {
		if !strings.Contains(page.body, want) {
			t.Errorf("no %s in the page", want)
		}
	}
	p.status("a GET signs nobody out", p.get(authorizeURL(query("quiet"))), http.StatusSeeOther)
	p.status("there is no end session endpoint", p.get("/api/oidc/end-session"), http.StatusNotFound)

	attack := p.get("/logout?rd=" + url.QueryEscape(`</script><script>alert(1)</script>`))
	if strings.Contains(attack.body, "<script>alert") {
		t.Error("rd is not escaped")
	}
}

func TestLogoutAPI(t *testing.T) {
	tests := []struct {
		name, body string
		want       string
	}{
		{"safe", `{"targetURL":"https://romm.example.test/"}`, `{"data":{"safeTargetURL":true},"status":"OK"}`},
		{"domain itself, port, path, user info", `{"targetURL":"https://a:b@example.test:8443/x?y#z"}`, `{"data":{"safeTargetURL":true},"status":"OK"}`},
		{"capitals", `{"targetURL":"https://ROMM.EXAMPLE.TEST/"}`, `{"data":{"safeTargetURL":false},"status":"OK"}`},
		{"http", `{"targetURL":"http://romm.example.test/"}`, `{"data":{"safeTargetURL":false},"status":"OK"}`},
		{"relative", `{"targetURL":"/x"}`, `{"data":{"safeTargetURL":false},"status":"OK"}`},
		{"no scheme", `{"targetURL":"//romm.example.test/"}`, `{"data":{"safeTargetURL":false},"status":"OK"}`},
		{"another domain", `{"targetURL":"https://evilexample.test/"}`, `{"data":{"safeTargetURL":false},"status":"OK"}`},
		{"loopback", `{"targetURL":"http://localhost/"}`, `{"data":{"safeTargetURL":false},"status":"OK"}`},
		{"empty", ``, `{"data":{"safeTargetURL":false},"status":"OK"}`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p := newParty(t)
			p.login(query("quiet"), "alice")
			// As a page of the relying party does it: fetch with mode no-cors.
			answer := p.send(http.MethodPost, "/api/logout", test.body, "Content-Type", "text/plain", "Origin", "https://romm.example.test")
			p.status("logout", answer, http.StatusOK)
			if answer.body != test.want {
				t.Errorf("body %s, want %s", answer.body, test.want)
			}
			if cookie := answer.Header.Get("Set-Cookie"); !strings.Contains(cookie, "Max-Age=0") || strings.Contains(cookie, "Domain") {
				t.Errorf("Set-Cookie %s: the original's has no Domain", cookie)
			}
			p.status("signed out", p.get(authorizeURL(query("quiet"))), http.StatusFound)
		})
	}
	t.Run("http on loopback for a stand-in on loopback", func(t *testing.T) {
		p := newParty(t, func(o *authelia.Options) { o.Issuer, o.CookieDomain = "http://localhost:9091", "" })
		answer := p.send(http.MethodPost, "/api/logout", `{"targetURL":"http://localhost:8080/"}`)
		has(t, answer.json(t), map[string]string{"data": `{"safeTargetURL":true}`})
	})
}

func TestLoginGoesToSafeTargets(t *testing.T) {
	for target, want := range map[string]string{
		"https://romm.example.test/x": "https://romm.example.test/x",
		"https://evil.test/":          issuer + "/",
		"":                            issuer + "/",
	} {
		p := newParty(t)
		answer := p.send(http.MethodPost, "/?rd="+url.QueryEscape(target), "username=alice&password=alice-pw", "Content-Type", formType)
		p.status("login", answer, http.StatusFound)
		if got := answer.Header.Get("Location"); got != want {
			t.Errorf("rd=%s leads to %s", target, got)
		}
		if !strings.Contains(p.get("/").body, "Hi alice") {
			t.Error("no session")
		}
	}
}
