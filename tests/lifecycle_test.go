// Reloads and restarts of Caddy, RomM and Authelia, and what depends on them.

package tests

import (
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/romm-oidc/caddy-romm-oidc/tests/romm"
)

func itoa(n int) string { return strconv.Itoa(n) }

// ticket returns the browser's ticket.
func (b *browser) ticket() string {
	b.t.Helper()
	r, err := http.NewRequestWithContext(b.t.Context(), http.MethodGet, public+"/", nil)
	if err != nil {
		b.t.Fatal(err)
	}
	for _, c := range b.client.Jar.Cookies(r.URL) {
		if c.Name == ticketName {
			return c.Value
		}
	}
	b.t.Fatal("the browser has no ticket")
	return ""
}

// Sessions, pending sign-ins and RomM's keys survive a reload. A changed
// policy takes effect at once.
func TestReload(t *testing.T) {
	o := options{directive: rolesByMail}
	s := start(t, o)
	alice, bob := s.as("alice"), s.as("bob")
	late := s.browser()
	callback := late.callback("/rom/9", "alice")
	o.directive += "\nallow {\n emails alice@example.com\n}\n"
	s.load(o)
	if me := alice.fetch("/api/users/me"); me.StatusCode != http.StatusOK {
		t.Errorf("/api/users/me as alice after the reload answered %d, want 200", me.StatusCode)
	}
	if answer := late.open(callback); answer.Header.Get("Location") != "/rom/9" {
		t.Errorf("the callback of a sign-in from before the reload answered %d, want a redirect to /rom/9: %s", answer.StatusCode, answer.body)
	}
	s.problem(bob.open("/"), http.StatusForbidden, "not_allowed")
}

// Sessions survive the loss of the gate's memory, since they are in storage.
func TestRestart(t *testing.T) {
	o := options{directive: rolesByMail}
	s := start(t, o)
	alice := s.as("alice")
	s.unload()
	s.load(o)
	if me := alice.fetch("/api/users/me"); me.StatusCode != http.StatusOK || !strings.Contains(me.body, "alice") {
		t.Errorf("/api/users/me after the gate lost its memory answered %d, want 200 with alice as the user: %s", me.StatusCode, me.body)
	}
}

// RomM restarts while 50 signed-in users read and save. The gate signs in to
// RomM once for each of them, and no read or save is lost.
func TestRomMRestart(t *testing.T) {
	const n = 50
	s := start(t, options{directive: rolesByMail})
	s.as("alice")
	browsers := make([]*browser, n)
	tokens := make([][]string, n)
	for i := range browsers {
		browsers[i] = s.as("bob")
		tokens[i] = browsers[i].csrf()
	}
	s.romm.ForgetRequests()
	s.romm.Down()
	if answer := browsers[0].fetch("/api/roms"); answer.StatusCode != http.StatusBadGateway {
		t.Errorf("a request while RomM is away answered %d, want 502", answer.StatusCode)
	}
	s.romm.Restart()
	s.romm.Up()
	var wg sync.WaitGroup
	for i, b := range browsers {
		for range 3 {
			wg.Go(func() {
				if answer := b.fetch("/api/roms"); answer.StatusCode != http.StatusOK {
					t.Errorf("a read after RomM's restart answered %d, want 200: %s", answer.StatusCode, answer.body)
				}
			})
		}
		wg.Go(func() {
			if answer := b.fetch("POST /api/saves", tokens[i]...); answer.StatusCode/100 != 2 {
				t.Errorf("a save after RomM's restart answered %d, want success: %s", answer.StatusCode, answer.body)
			}
		})
	}
	wg.Wait()
	starts := 0
	for _, r := range s.romm.Requests() {
		if r.Path == "/api/login/openid" {
			starts++
		}
	}
	if starts != n || s.romm.SaveCount() != n {
		t.Errorf("%d brokered sign-ins and %d saves, want %d of each", starts, s.romm.SaveCount(), n)
	}
}

// While Authelia is down, new sign-ins fail and signed-in users are not
// affected. Sign-ins work again as soon as Authelia is back.
func TestAutheliaAway(t *testing.T) {
	s := start(t, options{directive: rolesByMail})
	alice := s.as("alice")
	s.load(options{directive: rolesByMail + "\nusername_claim preferred_username\n"}) // drops the cached metadata
	s.authelia.Down()
	b := s.browser()
	answer := b.open("/rom/7")
	s.problem(answer, http.StatusServiceUnavailable, "provider_unavailable")
	if answer.Header.Get("Retry-After") == "" || answer.Header.Get("Refresh") == "" {
		t.Errorf("the page lacks Retry-After or Refresh: %v", answer.Header)
	}
	if me := alice.fetch("/api/users/me"); me.StatusCode != http.StatusOK {
		t.Errorf("/api/users/me as alice while Authelia is away answered %d, want 200", me.StatusCode)
	}
	s.authelia.Up()
	eventually(t, func() bool { return b.open("/rom/7").StatusCode == http.StatusFound })
	if answer := b.signIn("/rom/7", "alice"); answer.Header.Get("Location") != "/rom/7" {
		t.Errorf("the callback answered %d, want a redirect to /rom/7: %s", answer.StatusCode, answer.body)
	}
}

// Two gates in one Caddy are separate: a ticket of one is invalid at the
// other.
func TestTwoGates(t *testing.T) {
	s := start(t, options{directive: rolesByMail})
	alice := s.as("alice")
	ticket := alice.ticket()
	s.load(options{directive: rolesByMail, gate: "romm2"})
	if answer := s.browser().fetch("/api/users/me", "Cookie", ticketName+"="+ticket); answer.StatusCode/100 != 4 {
		t.Errorf("the other gate's ticket is answered %d, want 4xx", answer.StatusCode)
	}
}

// The gate works in front of handle, and with variables that map sets.
func TestBehindOtherDirectives(t *testing.T) {
	s := start(t, options{directive: rolesByMail, site: `
	map {http.request.host} {upstream} {
		default %s
	}
	handle /api/* {
		reverse_proxy {upstream} {
			transport http {
				keepalive off
			}
		}
	}
	handle {
		reverse_proxy {upstream} {
			transport http {
				keepalive off
			}
		}
	}`})
	b := s.as("alice")
	s.romm.DropSessions()
	if me := b.fetch("/api/users/me"); me.StatusCode != http.StatusOK {
		t.Errorf("/api/users/me after RomM lost its sessions answered %d, want 200: %s", me.StatusCode, me.body)
	}
}

// Each RomM release answers anonymous requests with its own status.
func TestDeniedStatusFollowsTheVersion(t *testing.T) {
	for version, status := range map[string]int{"5.2.0": 401, "5.1.0": 403, "4.8.0": 403} {
		s := start(t, options{romm: func(o *romm.Options) { o.Version = version }})
		if answer := s.browser().fetch("/api/users/me"); answer.StatusCode != status || !strings.Contains(answer.body, `"detail":"Not authenticated"`) {
			t.Errorf("RomM %s: a script without a session is answered %d, want %d as RomM answers it: %s", version, answer.StatusCode, status, answer.body)
		}
		if answer := s.browser().fetch("/api/heartbeat"); answer.StatusCode != http.StatusOK {
			t.Errorf("RomM %s: the heartbeat answered %d, want 200", version, answer.StatusCode)
		}
	}
}
