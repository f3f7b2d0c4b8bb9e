// Tests of the portal: login, session cookie, refresh interval and logout.

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
	h := newHarness(t)
	form := h.get(h.get(authorizeURL(query("romm"))).Header.Get("Location"))
	h.status("login form", form, http.StatusOK)
	for _, want := range []string{`name="username"`, `name="password"`, `id="sign-in-button"`, "<label", `method="post"`, "prefers-color-scheme: dark"} {
		if !strings.Contains(form.body, want) {
			t.Errorf("the login form lacks %s, want it in %s", want, form.body)
		}
	}
	for name, credentials := range map[string]url.Values{
		"wrong password":   {"username": {"alice"}, "password": {"wrong"}},
		"unknown user":     {"username": {"unknown"}, "password": {"wrong"}},
		"disabled user":    {"username": {"dave"}, "password": {"dave-pw"}},
		"name in capitals": {"username": {"Alice"}, "password": {"alice-pw"}},
	} {
		answer := h.send(http.MethodPost, form.Request.URL.String(), credentials.Encode(), "Content-Type", formType)
		h.status(name, answer, http.StatusUnauthorized)
		if !strings.Contains(answer.body, "Authentication failed. Check your credentials.") || answer.Header.Get("Set-Cookie") != "" {
			t.Errorf("%s: header is %v and body %s, want the portal's refusal without Set-Cookie", name, answer.Header, answer.body)
		}
	}
	if _, err := h.op.SignIn(h.browser, authorizeURL(query("romm")), "dave", "dave-pw"); !errors.Is(err, authelia.ErrCredentials) {
		t.Errorf("SignIn of a disabled user: error is %v, want ErrCredentials", err)
	}
}

// Of several tabs at the portal only the one in which the user enters the
// password goes back to the client. The others stay, even when reloaded.
func TestOtherTabsStayAtThePortal(t *testing.T) {
	h := newHarness(t)
	first := h.get(authorizeURL(query("quiet"))).Header.Get("Location")
	second := h.get(authorizeURL(query("quiet", "state", "another-state"))).Header.Get("Location")
	answer := h.send(http.MethodPost, first, "username=alice&password=alice-pw", "Content-Type", formType)
	h.status("login in the first tab", answer, http.StatusFound)
	reloaded := h.get(second)
	h.status("reload of the second tab", reloaded, http.StatusOK)
	if !strings.Contains(reloaded.body, "Hi alice. You are signed in.") {
		t.Errorf("the second tab shows %s, want the page for signed-in users", reloaded.body)
	}
}

// A browser carries the fragment of the requested page along to the portal. The
// forms have an action of their own, so that it ends there.
func TestFormsDropTheFragment(t *testing.T) {
	h := newHarness(t)
	want := func(what string, page response) {
		t.Helper()
		action := `<form method="post" action="` + strings.ReplaceAll(page.Request.URL.RequestURI(), "&", "&amp;") + `">`
		if !strings.Contains(page.body, action) {
			t.Errorf("%s is %s, want %s in it", what, page.body, action)
		}
	}
	want("login form", h.get(h.get(authorizeURL(query("romm"))).Header.Get("Location")))
	h.login(query("quiet"), "alice")
	want("consent form", h.get(h.get(authorizeURL(query("romm"))).Header.Get("Location")))
}

func TestFirstFactorAPI(t *testing.T) {
	h := newHarness(t)
	bad := h.send(http.MethodPost, "/api/firstfactor", `{"username":"dave","password":"dave-pw"}`)
	h.status("first factor of a disabled user", bad, http.StatusUnauthorized)
	if bad.body != `{"message":"Authentication failed. Check your credentials.","status":"KO"}` {
		t.Errorf("body is %s, want the portal's KO", bad.body)
	}
	h.status("first factor with malformed JSON", h.send(http.MethodPost, "/api/firstfactor", `{`), http.StatusBadRequest)
	good := h.send(http.MethodPost, "/api/firstfactor", `{"username":"alice","password":"alice-pw"}`)
	h.status("first factor", good, http.StatusOK)
	h.status("authorization with the session", h.get(authorizeURL(query("quiet"))), http.StatusSeeOther)
}

