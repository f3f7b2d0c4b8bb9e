// Reloads that Caddy refuses, and reloads that it does not: which configuration is in force.

package tests

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"runtime/pprof"
	"strings"
	"testing"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/handler/admin"
)

// post loads a Caddyfile into Caddy, which may refuse it.
func (s *stack) post(caddyfile string) response {
	s.t.Helper()
	defer s.adminReplaced()
	return s.browser().send("POST http://localhost:2999/load", strings.NewReader(caddyfile), "Content-Type", "text/caddyfile")
}

// adminReplaced waits until the admin API answers: each reload replaces it, and
// the former one takes connections for a moment that it does not answer.
func (s *stack) adminReplaced() {
	s.t.Helper()
	eventually(s.t, func() bool {
		transport.CloseIdleConnections()
		http.DefaultClient.CloseIdleConnections()
		answer, err := http.DefaultClient.Get("http://localhost:2999" + admin.SessionsPath)
		if err != nil {
			return false
		}
		return answer.Body.Close() == nil
	})
}

// goroutines returns how many goroutines of this process run the module's code.
func goroutines(t *testing.T) (n int) {
	t.Helper()
	var profile bytes.Buffer
	if err := pprof.Lookup("goroutine").WriteTo(&profile, 1); err != nil {
		t.Fatal(err)
	}
	ours := regexp.MustCompile(`caddy-romm-oidc(/flow|/handler|\.)`)
	_, groups, _ := strings.Cut(profile.String(), "\n") // the first line is the total
	for group := range strings.SplitSeq(groups, "\n\n") {
		if count := 0; ours.MatchString(group) && !strings.Contains(group, "caddy-romm-oidc/tests") {
			_, _ = fmt.Sscanf(strings.TrimSpace(group), "%d @", &count)
			n += count
		}
	}
	return n
}

// stalled returns sites that Caddy provisions and then cannot start, or refuses.
func stalled(t *testing.T) map[string]string {
	t.Helper()
	taken, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = taken.Close() })
	return map[string]string{
		"a taken port": "http://" + taken.Addr().String() + " {\n\tbind 127.0.0.1\n\trespond hi\n}\n",
		"a missing file at another site": `http://other.example.com:9080 {
	reverse_proxy https://127.0.0.1:1 {
		transport http {
			tls_trust_pool file /nonexistent.pem
		}
	}
}
`,
	}
}

// A configuration that Caddy refuses leaves the limits, the storage and the
// provider of the running one in force, and no goroutine, lock or file.
func TestRefusedReloadChangesNothing(t *testing.T) {
	for name, site := range stalled(t) {
		t.Run(name, func(t *testing.T) {
			s := start(t, options{directive: rolesByMail})
			alice := s.as("alice")
			running, before := s.storage, goroutines(t)
			status := managed[admin.Status](s, admin.StatusPath)
			s.storage = filepath.Join(t.TempDir(), "other")
			refused := s.caddyfile(options{directive: rolesByMail + "\nsession {\n idle 1m\n lifetime 1m\n}\nrotate 1d\n"})
			other := s.storage
			s.storage = running
			refused = strings.Replace(refused, "issuer_address "+s.autheliaURL, "issuer_address http://127.0.0.1:1", 1)
			for range 3 {
				if answer := s.post(refused + site); answer.StatusCode/100 == 2 {
					t.Fatalf("the reload answered %d, want it refused", answer.StatusCode)
				}
			}
			bob := s.as("bob")
			if !alice.in() || !bob.in() {
				t.Errorf("alice is in: %v, bob, who signed in after it: %v, want both in", alice.in(), bob.in())
			}
			for _, session := range managed[admin.Session](s, admin.SessionsPath) {
				if lives := session.Expires.Sub(session.Created).Round(time.Minute); lives != 30*24*time.Hour {
					t.Errorf("the session of %s lives for %s, want 720h0m0s", session.User, lives)
				}
			}
			if heads, _ := filepath.Glob(running + "/romm_oidc/*/sessions/heads/*"); len(heads) != 2 {
				t.Errorf("the storage has %d sessions, want 2: %v", len(heads), heads)
			}
			if _, err := os.Stat(other + "/romm_oidc"); err == nil {
				t.Error("the gate wrote to the storage of the refused configuration")
			}
			after := managed[admin.Status](s, admin.StatusPath)
			if len(after) != 1 || after[0].Provider != status[0].Provider || !after[0].Well() {
				t.Errorf("the status is %+v, want as before %+v", after, status)
			}
			eventually(t, func() bool { return goroutines(t) <= before }) // some run for a moment only
		})
	}
}

// Refused reloads between accepted ones, many times: each accepted one takes
// effect at once, no refused one does, and nothing piles up.
func TestRefusedAndAcceptedReloads(t *testing.T) {
	s := start(t, options{directive: rolesByMail})
	alice := s.as("alice")
	before := goroutines(t)
	lifetime := func(days int) string { return rolesByMail + fmt.Sprintf("session {\n lifetime %dd\n}\n", days) }
	site := stalled(t)["a taken port"]
	for i := range 100 {
		if answer := s.post(s.caddyfile(options{directive: lifetime(14 + i%10)})); answer.StatusCode != http.StatusOK {
			t.Fatalf("reload %d answered %d, want 200: %s", i, answer.StatusCode, answer.body)
		}
		if answer := s.post(s.caddyfile(options{directive: lifetime(25)}) + site); answer.StatusCode/100 == 2 {
			t.Fatalf("reload %d answered %d, want it refused", i, answer.StatusCode)
		}
		session := managed[admin.Session](s, admin.SessionsPath)[0]
		if lives, want := session.Expires.Sub(session.Created).Round(time.Minute), time.Duration(14+i%10)*24*time.Hour; lives != want {
			t.Fatalf("after reload %d the session lives for %s, want %s", i, lives, want)
		}
	}
	transport.CloseIdleConnections()
	if !alice.in() {
		t.Error("alice is out after the reloads")
	}
	eventually(t, func() bool { return goroutines(t) <= before+2 })
}

// A gate that leaves the configuration ends its sockets and downloads, which no
// command could reach any more, even where reverse_proxy keeps them for an hour.
func TestGateThatLeavesEndsItsStreams(t *testing.T) {
	delayed := "reverse_proxy %s {\n" + freshConnections + "\nstream_close_delay 1h\n}"
	for name, next := range map[string]func(*stack) string{
		"another client_id": func(s *stack) string {
			return s.caddyfile(options{directive: rolesByMail, gate: "romm2", site: delayed})
		},
		"no site": func(s *stack) string { return s.caddyfile(options{})[:strings.Index(s.caddyfile(options{}), public)] },
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t, options{directive: rolesByMail, site: delayed})
			unhurried := func(caddyfile string) string { return strings.Replace(caddyfile, "\tgrace_period 1ns\n", "", 1) }
			if answer := s.post(unhurried(s.caddyfile(options{directive: rolesByMail, site: delayed}))); answer.StatusCode != http.StatusOK {
				t.Fatalf("the reload answered %d, want 200: %s", answer.StatusCode, answer.body)
			}
			streams := s.streams()
			if answer := s.post(unhurried(next(s))); answer.StatusCode != http.StatusOK {
				t.Fatalf("the reload answered %d, want 200: %s", answer.StatusCode, answer.body)
			}
			streams.wantEnded(t)
		})
	}
}
