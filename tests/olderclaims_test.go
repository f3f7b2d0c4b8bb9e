// Attacks: a session with older claims gives a lost role back.

package tests

import (
	"net/http"
	"testing"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/tests/authelia"
)

// Alice keeps a session whose tokens have ended (nothing checks its claims any more,
// and scripts go on for a day). She loses the administrators' group, and signs in
// again in another browser: her role is taken away. She renames her account, so that
// the old session must be signed in to RomM anew. That happens with its old claims,
// and must not make her an administrator again.
func TestUnprovenSessionGivesNoRoleBack(t *testing.T) {
	s := start(t, options{directive: groupRoles + recheckSoon, authelia: func(o *authelia.Options) {
		groupsScope(o)
		o.Lifespans = authelia.Lifespans{AccessToken: 2 * time.Second}
	}})
	s.romm.AddUser(root)
	old := s.as("alice")
	account, _ := s.romm.User("alice")
	if account.Role != "admin" {
		t.Fatal("alice is no administrator")
	}
	time.Sleep(2200 * time.Millisecond)
	old.fetch("/api/roms")
	s.authelia.SetGroups("alice")
	fresh := s.as("alice")
	if u, _ := s.romm.User("alice"); u.Role == "admin" {
		t.Fatal("the new sign-in did not take the role away")
	}
	if me := old.fetch("/api/users/me"); me.StatusCode != http.StatusOK {
		t.Fatalf("the old session: %d", me.StatusCode)
	}
	fresh.change(account, "username=alice2")
	me := old.fetch("/api/users/me")
	if u, _ := s.romm.User("alice2"); u.Role == "admin" {
		t.Errorf("alice is an administrator again, after the gate took that away: %d %.60s", me.StatusCode, me.body)
	}
	fresh.fetch("POST /api/logout", "Origin", public)
	time.Sleep(time.Second)
	if users := old.fetch("/api/users"); users.StatusCode == http.StatusOK {
		t.Error("and it lasts: the old session lists RomM's users")
	}
}

// The same with a session in use that is not due for its check yet.
func TestOlderSessionGivesNoRoleBack(t *testing.T) {
	s := start(t, options{directive: groupRoles + "session {\n recheck 1h\n}\n", authelia: groupsScope})
	s.romm.AddUser(root)
	old := s.as("alice")
	account, _ := s.romm.User("alice")
	s.authelia.SetGroups("alice")
	fresh := s.as("alice")
	if u, _ := s.romm.User("alice"); u.Role == "admin" {
		t.Fatal("the new sign-in did not take the role away")
	}
	fresh.change(account, "username=alice2")
	old.fetch("/api/users/me")
	if u, _ := s.romm.User("alice2"); u.Role == "admin" {
		t.Errorf("alice is an administrator again, after the gate took that away")
	}
}
