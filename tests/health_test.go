// Health: what a monitor learns.

package tests

import (
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/romm-oidc/caddy-romm-oidc/handler/admin"
)

// health returns the status, the state and the codes of the reasons that a
// monitor gets at query.
func (s *stack) health(query string) (status int, state admin.State, reasons []string) {
	s.t.Helper()
	answer := s.manage(http.MethodGet, admin.HealthPath+query)
	var health admin.Healths
	if err := json.Unmarshal([]byte(answer.body), &health); err != nil || len(health.Gates) != 1 || health.Gates[0].Gate == "" {
		s.t.Fatalf("GET %s%s answered %d: %s", admin.HealthPath, query, answer.StatusCode, answer.body)
	}
	for _, reason := range health.Gates[0].Reasons {
		reasons = append(reasons, reason.Code)
		if reason.Detail == "" {
			s.t.Errorf("the reason %s has no detail", reason.Code)
		}
	}
	return answer.StatusCode, health.Health, reasons
}

// A monitor tells a gate that works from one with a provider that is down, a
// storage that cannot be written, and keys that cannot be used.
func TestHealth(t *testing.T) {
	s := start(t, options{directive: rolesByMail})
	alice := s.as("alice")
	want := func(name, query string, status int, state admin.State, reasons ...string) {
		t.Helper()
		if gotStatus, gotState, got := s.health(query); gotStatus != status || gotState != state ||
			slices.ContainsFunc(reasons, func(reason string) bool { return !slices.Contains(got, reason) }) || (state == admin.Ready) != (got == nil) {
			t.Errorf("%s: GET health%s answered %d %s %q, want %d %s %q", name, query, gotStatus, gotState, got, status, state, reasons)
		}
	}
	want("all is well", "", 200, admin.Ready)
	want("all is well", "?strict", 200, admin.Ready)

	s.authelia.Down()
	s.unload() // it would take the metadata that it has just read for an answer
	s.load(options{directive: rolesByMail})
	want("Authelia is down", "", 200, admin.Degraded, "provider_unavailable")
	want("Authelia is down", "?strict", 503, admin.Degraded, "provider_unavailable")
	want("Authelia is down", "?strict=true", 503, admin.Degraded, "provider_unavailable")
	if !alice.in() {
		t.Error("alice is out while Authelia is down")
	}
	s.authelia.Up()
	gone := func(reason string) {
		t.Helper()
		eventually(t, func() bool { _, _, reasons := s.health(""); return !slices.Contains(reasons, reason) })
	}
	gone("provider_unavailable") // alice's re-check may go on to count as failing

	locks := filepath.Join(s.storage, "locks")
	if err := errors.Join(os.RemoveAll(locks), os.WriteFile(locks, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	want("the storage cannot be written", "", 503, admin.Broken, "storage_unavailable")
	if err := os.Remove(locks); err != nil {
		t.Fatal(err)
	}
	gone("storage_unavailable")

	keyrings, err := filepath.Glob(filepath.Join(s.storage, "romm_oidc", "*", "keyring.json"))
	if err != nil || len(keyrings) != 1 {
		t.Fatal(keyrings, err)
	}
	if err := os.WriteFile(keyrings[0], []byte(`{"version":99}`), 0o600); err != nil {
		t.Fatal(err)
	}
	want("the keyring is of a newer version", "", 503, admin.Broken, "keys_unusable")
	if n := value(t, s.metrics(), "caddy_romm_oidc_keys_unusable"); n != 1 {
		t.Errorf("caddy_romm_oidc_keys_unusable is %v while the keyring cannot be used, want 1", n)
	}
	for _, bad := range []string{"?strict=no", "?verbose", "?gate=0123"} {
		if answer := s.manage(http.MethodGet, admin.HealthPath+bad); answer.StatusCode/100 != 4 {
			t.Errorf("GET health%s answered %d, want an error: %s", bad, answer.StatusCode, answer.body)
		}
	}
}
