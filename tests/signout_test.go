// Signing out: RomM's button, RP-initiated logout, attempts by other sites.

package tests

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/romm-oidc/caddy-romm-oidc/tests/authelia"
	"github.com/romm-oidc/caddy-romm-oidc/tests/romm"
)

// RomM's own button ends the session at the gate and in RomM, and sends the
// browser through Authelia to a page that does not start a new sign-in.
func TestSignOut(t *testing.T) {
	for _, version := range []string{"5.2.0", "4.8.0"} {
		t.Run(version, func(t *testing.T) {
			s := start(t, options{directive: rolesByMail, romm: func(o *romm.Options) { o.Version = version }})
			b := s.as("alice")
			ticket := b.ticket()
			answer := b.fetch("POST /api/logout", "Origin", public)
			var next struct {
				URL string `json:"oidc_logout_url"`
			}
			if err := json.Unmarshal([]byte(answer.body), &next); err != nil || answer.StatusCode != http.StatusOK {
				t.Fatalf("the sign-out answered %d, want 200 with an address to go to: %s", answer.StatusCode, answer.body)
			}
			if want := issuer + "/logout?rd=" + url.QueryEscape(public+base+"/signed-out"); next.URL != want {
				t.Errorf("the sign-out leads to %s, want %s", next.URL, want)
			}
			eventually(t, func() bool { return s.romm.Sessions() == 0 })
			if answer.Header.Get("Clear-Site-Data") != `"cache"` {
				t.Errorf("Clear-Site-Data is %q, want \"cache\"", answer.Header.Get("Clear-Site-Data"))
			}
			// CVE-2024-21492: the old ticket is invalid at once.
			if answer := s.browser().fetch("/api/users/me", "Cookie", ticketName+"="+ticket); answer.StatusCode/100 != 4 {
				t.Errorf("the old ticket is answered %d, want 4xx", answer.StatusCode)
			}
			// RomM's page now starts a sign-in by itself, which must not
			// succeed.
			answer = b.open("/api/login/openid")
			if answer.StatusCode != http.StatusFound || !strings.HasPrefix(answer.Header.Get("Location"), issuer+"/logout?rd=") {
				t.Errorf("RomM's login route answered %d to %q, want 302 to Authelia's sign-out", answer.StatusCode, answer.Header.Get("Location"))
			}
			answer = b.open(base + "/signed-out")
			if answer.StatusCode != http.StatusOK || !strings.Contains(answer.body, "You are signed out") || answer.Header.Get("Refresh") != "" {
				t.Errorf("the signed-out page answered %d, want 200 without a refresh: %s", answer.StatusCode, answer.body)
			}
			// Signing in again works.
			if answer := b.signIn("/rom/7", "alice"); answer.Header.Get("Location") != "/rom/7" {
				t.Errorf("the callback of the next sign-in answered %d, want a redirect to /rom/7: %s", answer.StatusCode, answer.body)
			}
		})
	}
}

// With an end-session endpoint at the provider, the gate uses RP-initiated
// logout.
func TestRPInitiatedLogout(t *testing.T) {
	s := start(t, options{directive: rolesByMail, prepare: func(s *stack) {
		s.authelia.Misbehave(func(m *authelia.Misbehaviour) { m.Metadata = authelia.Set("end_session_endpoint", issuer+"/end") })
	}})
	b := s.as("alice")
	answer := b.do("POST "+base+"/logout", "Origin", public, "Sec-Fetch-Site", "same-origin")
	location, err := url.Parse(answer.Header.Get("Location"))
	if err != nil || answer.StatusCode != http.StatusSeeOther || location.Path != "/end" {
		t.Fatalf("the sign-out answered %d to %s, want 303 to the end-session endpoint", answer.StatusCode, location)
	}
	query := location.Query()
	state := query.Get("state")
	if state == "" || query.Get("client_id") != "romm" || query.Get("post_logout_redirect_uri") != public+base+"/signed-out" || query.Get("id_token_hint") == "" {
		t.Errorf("the logout request is %v, want our client_id, the signed-out page, an id_token_hint and a state", query)
	}
	if answer := b.do(base + "/signed-out?state=another"); answer.StatusCode != http.StatusBadRequest {
		t.Errorf("another state answered %d, want 400", answer.StatusCode)
	}
	if answer := b.do(base + "/signed-out?state=" + state); answer.StatusCode != http.StatusSeeOther || answer.Header.Get("Location") != base+"/signed-out" {
		t.Errorf("the state of the sign-out answered %d to %s, want 303 to the signed-out page", answer.StatusCode, answer.Header.Get("Location"))
	}
}

