// The operator's commands and the admin API against a running Caddy: sessions and links.

package tests

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/caddytest"

	"github.com/romm-oidc/caddy-romm-oidc/handler/admin"
	"github.com/romm-oidc/caddy-romm-oidc/tests/caddyprocess"
)

// manage sends a request to the admin API of the running Caddy.
func (s *stack) manage(method, path string) response {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), method, "http://localhost:2999"+path, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer answer.Body.Close()
	content, err := io.ReadAll(answer.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return response{answer, string(content)}
}

// managed decodes the admin API's answer to a GET of path.
func managed[T any](s *stack, path string) (all []T) {
	s.t.Helper()
	answer := s.manage(http.MethodGet, path)
	if err := json.Unmarshal([]byte(answer.body), &all); err != nil || answer.StatusCode != http.StatusOK {
		s.t.Fatalf("GET %s answered %d, want 200 with a JSON array: %s", path, answer.StatusCode, answer.body)
	}
	return all
}

// command runs `caddy romm-oidc` and returns its output and its exit code.
func (s *stack) command(args ...string) (string, int) {
	s.t.Helper()
	file, err := caddyprocess.Binary()
	if err != nil {
		s.t.Fatal(err)
	}
	command := exec.CommandContext(s.t.Context(), file, append([]string{"romm-oidc", "--address", "localhost:2999"}, args...)...)
	output, _ := command.CombinedOutput()
	return string(output), command.ProcessState.ExitCode()
}

// in reports whether b is still signed in.
func (b *browser) in() bool {
	b.t.Helper()
	return b.fetch("/api/users/me").StatusCode == http.StatusOK
}

// The operator can list the signed-in users, without any secret that opens a
// session, and can end one session, all sessions of a user, or all sessions.
func TestOperatorEndsSessions(t *testing.T) {
	s := start(t, options{directive: rolesByMail})
	alice, bob, bobToo, carol := s.as("alice"), s.as("bob"), s.as("bob"), s.as("carol")
	answer := s.manage(http.MethodGet, admin.SessionsPath)
	for _, secret := range []string{alice.ticket(), bob.ticket(), "authelia_", "eyJ", "romm_session"} {
		if strings.Contains(answer.body, secret) {
			t.Errorf("the list holds the secret %s", secret)
		}
	}
	all := managed[admin.Session](s, admin.SessionsPath)
	if len(all) != 4 || all[0].User != "carol" || all[3].User != "alice" {
		t.Fatalf("the admin API lists %+v, want 4 sessions from carol's, the latest, to alice's, the first", all)
	}
	for _, one := range all {
		if one.Gate == "" || one.Created.IsZero() || one.LastSeen.Before(one.Created.Truncate(1e9)) || !one.Expires.After(one.Created) || one.Node == "" {
			t.Errorf("a listed session lacks its gate, node or times, or these are out of order: %+v", one)
		}
	}
	if output, code := s.command("sessions", "list"); code != 0 || !strings.HasPrefix(output, "ID ") || strings.Count(output, "\n") != 5 || !strings.Contains(output, all[0].ID) {
		t.Errorf("sessions list exited with %d, want 0, a heading and 4 sessions: %s", code, output)
	}

	if output, code := s.command("sessions", "end", all[0].ID); code != 0 || !strings.Contains(output, "1 session ended") {
		t.Errorf("sessions end of carol's session exited with %d, want 0 and 1 session ended: %s", code, output)
	}
	if carol.in() || !alice.in() || !bob.in() {
		t.Error("want only carol's session ended")
	}
	if output, code := s.command("sessions", "end", all[0].ID); code == 0 || !strings.Contains(output, "no session has the id") {
		t.Errorf("sessions end of an ended session exited with %d, want a failure that says so: %s", code, output)
	}
	if output, code := s.command("sessions", "end", "../links"); code == 0 || strings.Contains(output, "ended") {
		t.Errorf("sessions end ../links exited with %d, want a failure and no session ended: %s", code, output)
	}

	if output, code := s.command("sessions", "end-user", "mallory"); code == 0 || !strings.Contains(output, `no session is of`) {
		t.Errorf("sessions end-user of an unknown user exited with %d, want a failure that says so: %s", code, output)
	}
	if output, code := s.command("sessions", "end-user", "bob"); code != 0 || !strings.Contains(output, "2 sessions ended") {
		t.Errorf("sessions end-user bob exited with %d, want 0 and 2 sessions ended: %s", code, output)
	}
	if bob.in() || bobToo.in() || !alice.in() {
		t.Error("want only bob's sessions ended")
	}
	for _, word := range []string{"BOB@example.com", s.authelia.Subject("bob")} {
		bob = s.as("bob")
		if answer := s.manage(http.MethodDelete, admin.SessionsPath+"?user="+url.QueryEscape(word)); answer.StatusCode != http.StatusOK || bob.in() || !alice.in() {
			t.Errorf("DELETE with user=%s answered %d, want 200 with bob signed out and alice signed in: %s", word, answer.StatusCode, answer.body)
		}
	}

	bob = s.as("bob")
	if output, code := s.command("sessions", "end-all", "--yes"); code != 0 || !strings.Contains(output, "2 sessions ended") {
		t.Errorf("sessions end-all exited with %d, want 0 and 2 sessions ended: %s", code, output)
	}
	if bob.in() || alice.in() {
		t.Error("alice or bob is signed in after sessions end-all")
	}
}

