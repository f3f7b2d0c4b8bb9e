// Mistakes in a Caddyfile that only show when a request arrives.

package tests

import (
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/tests/romm"
)

// logged returns o with a log file, and a function that reads it.
func logged(t *testing.T, o options) (options, func() string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "log")
	o.global += "log {\n output file " + file + "\n}"
	return o, func() string {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		return string(content)
	}
}

// A second gate behind the first would strip the first one's stamp. In a named
// route, Caddy cannot see it at load.
func TestGateTwiceInOneSite(t *testing.T) {
	o, log := logged(t, options{directive: rolesByMail, site: `invoke second
}
&(second) {
	romm_oidc {
		issuer ` + issuer + `
		client_id another
		client_secret insecure_secret
		redirect_uri ` + public + base + `
	}
	reverse_proxy %s {
		` + freshConnections + `
	}
`})
	s := start(t, o)
	if answer := s.browser().fetch("/api/heartbeat"); answer.StatusCode != http.StatusInternalServerError {
		t.Errorf("the outer gate answered %d, want 500: %s", answer.StatusCode, answer.body)
	}
	s.problem(s.browser().signIn("/", "alice"), http.StatusBadGateway, "romm_unreachable")
	if lines := log(); strings.Count(lines, "two romm_oidc directives handle this request") < 2 {
		t.Errorf("the log lacks the warning about the second gate:\n%s", lines)
	}
	if asked := s.romm.Requests(); len(asked) != 0 {
		t.Errorf("RomM got %v, want no request", asked)
	}
}

// Without a handler behind the gate, Caddy would answer 200 without content.
func TestNothingBehindTheGate(t *testing.T) {
	o, log := logged(t, options{directive: rolesByMail, site: "header X-Test 1"})
	s := start(t, o)
	s.problem(s.browser().signIn("/", "alice"), http.StatusBadGateway, "romm_unreachable")
	if lines := log(); !strings.Contains(lines, "nothing behind romm_oidc answered GET /api/heartbeat: is there a reverse_proxy?") {
		t.Errorf("the log lacks the question for a reverse_proxy:\n%s", lines)
	}
}

// RomM's clock is three minutes slow, so that it refuses every ID token. The log and
// the page say so and accuse no account: neither another one of a new user's name,
// nor the account of a linked user. A session that is in use goes on.
func TestSlowClockOfRomMIsNamed(t *testing.T) {
	var slow atomic.Int64
	now := func() time.Time { return time.Now().Add(-time.Duration(slow.Load())) }
	o, log := logged(t, options{
		directive: rolesByMail, romm: func(o *romm.Options) { o.Now = now },
		prepare: func(s *stack) {
			s.rommURL = serve(s.t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Date", now().UTC().Format(http.TimeFormat))
				s.romm.ServeHTTP(w, r)
			}))
		},
	})
	s := start(t, o)
	s.romm.AddUser(root)
	bob := s.as("bob")
	slow.Store(int64(3 * time.Minute))
	for name, user := range map[string]string{"a new user": "alice", "a linked user": "bob"} {
		before := len(log())
		answer := s.browser().signIn("/", user)
		s.problem(answer, http.StatusBadGateway, "romm_refused")
		if !strings.Contains(answer.body, "clock is 3m") || strings.Contains(answer.body, "e-mail") {
			t.Errorf("%s: the page does not name RomM's clock, or accuses an account:\n%s", name, answer.body)
		}
		lines := log()[before:]
		if !strings.Contains(lines, `"cause":"RomM's clock is 3m`) || strings.Contains(lines, "probably has an account") {
			t.Errorf("%s: the log does not start with RomM's clock, or accuses an account:\n%s", name, lines)
		}
	}
	bob.wantUser("bob")
}

// A site with two addresses has two handlers but one gate, which warns once
// per load.
func TestWarningsOncePerLoad(t *testing.T) {
	o, log := logged(t, options{directive: "clients password"})
	s := start(t, o)
	if n := strings.Count(log(), "\"msg\":\"`clients password` is set"); n != 1 {
		t.Errorf("the log has %d warnings after one load, want 1", n)
	}
	o.directive += "\nroles {\nadmin *\n}"
	s.load(o)
	if n := strings.Count(log(), "\"msg\":\"`roles` has `admin *`"); n != 1 {
		t.Errorf("the log has %d warnings that all users are administrators, want 1", n)
	}
	if n := strings.Count(log(), "\"msg\":\"`clients password` is set"); n != 2 {
		t.Errorf("the log has %d warnings after two loads, want 2", n)
	}
}

// The manual's handle_errors shows the errors of the gate and those of
// reverse_proxy.
func TestDocumentedErrorPages(t *testing.T) {
	document := manual(t)
	routes := regexp.MustCompile(`(?s)\thandle_errors \{.*?\n\t\}`).FindString(document)
	if routes == "" {
		t.Fatal("README.md lacks handle_errors")
	}
	s := start(t, options{directive: "errors pass", site: "reverse_proxy %s {\n" + freshConnections + "\n}\n" + routes})
	page := regexp.MustCompile(`^(\d+) [A-Z][A-Za-z ]+ \(reference [A-Za-z0-9]{9,}\)$`)
	for name, answer := range map[string]func() response{
		"401": func() response { return s.browser().fetch("/api/users/me") },
		"502": func() response { s.romm.Down(); return s.browser().fetch("/api/heartbeat") },
	} {
		got := answer()
		if match := page.FindStringSubmatch(got.body); match == nil || match[1] != name || got.Status[:3] != name {
			t.Errorf("got %s, want the operator's page for %s: %q", got.Status, name, got.body)
		}
	}
}

// RomM may find the provider in a site block of its own, as it does without
// containers: blocks with the same settings share one gate.
func TestProviderInItsOwnBlock(t *testing.T) {
	const within = "http://127.0.0.1:9082"
	o := options{romm: func(o *romm.Options) { o.OIDC.ServerURL = within + base }, directive: rolesByMail}
	s := start(t, o)
	o.site = "reverse_proxy %s {\n" + freshConnections + `
	}
}
` + within + ` {
	bind 127.0.0.1
	romm_oidc {
		issuer ` + issuer + `
		issuer_address ` + s.autheliaURL + `
		client_id romm
		client_secret insecure_secret
		redirect_uri ` + public + base + `
		` + rolesByMail + `
	}`
	s.load(o)
	if answer := s.browser().signIn("/rom/7", "alice"); answer.Header.Get("Location") != "/rom/7" {
		t.Errorf("the callback answered %d, want a redirect to /rom/7: %s", answer.StatusCode, answer.body)
	}
	if answer := s.browser().open(within + "/rom/7"); answer.StatusCode != http.StatusMisdirectedRequest {
		t.Errorf("a page at RomM's address of the gate answered %d, want 421: %s", answer.StatusCode, answer.body)
	}
}