func TestSessionCookieAttributes(t *testing.T) {
	tests := []struct {
		name, issuer, domain string
		want, not            []string
	}{
		{"https issuer with a cookie domain", issuer, "example.test", []string{"authelia_session=", "Domain=example.test", "Path=/", "HttpOnly", "Secure", "SameSite=Lax", "Max-Age=3600"}, nil},
		{"http issuer on loopback", "http://localhost:9091", "", []string{"HttpOnly", "SameSite=Lax"}, []string{"Secure", "Domain"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			h := newHarness(t, func(o *authelia.Options) { o.Issuer, o.CookieDomain = test.issuer, test.domain })
			cookie := h.send(http.MethodPost, "/", "username=alice&password=alice-pw", "Content-Type", formType).Header.Get("Set-Cookie")
			for _, want := range test.want {
				if !strings.Contains(cookie, want) {
					t.Errorf("Set-Cookie is %s, want %s in it", cookie, want)
				}
			}
			for _, not := range test.not {
				if strings.Contains(cookie, not) {
					t.Errorf("Set-Cookie is %s, want no %s in it", cookie, not)
				}
			}
		})
	}
}

func TestSessionEndsAndTokensLiveOn(t *testing.T) {
	for name, end := range map[string]func(*harness){
		"expired": func(h *harness) { h.Advance(time.Hour) },
		"dropped": func(h *harness) { h.op.DropSessions() },
		"logout":  func(h *harness) { h.send(http.MethodPost, "/api/logout", "") },
	} {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t)
			tokens := h.tokens(query("quiet"), "alice")
			h.status("authorization with the session", h.get(authorizeURL(query("quiet"))), http.StatusSeeOther)
			end(h)
			h.status("authorization after the session's end", h.get(authorizeURL(query("quiet"))), http.StatusFound)
			if name != "expired" { // after an hour the tokens have expired too
				h.status("userinfo after the session's end", h.userinfo(tokens["access_token"]), http.StatusOK)
			}
		})
	}
}

// The portal's session reads its user again only every 5 minutes.
func TestSessionRefreshesItsUserAtAnInterval(t *testing.T) {
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
		{name: "group removed 4 minutes ago", change: leave, wait: 4 * time.Minute, want: callback + "?code="},
		{name: "group removed 5 minutes ago", change: leave, wait: 5 * time.Minute, want: callback + "?error=access_denied"},
		{name: "group removed, user read at every request", change: leave, option: []func(*authelia.Options){always}, want: callback + "?error=access_denied"},
		{name: "user disabled 4 minutes ago", change: disable, wait: 4 * time.Minute, want: callback + "?error=server_error&error_description=" + url.QueryEscape("The authorization server encountered")},
		{name: "user disabled 5 minutes ago", change: disable, wait: 5 * time.Minute, want: issuer + "/?flow="},
		{name: "user disabled, user read at every request", change: disable, option: []func(*authelia.Options){always}, want: issuer + "/?flow="},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			h := newHarness(t, test.option...)
			h.login(query("admins"), "alice")
			test.change(h.op)
			h.Advance(test.wait)
			if got := h.get(authorizeURL(query("admins"))).Header.Get("Location"); !strings.HasPrefix(got, test.want) {
				t.Errorf("Location is %s, want %s", got, test.want)
			}
		})
	}
}

func TestLogoutPageSignsOutByItsScriptOnly(t *testing.T) {
	h := newHarness(t)
	h.login(query("quiet"), "alice")
	page := h.get("/logout?rd=" + url.QueryEscape("https://romm.example.test/"))
	h.status("logout page", page, http.StatusOK)
	for _, want := range []string{"/api/logout", "2000", `romm.example.test`} {
		if !strings.Contains(page.body, want) {
			t.Errorf("the logout page lacks %s, want it in %s", want, page.body)
		}
	}
	h.status("authorization after a GET of the logout page", h.get(authorizeURL(query("quiet"))), http.StatusSeeOther)
	h.status("end_session endpoint", h.get("/api/oidc/end-session"), http.StatusNotFound)

	attack := h.get("/logout?rd=" + url.QueryEscape(`</script><script>alert(1)</script>`))
	if strings.Contains(attack.body, "<script>alert") {
		t.Errorf("the logout page is %s, want rd escaped", attack.body)
	}
}