// An ambiguous request changes nothing and is answered with the reason. The
// admin API matches paths exactly, not by prefix (CVE-2026-27589).
func TestAdminAPIRefuses(t *testing.T) {
	s := start(t, options{directive: rolesByMail})
	alice := s.as("alice")
	gate := managed[admin.Status](s, admin.StatusPath)[0].Gate
	for name, c := range map[string]struct {
		method, path string
		status       int
		says         string
	}{
		"neither user nor all":                {"DELETE", "/sessions", 400, "?all=true"},
		"all=false":                           {"DELETE", "/sessions?all=false", 400, "?all=true"},
		"a user and all":                      {"DELETE", "/sessions?user=alice&all=true", 400, "?all=true"},
		"an empty user":                       {"DELETE", "/sessions?user=", 400, "one value"},
		"two users":                           {"DELETE", "/sessions?user=alice&user=bob", 400, "one value"},
		"a misspelt gate":                     {"DELETE", "/sessions?all=true&gat=" + gate, 400, `unknown here`},
		"an unknown gate":                     {"DELETE", "/sessions?all=true&gate=0123", 404, "no gate has the id"},
		"an unknown session":                  {"DELETE", "/sessions/" + strings.Repeat("0", 32), 404, "no session has the id"},
		"a malformed session id":              {"DELETE", "/sessions/alice", 400, "32 digits"},
		"a path below a session":              {"DELETE", "/sessions/" + strings.Repeat("0", 32) + "/x", 404, ""},
		"a session, with GET":                 {"GET", "/sessions/" + strings.Repeat("0", 32), 405, "DELETE"},
		"sessions, with POST":                 {"POST", "/sessions", 405, "DELETE, GET"},
		"links, with PUT":                     {"PUT", "/links", 405, "DELETE, GET, PATCH"},
		"status, with DELETE":                 {"DELETE", "/status", 405, "GET"},
		"a path below status":                 {"GET", "/status/x", 404, ""},
		"the path above the endpoints":        {"GET", "/", 404, ""},
		"a link without an e-mail":            {"DELETE", "/links", 400, "?email="},
		"an unknown link":                     {"DELETE", "/links?email=carol@example.com", 404, "no link"},
		"a move without a subject":            {"PATCH", "/links?account=alice", 400, "&sub="},
		"a move of an account without a link": {"PATCH", "/links?account=carol&sub=x", 404, "no link"},
	} {
		t.Run(name, func(t *testing.T) {
			answer := s.manage(c.method, "/romm_oidc"+c.path)
			var refusal struct {
				Error string `json:"error"`
			}
			if c.says != "" {
				if err := json.Unmarshal([]byte(answer.body), &refusal); err != nil {
					t.Errorf("the refusal is not JSON: %v", err)
				}
			}
			if answer.StatusCode != c.status || !strings.Contains(refusal.Error, c.says) {
				t.Errorf("%s %s answered %d, want %d with an error that says %q: %s", c.method, c.path, answer.StatusCode, c.status, c.says, answer.body)
			}
			if c.status == http.StatusMethodNotAllowed && answer.Header.Get("Allow") != c.says {
				t.Errorf("Allow is %q, want %q", answer.Header.Get("Allow"), c.says)
			}
		})
	}
	if !alice.in() {
		t.Error("alice is signed out by a refused request")
	}
}

// CVE-2022-24797: debug endpoints were reachable on the public listener. Ours
// are on Caddy's admin listener only, which refuses foreign origins.
func TestAdminAPIIsNotPublic(t *testing.T) {
	s := start(t, options{directive: rolesByMail})
	alice := s.as("alice")
	for _, path := range []string{admin.SessionsPath, admin.LinksPath, admin.StatusPath} {
		if answer := alice.fetch(path); strings.Contains(answer.body, `"gate"`) {
			t.Errorf("%s answered %d at the public address, want nothing of the admin API: %s", path, answer.StatusCode, answer.body)
		}
		if answer := s.browser().fetch(inside + path); answer.StatusCode != http.StatusMisdirectedRequest {
			t.Errorf("%s answered %d at the inside address, want 421", path, answer.StatusCode)
		}
		// DNS rebinding: the attacker's host name resolves to this machine.
		if answer := s.browser().do("http://localhost:2999"+path, "Host", "evil.com"); answer.StatusCode != http.StatusForbidden {
			t.Errorf("%s answered %d to the host evil.com, want 403", path, answer.StatusCode)
		}
	}
}

