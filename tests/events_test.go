// Caddy's events: another module hears of what happens at the gate.

package tests

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/romm-oidc/caddy-romm-oidc/handler/event"
)

func init() { caddy.RegisterModule(subscriber{}) }

// subscriber is a module that keeps the events it gets.
type subscriber struct{}

var received struct {
	mu     sync.Mutex
	events []caddy.Event
}

// CaddyModule implements caddy.Module.
func (subscriber) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "events.handlers.romm_oidc_test", New: func() caddy.Module { return new(subscriber) }}
}

// UnmarshalCaddyfile implements caddyfile.Unmarshaler.
func (*subscriber) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next()
	return nil
}

// Handle implements caddyevents.Handler.
func (*subscriber) Handle(_ context.Context, e caddy.Event) error {
	received.mu.Lock()
	defer received.mu.Unlock()
	received.events = append(received.events, e)
	if e.Data["code"] == "cross_origin" {
		panic("a subscriber with a fault")
	}
	return nil
}

// Another module hears of what happens at the gate, with the documented data. Its
// faults are not the gate's.
func TestEvents(t *testing.T) {
	received.mu.Lock()
	received.events = nil
	received.mu.Unlock()
	names := make([]string, 0, len(event.Names()))
	for _, name := range event.Names() {
		names = append(names, "on romm_oidc."+string(name)+" romm_oidc_test")
	}
	s := start(t, options{directive: rolesByMail, global: "events {\n" + strings.Join(names, "\n") + "\n}\n"})
	alice := s.as("alice")
	if answer := alice.fetch("/api/users/me", "Origin", "https://evil.example"); answer.StatusCode != http.StatusForbidden {
		t.Fatalf("a request of another site answered %d, want 403", answer.StatusCode)
	}
	s.browser().fetch("/api/users/me") // everyday
	alice.fetch("POST /api/logout", "Origin", public)
	s.as("bob")
	if output, code := s.command("sessions", "end-user", "bob"); code != 0 {
		t.Fatal(output)
	}
	want := []string{
		"romm_oidc.account_linked alice", "romm_oidc.role_changed alice", "romm_oidc.signed_in alice", "romm_oidc.refused alice",
		"romm_oidc.signed_out alice", "romm_oidc.account_linked bob", "romm_oidc.signed_in bob", "romm_oidc.ended bob",
	}
	eventually(t, func() bool {
		received.mu.Lock()
		defer received.mu.Unlock()
		return len(received.events) >= len(want)
	})
	received.mu.Lock()
	defer received.mu.Unlock()
	got := make([]string, 0, len(received.events))
	for _, e := range received.events {
		got = append(got, e.Name()+" "+jsonOf(e.Data["user"]))
		if e.Data["schema"] != event.Schema || e.Data["sub"] == "" || e.Data["gate"] == "" || e.Origin().CaddyModule().ID != "http.handlers.romm_oidc" {
			t.Errorf("%s has the data %v of %v, want schema, sub and gate, of the gate's handler", e.Name(), e.Data, e.Origin())
		}
		documentsFields(t, []map[string]any{e.Data})
	}
	if !slices.Equal(got, want) {
		t.Errorf("the subscriber heard of\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if last := received.events[len(received.events)-1].Data; last["reason"] != "operator" || last["by"] != "operator" || last["session_id"] == nil {
		t.Errorf("the end has the data %v, want the operator's, and the session", last)
	}
}