// A second sign-out, after the session has ended, still leads to Authelia.
func TestSignOutTwice(t *testing.T) {
	s := start(t, options{directive: rolesByMail})
	b := s.as("alice")
	for range 2 {
		if answer := b.fetch("POST /api/logout", "Origin", public); answer.StatusCode != http.StatusOK || !strings.Contains(answer.body, "oidc_logout_url") {
			t.Errorf("the sign-out answered %d, want 200 with an address to go to: %s", answer.StatusCode, answer.body)
		}
	}
}

// Another site's page cannot sign a user out.
func TestForeignSignOut(t *testing.T) {
	s := start(t, options{directive: rolesByMail})
	b := s.as("alice")
	if answer := b.do("POST /api/logout", "Origin", "https://evil.com"); answer.StatusCode != http.StatusForbidden {
		t.Errorf("a sign-out from another origin answered %d, want 403", answer.StatusCode)
	}
	if answer := b.do(base+"/logout", "Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document"); answer.StatusCode != http.StatusOK || !strings.Contains(answer.body, "<button") {
		t.Errorf("another site's sign-out link answered %d, want 200 with a button: %s", answer.StatusCode, answer.body)
	}
	if answer := b.fetch("/api/users/me"); answer.StatusCode != http.StatusOK {
		t.Errorf("/api/users/me after the foreign sign-outs answered %d, want 200", answer.StatusCode)
	}
}

// A late answer of RomM to a request from before the sign-out sets no cookie,
// and does not revive the session.
func TestLateAnswerRevivesNothing(t *testing.T) {
	s := start(t, options{directive: rolesByMail})
	b := s.as("alice")
	ticket := b.ticket()
	arrived, release := s.romm.Hold("/api/roms")
	late := &browser{s, &http.Client{Transport: transport}}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, public+"/api/roms", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Cookie", ticketName+"="+ticket)
	done := make(chan struct{})
	go func() {
		defer close(done)
		if answer, err := late.client.Do(r); err == nil { // the end of the session may have aborted it
			_ = answer.Body.Close()
		}
	}()
	<-arrived
	b.fetch("POST /api/logout", "Origin", public)
	release()
	<-done
	if answer := late.fetch("/api/users/me", "Cookie", ticketName+"="+ticket); answer.StatusCode/100 != 4 {
		t.Errorf("the old ticket is answered %d, want 4xx", answer.StatusCode)
	}
}

// A second sign-in in the same browser ends the first session.
func TestNewTicketAtEverySignIn(t *testing.T) {
	s := start(t, options{directive: rolesByMail, authelia: func(o *authelia.Options) { o.Clients[0].ConsentMode = "implicit" }})
	b := s.as("alice")
	old := b.ticket()
	if answer := b.signIn(base+"/login", "alice"); answer.StatusCode != http.StatusSeeOther {
		t.Fatalf("the second sign-in answered %d, want 303: %s", answer.StatusCode, answer.body)
	}
	if b.ticket() == old {
		t.Error("the ticket did not change with the new sign-in")
	}
	if answer := s.browser().fetch("/api/users/me", "Cookie", ticketName+"="+old); answer.StatusCode/100 != 4 {
		t.Errorf("the old ticket is answered %d, want 4xx", answer.StatusCode)
	}
	eventually(t, func() bool { return s.romm.Sessions() == 1 })
}