// A rebuilt Authelia issues new subjects: the operator moves the link to the
// subject that the log names.
func TestMoveLinkToTheNewSubject(t *testing.T) {
	s := start(t, options{directive: rolesByMail})
	former := s.as("alice")
	s.as("bob")
	s.authelia.ResetDatabase()
	s.problem(s.browser().signIn("/", "alice"), http.StatusForbidden, "link_taken")
	subject := s.authelia.Subject("alice")
	if output, code := s.command("links", "move", "carol", subject); code != 1 || !strings.Contains(output, "no link is to a RomM account") {
		t.Errorf("links move of an account without a link exited with %d, want 1 and the reason: %s", code, output)
	}
	if output, code := s.command("links", "move", "alice@example.com", subject); code != 0 || !strings.Contains(output, "is linked to subject "+subject) || !strings.Contains(output, "A subject is what links list shows") {
		t.Errorf("links move of alice's link exited with %d, want 0 and the new subject: %s", code, output)
	}
	if former.in() {
		t.Error("the former session of the account is alive after its link moved")
	}
	if me := s.as("alice").fetch("/api/users/me"); !strings.Contains(me.body, `"username":"alice"`) {
		t.Errorf("after the move RomM takes alice for %s", me.body)
	}
	if output, code := s.command("links", "move", "bob", subject); code != 1 || !strings.Contains(output, "linked to another RomM account") {
		t.Errorf("links move of bob's link to alice's subject exited with %d, want 1 and the reason: %s", code, output)
	}
}

func TestCommandWithoutCaddy(t *testing.T) {
	file, err := caddyprocess.Binary()
	if err != nil {
		t.Fatal(err)
	}
	for _, args := range []string{"status", "sessions list", "sessions end-all --yes", "links list"} {
		command := exec.CommandContext(t.Context(), file, append([]string{"romm-oidc", "--address", "unix/" + filepath.Join(t.TempDir(), "none")}, strings.Fields(args)...)...)
		output, err := command.CombinedOutput()
		if err == nil || !strings.Contains(string(output), "asking the admin API of Caddy at unix/") || strings.Contains(string(output), "Usage:") || !strings.Contains(string(output), "Is Caddy running here") {
			t.Errorf("%s without a running Caddy: error %v, want one that says which address did not answer: %s", args, err, output)
		}
	}
	for args, want := range map[string]string{
		"bogus":             `caddy romm-oidc knows no "bogus": see caddy romm-oidc --help`,
		"sessions bogus":    `caddy romm-oidc sessions knows no "bogus"`,
		"links bogus":       `caddy romm-oidc links knows no "bogus"`,
		"sessions end":      "caddy romm-oidc sessions end takes the id of the session, as sessions list shows it",
		"sessions end-user": "caddy romm-oidc sessions end-user takes the user's name, subject or e-mail address",
		"links move alice":  "caddy romm-oidc links move takes the RomM account, as links list shows it, and the new subject",
		"links forget a b":  "caddy romm-oidc links forget takes the e-mail address of the RomM account",
		"status now":        `caddy romm-oidc status takes no argument, and was given ["now"]`,
	} {
		output, err := exec.CommandContext(t.Context(), file, append([]string{"romm-oidc"}, strings.Fields(args)...)...).CombinedOutput()
		if err == nil || !strings.HasPrefix(string(output), "Error: "+want) {
			t.Errorf("%s: error %v, want one that begins with %q: %s", args, err, want, output)
		}
	}
	for _, args := range []string{"help", "sessions help"} {
		output, err := exec.CommandContext(t.Context(), file, append([]string{"romm-oidc"}, strings.Fields(args)...)...).CombinedOutput()
		if err != nil || !strings.Contains(string(output), "end-user") {
			t.Errorf("%s: error %v, want none and the list of commands: %s", args, err, output)
		}
	}
	s := &stack{t: t, tester: caddytest.NewTester(t)}
	s.unload()
	if output, _ := s.command("status", "--address", "http://localhost:2999/"); output != "Error: the running configuration has no romm_oidc gate\n" {
		t.Errorf("status with a URL as the address printed %q, want only that there is no gate", output)
	}
	for _, args := range []string{"status", "sessions list", "sessions end-all --yes", "links list"} {
		if output, code := s.command(strings.Fields(args)...); code != 1 || output != "Error: the running configuration has no romm_oidc gate\n" {
			t.Errorf("%s without a gate exited with %d, want 1 and the reason: %s", args, code, output)
		}
	}
}
