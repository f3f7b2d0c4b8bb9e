// Checks of a live session: users who are disabled or lose a group.

package tests

import (
	"net/http"
	"testing"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/tests/authelia"
)

const recheckSoon = "session {\n recheck 50ms\n}\n"

// out reports whether the browser is signed out. A request that is in flight
// while its session ends may be aborted.
func (b *browser) out() bool {
	b.t.Helper()
	r, err := http.NewRequestWithContext(b.t.Context(), http.MethodGet, public+"/api/users/me", nil)
	if err != nil {
		b.t.Fatal(err)
	}
	answer, err := b.client.Do(r)
	if err != nil {
		return false
	}
	_ = answer.Body.Close()
	return answer.StatusCode/100 == 4
}

// A user who is disabled in Authelia is signed out within the check interval
// while the session is in use.
func TestDisabledInAuthelia(t *testing.T) {
	s := start(t, options{directive: rolesByMail + recheckSoon})
	alice, bob := s.as("alice"), s.as("bob")
	s.authelia.DisableUser("bob")
	eventually(t, func() bool { return bob.out() })
	if answer := bob.open("/"); answer.StatusCode != http.StatusFound {
		t.Errorf("a navigation as bob, who is disabled, answered %d, want 302", answer.StatusCode)
	}
	time.Sleep(100 * time.Millisecond)
	if me := alice.fetch("/api/users/me"); me.StatusCode != http.StatusOK {
		t.Errorf("/api/users/me as alice answered %d, want 200", me.StatusCode)
	}
	eventually(t, func() bool { return s.romm.Sessions() == 1 })
}

// A handheld's token stops working when its owner is disabled, and works again
// when the owner is back.
func TestTokenOfSomebodyDisabled(t *testing.T) {
	s := start(t, options{directive: rolesByMail + recheckSoon})
	alice, bob := s.as("alice"), s.as("bob")
	hers := "Bearer " + s.romm.NewClientToken("alice", "me.read roms.read")
	his := "Bearer " + s.romm.NewClientToken("bob", "me.read roms.read")
	s.authelia.DisableUser("bob")
	eventually(t, func() bool { return bob.out() && s.romm.Sessions() == 1 })
	handheld := s.browser()
	if answer := handheld.do("/api/roms", "Authorization", his); answer.StatusCode != http.StatusUnauthorized {
		t.Errorf("bob's token, while he is disabled, answered %d, want 401: %s", answer.StatusCode, answer.body)
	}
	if answer := handheld.do("/api/roms", "Authorization", hers); answer.StatusCode != http.StatusOK || alice.out() {
		t.Errorf("alice's token answered %d, want 200: %s", answer.StatusCode, answer.body)
	}
	s.authelia.EnableUser("bob")
	s.as("bob")
	if answer := handheld.do("/api/roms", "Authorization", his); answer.StatusCode != http.StatusOK {
		t.Errorf("bob's token, after his next sign-in, answered %d, want 200: %s", answer.StatusCode, answer.body)
	}
}

// A user who loses a group loses access, or the role that depends on the
// group.
func TestGroupTakenAway(t *testing.T) {
	const groups = "scopes openid profile email groups\nallow {\n groups romm-users\n}\nroles {\n admin romm-admins\n user *\n}\n"
	s := start(t, options{directive: groups + recheckSoon, authelia: func(o *authelia.Options) {
		o.Clients[0].Scopes = append(o.Clients[0].Scopes, "groups")
		o.Users = append(o.Users, authelia.User{Name: "root", Password: "root-password", Email: "root@example.com", Groups: []string{"romm-admins", "romm-users"}})
	}})
	s.as("root")
	alice, bob := s.as("alice"), s.as("bob")
	s.authelia.SetGroups("alice", "romm-users")
	eventually(t, func() bool { user, _ := s.romm.User("alice"); alice.out(); return user.Role == "user" })
	if alice.out() {
		t.Error("alice is signed out, want only her role lowered")
	}
	s.authelia.SetGroups("bob")
	eventually(t, func() bool { return bob.out() })
}

// No session ends because Authelia is down.
func TestRecheckWithoutAuthelia(t *testing.T) {
	s := start(t, options{directive: rolesByMail + recheckSoon})
	alice := s.as("alice")
	s.authelia.Down()
	for range 10 {
		time.Sleep(30 * time.Millisecond)
		if me := alice.fetch("/api/users/me"); me.StatusCode != http.StatusOK {
			t.Fatalf("/api/users/me while Authelia is away answered %d, want 200: %s", me.StatusCode, me.body)
		}
	}
}
