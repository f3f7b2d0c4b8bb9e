// The command's flags: JSON for scripts, the address from the configuration, and
// the question before everything ends.

package tests

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/romm-oidc/caddy-romm-oidc/handler/admin"
	"github.com/romm-oidc/caddy-romm-oidc/tests/caddyprocess"
)

// run runs `caddy romm-oidc` without further flags, with input on standard input,
// and returns its standard output, its standard error and its exit code.
func run(t *testing.T, input string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	file, err := caddyprocess.Binary()
	if err != nil {
		t.Fatal(err)
	}
	var output, errors strings.Builder
	command := exec.CommandContext(t.Context(), file, append([]string{"romm-oidc"}, args...)...)
	command.Stdin, command.Stdout, command.Stderr = strings.NewReader(input), &output, &errors
	_ = command.Run() // the exit code says it
	return output.String(), errors.String(), command.ProcessState.ExitCode()
}

// Every command prints what the admin API answers with --json, and nothing else.
func TestCommandPrintsJSON(t *testing.T) {
	s := start(t, options{directive: rolesByMail})
	s.as("alice")
	s.as("bob")
	id := managed[admin.Session](s, admin.SessionsPath)[0].ID
	for _, c := range []struct{ args, field string }{
		{"status", "sessions_in_memory"},
		{"sessions list", "last_seen"},
		{"sessions end " + id, "ended"},
		{"sessions end-user alice", "ended"},
		{"links list", "username"},
		{"links trust alice", "trusted"},
		{"links move bob " + s.authelia.Subject("carol"), "sub"},
		{"links forget bob", "ended"},
		{"keys rotate", "gate"},
		{"sessions end-all --yes", "ended"},
	} {
		stdout, stderr, code := run(t, "", append([]string{"--json", "--address", "localhost:2999"}, strings.Fields(c.args)...)...)
		var all []map[string]any
		if err := json.Unmarshal([]byte(stdout), &all); err != nil || code != 0 || stderr != "" || len(all) == 0 || all[0][c.field] == nil {
			t.Errorf("%s --json exited with %d, want 0 and JSON with the field %s: %s%s", c.args, code, c.field, stdout, stderr)
		}
	}
	s.unload()
	s.authelia.Down()
	s.load(options{directive: rolesByMail})
	stdout, stderr, code := run(t, "", "status", "--json", "--address", "localhost:2999")
	if code != 1 || !json.Valid([]byte(stdout)) || !strings.HasPrefix(stderr, "Error: ") {
		t.Errorf("status --json while Authelia is down exited with %d, want 1, JSON and an error: %s%s", code, stdout, stderr)
	}
}

// --config finds the admin API in a configuration file, as caddy reload does.
func TestCommandFindsTheAdminAPI(t *testing.T) {
	start(t, options{directive: rolesByMail})
	folder := t.TempDir()
	for name, content := range map[string]string{
		"Caddyfile":   "{\n\tadmin localhost:2999\n}\n",
		"caddy.json":  `{"admin":{"listen":"localhost:2999"}}`,
		"other.caddy": "{\n\tadmin localhost:2999\n}\n",
	} {
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		args := []string{"status", "--config", path}
		if name == "other.caddy" {
			args = append(args, "--adapter", "caddyfile")
		}
		if stdout, stderr, code := run(t, "", args...); code != 0 || !strings.Contains(stdout, "public origin") {
			t.Errorf("status --config %s exited with %d, want 0 and the state: %s%s", name, code, stdout, stderr)
		}
	}
	if _, stderr, code := run(t, "", "status", "--config", filepath.Join(folder, "none")); code != 1 || !strings.Contains(stderr, "none") {
		t.Errorf("status with a configuration file that does not exist exited with %d, want 1 and the file's name: %s", code, stderr)
	}
}

// sessions end-all asks first. Without an answer, as in a script, it ends nothing.
func TestEndAllAsks(t *testing.T) {
	s := start(t, options{directive: rolesByMail})
	alice := s.as("alice")
	for _, answer := range []string{"", "\n", "no\n", "y", "YES!\n"} {
		stdout, stderr, code := run(t, answer, "sessions", "end-all", "--address", "localhost:2999")
		if code != 1 || stdout != "" || !strings.Contains(stderr, "no session ended") || !alice.in() {
			t.Errorf("end-all with the answer %q exited with %d, want 1 and no end: %s%s", answer, code, stdout, stderr)
		}
	}
	if stdout, stderr, code := run(t, "yes\n", "sessions", "end-all", "--address", "localhost:2999"); code != 0 || !strings.Contains(stdout, "1 session ended") || alice.in() {
		t.Errorf("end-all with the answer yes exited with %d, want 0 and the end: %s%s", code, stdout, stderr)
	}
}
