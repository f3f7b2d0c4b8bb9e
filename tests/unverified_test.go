// Users with an address that the provider has not verified, where the operator lets
// them in.

package tests

import (
	"net/http"
	"strings"
	"testing"

	"github.com/romm-oidc/caddy-romm-oidc/tests/authelia"
	"github.com/romm-oidc/caddy-romm-oidc/tests/romm"
)

// Bob claims the administrator's address at a provider that does not check it. He
// gets neither the administrator's account nor the role that a rule gives to the
// address, and an account of his own that stays his.
func TestUnverifiedUserTakesOverNothing(t *testing.T) {
	s := start(t, options{directive: rolesByMail + "\nunverified_email pin"})
	s.romm.AddUser(romm.User{Username: "root", Email: "root@example.com", Role: "admin"})
	alice := s.as("alice") // an administrator by her address
	if me := alice.fetch("/api/users/me"); !strings.Contains(me.body, `"role":"admin"`) {
		t.Fatalf("alice is not an administrator: %s", me.body)
	}
	claimed, verified := "alice@example.com", false
	s.authelia.Misbehave(func(m *authelia.Misbehaviour) {
		m.Userinfo = func(c map[string]any) any {
			if c["preferred_username"] == "bob" {
				c["email"], c["email_verified"] = claimed, verified
			}
			return c
		}
	})
	account := func() string {
		t.Helper()
		b := s.browser()
		b.signIn("/rom/7", "bob")
		me := b.fetch("/api/users/me")
		if me.StatusCode != http.StatusOK || !strings.Contains(me.body, `"username":"bob"`) || strings.Contains(me.body, `"role":"admin"`) {
			t.Fatalf("bob with the address %s (verified: %t) got %d: %s; want his own account without the administrator's role", claimed, verified, me.StatusCode, me.body)
		}
		_, rest, _ := strings.Cut(me.body, `"id":`)
		id, _, _ := strings.Cut(rest, ",")
		return id
	}
	first := account()
	if me := alice.fetch("/api/users/me"); !strings.Contains(me.body, `"username":"alice"`) {
		t.Errorf("alice's account is now %s", me.body)
	}
	claimed = "root@example.com"
	if again := account(); again != first {
		t.Errorf("bob's second sign-in came to the account %s, want %s", again, first)
	}
	claimed, verified = "bob@example.com", true
	if again := account(); again != first {
		t.Errorf("bob's sign-in with a verified address came to the account %s, want %s", again, first)
	}
}
