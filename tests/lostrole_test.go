// A user who loses a role while their RomM account is too large to read.

package tests

import (
	"net/http"
	"sync/atomic"
	"testing"

	"github.com/romm-oidc/caddy-romm-oidc/tests/authelia"
)

// A user fills their RomM account with settings until the gate can no longer
// read its role. The gate reads large accounts; it signs out users of even
// larger ones who have lost the administrator's role.
func TestLargeAccountLosesItsRole(t *testing.T) {
	const groups = "scopes openid profile email groups\nroles {\n admin romm-admins\n user *\n}\n"
	var settings atomic.Int64 // bytes
	s := start(t, options{directive: groups + recheckSoon, authelia: func(o *authelia.Options) {
		o.Clients[0].Scopes = append(o.Clients[0].Scopes, "groups")
		o.Users = append(o.Users, authelia.User{Name: "root", Password: "root-password", Email: "root@example.com", Groups: []string{"romm-admins"}})
	}, prepare: func(s *stack) { swollen(s, &settings) }})
	s.as("root")
	role := func() string { user, _ := s.romm.User("alice"); return user.Role }

	alice := s.as("alice")
	settings.Store(100 << 10)
	s.authelia.SetGroups("alice")
	eventually(t, func() bool { alice.fetch("/api/roms"); return role() == "user" })
	if answer := alice.fetch("/api/roms"); answer.StatusCode != http.StatusOK {
		t.Errorf("a request after alice lost her role answered %d, want 200", answer.StatusCode)
	}

	s.authelia.SetGroups("alice", "romm-admins")
	eventually(t, func() bool { alice.fetch("/api/roms"); return role() == "admin" })
	settings.Store(2 << 20)
	s.authelia.SetGroups("alice")
	eventually(t, func() bool { return alice.out() })
	s.problem(s.browser().signIn("/", "alice"), http.StatusForbidden, "account_too_large")
}