func TestLogoutAPI(t *testing.T) {
	tests := []struct {
		name, body string
		want       string
	}{
		{"https below the domain", `{"targetURL":"https://romm.example.test/"}`, `{"data":{"safeTargetURL":true},"status":"OK"}`},
		{"the domain itself with port, path and user info", `{"targetURL":"https://a:b@example.test:8443/x?y#z"}`, `{"data":{"safeTargetURL":true},"status":"OK"}`},
		{"host in capitals", `{"targetURL":"https://ROMM.EXAMPLE.TEST/"}`, `{"data":{"safeTargetURL":false},"status":"OK"}`},
		{"http below the domain", `{"targetURL":"http://romm.example.test/"}`, `{"data":{"safeTargetURL":false},"status":"OK"}`},
		{"path without a host", `{"targetURL":"/x"}`, `{"data":{"safeTargetURL":false},"status":"OK"}`},
		{"URL without a scheme", `{"targetURL":"//romm.example.test/"}`, `{"data":{"safeTargetURL":false},"status":"OK"}`},
		{"another domain", `{"targetURL":"https://evilexample.test/"}`, `{"data":{"safeTargetURL":false},"status":"OK"}`},
		{"http on loopback", `{"targetURL":"http://localhost/"}`, `{"data":{"safeTargetURL":false},"status":"OK"}`},
		{"empty body", ``, `{"data":{"safeTargetURL":false},"status":"OK"}`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			h := newHarness(t)
			h.login(query("quiet"), "alice")
			// The request that a page of the relying party sends: fetch with mode no-cors.
			answer := h.send(http.MethodPost, "/api/logout", test.body, "Content-Type", "text/plain", "Origin", "https://romm.example.test")
			h.status("logout", answer, http.StatusOK)
			if answer.body != test.want {
				t.Errorf("body is %s, want %s", answer.body, test.want)
			}
			if cookie := answer.Header.Get("Set-Cookie"); !strings.Contains(cookie, "Max-Age=0") || strings.Contains(cookie, "Domain") {
				t.Errorf("Set-Cookie is %s, want Max-Age=0 and no Domain, as in the original", cookie)
			}
			h.status("authorization after the logout", h.get(authorizeURL(query("quiet"))), http.StatusFound)
		})
	}
	t.Run("http on loopback is safe for a stand-in on loopback", func(t *testing.T) {
		h := newHarness(t, func(o *authelia.Options) { o.Issuer, o.CookieDomain = "http://localhost:9091", "" })
		answer := h.send(http.MethodPost, "/api/logout", `{"targetURL":"http://localhost:8080/"}`)
		has(t, answer.json(t), map[string]string{"data": `{"safeTargetURL":true}`})
	})
}

func TestLoginRedirectsToSafeTargetsOnly(t *testing.T) {
	for target, want := range map[string]string{
		"https://romm.example.test/x": "https://romm.example.test/x",
		"https://evil.test/":          issuer + "/",
		"":                            issuer + "/",
	} {
		h := newHarness(t)
		answer := h.send(http.MethodPost, "/?rd="+url.QueryEscape(target), "username=alice&password=alice-pw", "Content-Type", formType)
		h.status("login with rd="+target, answer, http.StatusFound)
		if got := answer.Header.Get("Location"); got != want {
			t.Errorf("rd=%s: Location is %s, want %s", target, got, want)
		}
		if !strings.Contains(h.get("/").body, "Hi alice") {
			t.Error("the portal does not greet alice, want a session after the sign-in")
		}
	}
}
