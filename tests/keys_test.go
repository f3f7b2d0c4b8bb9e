// Rotation of the keys by the operator's command.

package tests

import (
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/tests/caddyprocess"
)

// The operator rotates the keys while users play. Every user stays signed in,
// before and after the new keys are in use, and RomM accepts the new
// signature.
func TestRotateByCommand(t *testing.T) {
	o := options{directive: rolesByMail}
	s := start(t, o)
	browsers := map[string]*browser{"alice": s.as("alice"), "bob": s.as("bob")}
	allIn := func(when string) {
		for name, b := range browsers {
			if me := b.fetch("/api/users/me"); me.StatusCode != http.StatusOK || !strings.Contains(me.body, `"username":"`+name+`"`) {
				t.Errorf("%s: /api/users/me as %s answered %d, want 200 with that user: %s", when, name, me.StatusCode, me.body)
			}
		}
	}
	before := s.published()
	file, err := caddyprocess.Binary()
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second run finds new keys already pending
		output, err := exec.Command(file, "romm-oidc", "keys", "rotate", "--address", "localhost:2999").CombinedOutput()
		if err != nil || !strings.Contains(string(output), "No session ends") {
			t.Fatalf("keys rotate: error %v, want none and that no session ends: %s", err, output)
		}
	}
	if after := s.published(); len(before) != 2 || len(after) != 4 {
		t.Errorf("RomM can know the keys %v before and %v after the rotation, want 2 and 4", before, after)
	}
	allIn("after the command")

	s.unload()
	s.ageKeys(2 * time.Hour)
	s.load(o)
	allIn("under the new keys")
	s.romm.DropSessions() // but keeps the JWKS
	allIn("with new sessions in RomM")
	browsers["carol"] = s.as("carol")
	allIn("after a sign-in")
	if answer := s.browser().do("http://localhost:2999/romm_oidc/keys/rotate"); answer.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("GET of keys/rotate answered %d, want 405", answer.StatusCode)
	}
}

// published returns the ids of the keys in the JWKS.
func (s *stack) published() (ids []string) {
	s.t.Helper()
	var document struct {
		Keys []struct {
			ID string `json:"kid"`
		} `json:"keys"`
	}
	if err := json.Unmarshal([]byte(s.browser().do(inside+base+"/jwks").body), &document); err != nil {
		s.t.Fatal(err)
	}
	for _, key := range document.Keys {
		ids = append(ids, key.ID)
	}
	return ids
}

// ageKeys changes the stored keys as if this time had passed.
func (s *stack) ageKeys(by time.Duration) {
	s.t.Helper()
	for document, list := range map[string]string{"keyring.json": "times", "signing_keys.json": "keys", "client_keys.json": "keys"} {
		files, err := filepath.Glob(filepath.Join(s.storage, "romm_oidc", "*", document))
		if len(files) == 0 && document == "client_keys.json" {
			continue // the client has a secret
		}
		if err != nil || len(files) != 1 {
			s.t.Fatalf("the storage has %v as %s, want one file; error: %v", files, document, err)
		}
		content, err := os.ReadFile(files[0])
		if err != nil {
			s.t.Fatal(err)
		}
		var value map[string]any
		if err := json.Unmarshal(content, &value); err != nil {
			s.t.Fatal(err)
		}
		for _, entry := range value[list].([]any) {
			times := entry.(map[string]any)
			for _, name := range []string{"created", "active_from"} {
				at, err := time.Parse(time.RFC3339, times[name].(string))
				if err != nil {
					s.t.Fatal(err)
				}
				times[name] = at.Add(-by)
			}
		}
		if content, err = json.Marshal(value); err != nil {
			s.t.Fatal(err)
		}
		if err := os.WriteFile(files[0], content, 0o600); err != nil {
			s.t.Fatal(err)
		}
	}
}
