// The operator follows a sign-in with `caddy romm-oidc doctor --sign-in`.

package tests

import (
	"bufio"
	"io"
	"net/http"
	"net/url"
	"os/exec"
	"strings"
	"testing"

	"github.com/romm-oidc/caddy-romm-oidc/tests/caddyprocess"
)

// followed is a running doctor that waits for a sign-in.
type followed struct {
	command *exec.Cmd
	output  *bufio.Reader
	target  string // path and query of the address to open
}

// follow runs the doctor, and returns once it has printed the address.
func (s *stack) follow(flags ...string) *followed {
	s.t.Helper()
	file, err := caddyprocess.Binary()
	if err != nil {
		s.t.Fatal(err)
	}
	f := &followed{command: exec.CommandContext(s.t.Context(), file, append([]string{"romm-oidc", "--address", "localhost:2999", "doctor", "--sign-in", "--wait", "30s"}, flags...)...)}
	output, err := f.command.StdoutPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	f.command.Stderr = f.command.Stdout // where --json prints the address
	f.output = bufio.NewReader(output)
	if err := f.command.Start(); err != nil {
		s.t.Fatal(err)
	}
	for {
		line, err := f.output.ReadString('\n')
		if err != nil {
			s.t.Fatalf("the doctor ended without an address: %v", err)
		}
		if target, ok := strings.CutPrefix(strings.TrimSpace(line), s.origin); ok {
			f.target = target
			return f
		}
	}
}

// end returns what the doctor printed after the address, and its exit code.
func (f *followed) end(t *testing.T) (string, int) {
	t.Helper()
	rest, err := io.ReadAll(f.output)
	if err != nil {
		t.Fatal(err)
	}
	_ = f.command.Wait() // the exit code says it
	return string(rest), f.command.ProcessState.ExitCode()
}

// unknownProxy is a proxy before Caddy that trusted_proxies does not name.
type unknownProxy struct{ http.RoundTripper }

func (p unknownProxy) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("X-Forwarded-For", "192.0.2.7")
	return p.RoundTripper.RoundTrip(r)
}

func TestFollowedSignIn(t *testing.T) {
	s := start(t, options{directive: rolesByMail + "\nallow {\n emails alice@example.com\n}"})
	f := s.follow()
	b := s.browser()
	b.client.Transport = unknownProxy{transport}
	s.as("alice") // another browser's sign-in is not the one to follow
	callback := b.callback(f.target, "alice")
	if answer := b.open(callback); answer.StatusCode != http.StatusSeeOther {
		t.Fatalf("the callback answered %d, want 303: %s", answer.StatusCode, answer.body)
	}
	output, code := f.end(t)
	for _, want := range []string{
		"the browser opened the address", "the browser came back from the provider", "provider token", "provider userinfo", "RomM sign-in", "storage store", "took ",
		`preferred_username "alice"`, `email "alice@example.com"`, "role       admin", "request    from 127.0.0.1, over a connection from 127.0.0.1, for romm.example.com:9443", "X-Forwarded-For came", "Caddy does not believe that proxy", `"alice" with "alice@example.com", admin`, "No problem found",
	} {
		if !strings.Contains(output, want) {
			t.Errorf("the doctor printed\n%s\nwant %q in it", output, want)
		}
	}
	if code != 0 {
		t.Errorf("the doctor exited with %d, want 0", code)
	}
	query, err := url.Parse(callback)
	if err != nil {
		t.Fatal(err)
	}
	for name, secret := range map[string]string{"code": query.Query().Get("code"), "state": query.Query().Get("state"), "ticket": b.ticket()} {
		if secret == "" || strings.Contains(output, secret) {
			t.Errorf("the doctor printed the %s %q", name, secret)
		}
	}
	if n := strings.Count(output, "the browser opened"); n != 1 {
		t.Errorf("the doctor saw %d sign-ins, want one: %s", n, output)
	}
}

// A user whom the rules refuse: the doctor says what came, and why it was not enough.
func TestFollowedSignInIsRefused(t *testing.T) {
	s := start(t, options{directive: rolesByMail + "\nallow {\n emails alice@example.com\n}"})
	f := s.follow("--json")
	if f.target == "" {
		t.Fatal("no address")
	}
	s.browser().signIn(f.target, "bob")
	output, code := f.end(t)
	for _, want := range []string{`"done": true`, `"code": "not_allowed"`, `"email": "bob@example.com"`, `"cause": "`} {
		if !strings.Contains(output, want) || code != 1 {
			t.Errorf("the doctor exited with %d and printed\n%s\nwant 1 and %q", code, output, want)
		}
	}
}

// A sign-in that does not come is no sign-in that succeeded.
func TestFollowedSignInDoesNotCome(t *testing.T) {
	s := start(t, options{directive: rolesByMail})
	f := s.follow("--wait", "1s")
	s.browser().callback(f.target, "alice") // and does not open it
	if output, code := f.end(t); code != 1 || strings.Contains(output, "No problem found") {
		t.Errorf("the doctor exited with %d and printed %s, want 1", code, output)
	}
}

// Only the admin API begins to follow, and only the address that it told begins the
// sign-in that is followed. An attacker who sends a victim to an address with a made-up
// marker learns nothing, and the site itself tells nobody anything.
func TestFollowedSignInIsForTheOperatorAlone(t *testing.T) {
	s := start(t, options{directive: rolesByMail})
	f := s.follow("--wait", "2s")
	s.browser().signIn(base+"/login?follow=AAAAAAAAAAAAAAAAAAAAAAAAAA", "alice")
	for _, target := range []string{"/romm_oidc/sign-in?marker=" + strings.TrimPrefix(f.target, base+"/login?follow="), f.target + "&marker=x"} {
		if answer := s.browser().fetch(target); strings.Contains(answer.body, `"steps"`) {
			t.Errorf("the site answers %s with the report: %s", target, answer.body)
		}
	}
	if answer := s.manage(http.MethodGet, "/romm_oidc/sign-in?marker=AAAAAAAAAAAAAAAAAAAAAAAAAA"); answer.StatusCode != http.StatusNotFound {
		t.Errorf("a made-up marker is answered %d, want 404: %s", answer.StatusCode, answer.body)
	}
	if output, code := f.end(t); code != 1 || !strings.Contains(output, "No browser opened the address") {
		t.Errorf("the doctor exited with %d and printed %s, want 1 and no sign-in", code, output)
	}
}
