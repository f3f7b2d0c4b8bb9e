// Behaviours of README.md's table: signing in and out.

package tests

import (
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/tests/romm"
)

func deepLink(t trial) {
	s := t.start()
	b := s.browser()
	for _, target := range []string{"/rom/7?tab=saves&q=a%20b", "/rom/7/ejs", "/pair/device?user_code=AB-12", "/api/roms/1/content/demo.nes?x=%2F"} {
		b = s.browser()
		if answer := b.signIn(target, "alice"); answer.StatusCode != http.StatusSeeOther || answer.Header.Get("Location") != target {
			t.Errorf("the callback answered %d to %q, want 303 to %s", answer.StatusCode, answer.Header.Get("Location"), target)
		}
	}
	b.wantUser("alice")
	if answer := b.open("/rom/7/ejs"); answer.Header.Get("Cross-Origin-Embedder-Policy") != "require-corp" {
		t.Errorf("the player's page lacks Cross-Origin-Embedder-Policy: require-corp: %v", answer.Header)
	}
}

func loginRoute(t trial) {
	s := t.start()
	b := s.browser()
	if answer := b.signIn("/login?next="+url.QueryEscape("/rom/7?tab=saves"), "alice"); answer.Header.Get("Location") != "/rom/7?tab=saves" {
		t.Errorf("the callback answered %d to %q, want a redirect to /rom/7?tab=saves", answer.StatusCode, answer.Header.Get("Location"))
	}
	button := func(b *browser, referer string) response {
		return b.do("/api/login/openid", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document", "Referer", public+referer)
	}
	b = s.browser()
	answer := button(b, "/login?next=%2From%2F9")
	location, err := b.authelia.SignIn(b.client, answer.Header.Get("Location"), "alice", "alice-password")
	if err != nil {
		t.Fatal(err)
	}
	if answer = b.open(location); answer.Header.Get("Location") != "/rom/9" {
		t.Errorf("the callback answered %d to %q, want a redirect to /rom/9", answer.StatusCode, answer.Header.Get("Location"))
	}
	// A signed-in user goes straight back.
	if answer = button(b, "/login?next=%2From%2F10"); answer.Header.Get("Location") != "/rom/10" {
		t.Errorf("the login route answered a signed-in user %d to %q, want a redirect to /rom/10", answer.StatusCode, answer.Header.Get("Location"))
	}
}

func backAfterSignIn(t trial) {
	s := t.start()
	b := s.browser()
	callback := b.callback("/rom/7", "alice")
	b.open(callback)
	s.romm.ForgetRequests()
	if answer := b.open(callback); answer.StatusCode != http.StatusSeeOther || !strings.HasPrefix(answer.Header.Get("Location"), "/") {
		t.Errorf("the callback, opened again, answered %d to %q, want 303 to a page of RomM", answer.StatusCode, answer.Header.Get("Location"))
	}
	if answer := b.open(base + "?code=x&state=spent"); answer.StatusCode != http.StatusSeeOther || answer.Header.Get("Location") != "/" {
		t.Errorf("a callback with an unknown state answered %d to %q, want 303 to /", answer.StatusCode, answer.Header.Get("Location"))
	}
	for _, r := range s.romm.Requests() {
		if strings.HasPrefix(r.Path, base) {
			t.Errorf("%s reached RomM, which answers it with 500", r.Path)
		}
	}
	b.wantUser("alice")
}

func signOutByButton(t trial) {
	s := t.start()
	b := s.as("alice")
	socket, err := s.socket(b.ticket(), public)
	if err != nil {
		t.Fatal(err)
	}
	ticket := b.ticket()
	answer := b.fetch("POST /api/logout", "Origin", public)
	if answer.StatusCode != http.StatusOK || !strings.Contains(answer.body, "/logout?rd=") || answer.Header.Get("Clear-Site-Data") != `"cache"` {
		t.Errorf("the sign-out answered %d, want 200 with Authelia's sign-out and Clear-Site-Data: %s; header: %v", answer.StatusCode, answer.body, answer.Header)
	}
	wantSignedOut(t.T, s, ticket)
	if until(socket, "never") {
		t.Error("the socket is open after the sign-out")
	}
	// RomM before 4.8 does not follow the address. Its login page must not
	// sign in again.
	if answer = b.open("/api/login/openid"); !strings.HasPrefix(answer.Header.Get("Location"), issuer+"/logout?rd=") {
		t.Errorf("RomM's login route answered %d to %q, want a redirect to Authelia's sign-out", answer.StatusCode, answer.Header.Get("Location"))
	}
}

func signOutByHand(t trial) {
	s := t.start()
	b := s.as("alice")
	ticket := b.ticket()
	answer := b.open(base + "/logout")
	if answer.StatusCode != http.StatusSeeOther || !strings.HasPrefix(answer.Header.Get("Location"), issuer+"/logout?rd=") {
		t.Errorf("the sign-out link answered %d to %q, want 303 to Authelia's sign-out", answer.StatusCode, answer.Header.Get("Location"))
	}
	wantSignedOut(t.T, s, ticket)
}

// wantSignedOut fails the test if ticket is still valid, or RomM has kept the
// session.
func wantSignedOut(t *testing.T, s *stack, ticket string) {
	t.Helper()
	if answer := s.browser().fetch("/api/users/me", "Cookie", ticketName+"="+ticket); answer.StatusCode/100 != 4 {
		t.Errorf("the old ticket is answered %d, want 4xx", answer.StatusCode)
	}
	eventually(t, func() bool { // the gate signs out of RomM in the background
		request, _ := s.romm.LastRequest("/api/logout")
		return request.User == "alice" && s.romm.Sessions() == 0
	})
}

func restarted(t trial) {
	s := t.start()
	writer, reader := s.as("alice"), s.as("alice")
	token := writer.csrf()
	s.romm.Down()
	if answer := reader.fetch("/api/roms"); answer.StatusCode != http.StatusBadGateway {
		t.Errorf("a request while RomM is away answered %d, want 502", answer.StatusCode)
	}
	s.romm.Restart()
	s.romm.Up()
	if answer := writer.fetch("POST /api/saves", token...); answer.StatusCode/100 != 2 {
		t.Errorf("a save after RomM's restart answered %d, want success: %s", answer.StatusCode, answer.body)
	}
	reader.wantUser("alice")
}

// RomM before 4.5 without a configured secret key signs with a new key after a
// restart, and does not report that a session is unknown.
func TestRestartWithAnotherKey(t *testing.T) {
	for _, v := range releases {
		if !v.signed {
			continue
		}
		s := trial{t, v}.start(func(o *romm.Options) { o.SecretKey = "" })
		b := s.as("alice")
		s.romm.Down()
		b.fetch("/api/roms")
		s.romm.Restart()
		s.romm.Up()
		b.client.Jar = jarWithout(b, "romm_csrftoken") // RomM's page drops it at the first 403
		if answer := b.open("/api/login/openid"); answer.Header.Get("Location") != "/" {
			t.Errorf("RomM %s: the login route answered %d to %q, want a redirect to /", v.name, answer.StatusCode, answer.Header.Get("Location"))
		}
		b.wantUser("alice")
	}
}

func expired(t trial) {
	var lapsed atomic.Bool
	s := t.start(func(o *romm.Options) {
		o.Now = func() time.Time {
			if lapsed.CompareAndSwap(true, false) { // only for the check of the session
				return time.Now().AddDate(0, 0, 15)
			}
			return time.Now()
		}
	})
	b := s.as("alice")
	if t.signed { // the session has a fixed end
		lapsed.Store(true)
	} else {
		s.romm.DropSessions()
	}
	s.romm.ForgetRequests()
	b.wantUser("alice")
	if _, again := s.romm.LastRequest("/api/login/openid"); !again {
		t.Error("the gate did not sign in to RomM again, want RomM's session ended")
	}
}

func upgraded(t trial) {
	before := releases[0]
	for _, other := range releases {
		if other.name == t.name {
			break
		}
		before = other
	}
	s := start(t.T, options{romm: func(o *romm.Options) {
		o.Version = before.version
		o.OIDC.ClaimRoles = ""
	}})
	s.romm.AddUser(romm.User{Username: "alice", Email: "alice@example.com", Role: "admin"})
	b := s.as("alice")
	s.browser().fetch("/api/users/me") // so that the gate has seen the old release
	s.romm.Down()
	b.fetch("/api/roms")
	s.romm.Upgrade(t.version)
	s.romm.Up()
	if answer := s.browser().fetch("/api/users/me"); answer.StatusCode != t.denied {
		t.Errorf("a script is told %d, want %d", answer.StatusCode, t.denied)
	}
	b.wantUser("alice")
	if answer := b.save(); answer.StatusCode/100 != 2 {
		t.Errorf("a save after the upgrade answered %d, want success: %s", answer.StatusCode, answer.body)
	}
}

// RomM after 5.2 checks the CSRF token of a sign-out even with an
// Authorization field.
func TestSignOutOfTheNextRomM(t *testing.T) {
	s := start(t, options{directive: rolesByMail, romm: func(o *romm.Options) { o.Version = "5.3.0" }})
	b := s.as("alice")
	ticket := b.ticket()
	b.fetch("POST /api/logout", "Origin", public)
	wantSignedOut(t, s, ticket)
}
