// RomM forgets its sessions, or is down, while users are signed in.

package tests

import (
	"net/http"
	"strings"
	"testing"
)

// RomM restarts and forgets its sessions while users play. No save is refused in a
// way that makes RomM's page leave the game, and each passes at the next try.
func TestSaveAfterRomMForgot(t *testing.T) {
	s := start(t, options{directive: rolesByMail, site: "header {\n Strict-Transport-Security max-age=1\n X-A 1\n X-B 1\n X-C 1\n X-D 1\n X-E 1\n}\nreverse_proxy %s {\n" + freshConnections + "\n}"})
	b := s.as("alice")
	fields := b.csrf()
	for range 3 {
		s.romm.DropSessions()
		first := b.fetch("POST /api/saves", fields...)
		if first.StatusCode != http.StatusServiceUnavailable || first.Header.Get("Retry-After") != "1" || first.Header.Get("X-E") != "1" {
			t.Errorf("the first save answered %d with Retry-After %q, want 503 with 1: %s", first.StatusCode, first.Header.Get("Retry-After"), first.body)
		}
		if again := b.fetch("POST /api/saves", fields...); again.StatusCode/100 != 2 {
			t.Errorf("the save was sent again and answered %d, want success: %s", again.StatusCode, again.body)
		}
		s.romm.DropSessions()
		b.wantUser("alice") // a read does not notice
	}
	if s.romm.SaveCount() != 3 {
		t.Errorf("RomM has %d saves, want 3", s.romm.SaveCount())
	}
}

// RomM is down while a user is signed in: a page that asks again, and JSON that says
// when to. The site's own error routes go first.
func TestRomMIsDown(t *testing.T) {
	o := options{directive: rolesByMail}
	s := start(t, o)
	b := s.as("alice")
	b.wantUser("alice")
	for range 2 { // confirmed a moment ago, and not
		s.romm.Down()
		page := b.open("/rom/7")
		s.problem(page, http.StatusBadGateway, "application_away")
		if page.Header.Get("Refresh") == "" {
			t.Errorf("the page does not ask again: %v", page.Header)
		}
		if answer := b.fetch("/api/roms"); answer.StatusCode != http.StatusBadGateway || answer.Header.Get("Retry-After") == "" {
			t.Errorf("a script got %d %v, want 502 with Retry-After", answer.StatusCode, answer.Header)
		}
		s.romm.Up()
		b.wantUser("alice")
	}
	o.site = "reverse_proxy %s {\n" + freshConnections + "\n}\nhandle_errors {\n respond \"own routes\" {err.status_code}\n}"
	s.load(o)
	s.romm.Down()
	if page := b.open("/"); page.StatusCode != http.StatusBadGateway || page.body != "own routes" {
		t.Errorf("with handle_errors: %d %q, want 502 from the site's own routes", page.StatusCode, page.body)
	}
	o.directive += "errors pass\n"
	s.load(o)
	if page := b.open("/"); page.StatusCode != http.StatusBadGateway || page.body != "own routes" {
		t.Errorf("with errors pass: %d %q, want 502 from the site's own routes", page.StatusCode, page.body)
	}
}

// RomM forgot the session, and the sign-in to RomM fails. A heartbeat passes
// without a user, and must not bring a CSRF cookie for no user: every save of the
// signed-in user would fail.
func TestHeartbeatForNobodyKeepsTheCSRFCookie(t *testing.T) {
	s := start(t, options{directive: rolesByMail})
	b := s.as("alice")
	fields := b.csrf()
	s.romm.Fault("/api/users/me", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) })
	s.romm.Fault("/api/login/openid", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) })
	s.romm.DropSessions()
	for range 3 {
		beat := b.fetch("/api/heartbeat")
		if beat.StatusCode != http.StatusOK || strings.Contains(strings.Join(beat.Header["Set-Cookie"], "|"), "romm_csrftoken") {
			t.Errorf("the heartbeat answered %d with %q, want 200 without a CSRF cookie", beat.StatusCode, beat.Header["Set-Cookie"])
		}
	}
	s.romm.Fault("/api/users/me", nil)
	s.romm.Fault("/api/login/openid", nil)
	eventually(t, func() bool { return b.fetch("POST /api/saves", fields...).StatusCode/100 == 2 })
}
