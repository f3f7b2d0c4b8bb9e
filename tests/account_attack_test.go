// Attempts to get another user's RomM account, or a role for an account of one's own.

package tests

import (
	"net/http"
	"strings"
	"testing"

	"github.com/romm-oidc/caddy-romm-oidc/tests/authelia"
	"github.com/romm-oidc/caddy-romm-oidc/tests/romm"
)

var root = romm.User{Username: "root", Email: "root@example.com", Role: "admin"}

// edit sends form to RomM's user API with RomM's own token of another client.
func (s *stack) edit(token, path, form string) int {
	s.t.Helper()
	return s.browser().send("PUT "+path, strings.NewReader(form),
		"Content-Type", "application/x-www-form-urlencoded", "Authorization", token).StatusCode
}

// The attacker has an account that the gate did not create, with a password or a
// token, and gives it the address of an administrator who has not signed in yet.
// Their first sign-in must not make it an administrator's, whatever the account
// is called and however new it is. The operator's command does.
func TestParkedAccountIsNotPromoted(t *testing.T) {
	for name, c := range map[string]struct {
		account romm.User
		token   bool
		parks   string // what the attacker changes with the token
	}{
		"another name, address changed with a token": {romm.User{Username: "mallory", Email: "mallory@example.com", Password: "mallory-password"}, true, "email=alice%40example.com"},
		"name and address changed with a token":      {romm.User{Username: "mallory", Email: "mallory@example.com", Password: "mallory-password"}, true, "username=alice&email=alice%40example.com"},
		"created with that name and address":         {romm.User{Username: "alice", Email: "alice@example.com", Password: "mallory-password"}, false, ""},
		"without a password, with a token":           {romm.User{Username: "alice", Email: "alice@example.com"}, true, ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t, options{directive: rolesByMail})
			s.romm.AddUser(root)
			parked := s.romm.AddUser(c.account)
			role := func() string {
				for _, user := range s.romm.Users() {
					if user.ID == parked.ID {
						return user.Role
					}
				}
				return ""
			}
			token := ""
			if c.token {
				token = "Bearer " + s.romm.NewClientToken(parked.Username, "me.read me.write roms.read")
			}
			if c.parks != "" && s.edit(token, "/api/users/"+itoa(parked.ID), c.parks) != http.StatusOK {
				t.Fatal("the attacker could not change the account")
			}
			for range 2 {
				page := s.browser().signIn("/", "alice")
				s.problem(page, http.StatusForbidden, "account_not_trusted")
				if !strings.Contains(page.body, "caddy romm-oidc links trust") || !strings.Contains(page.body, "password") {
					t.Error("the page names neither the command nor what it means")
				}
			}
			if role() == "admin" {
				t.Fatal("the attacker's account is an administrator's")
			}
			if output, code := s.command("links", "list"); code != 0 || !strings.Contains(output, "waiting for trust") {
				t.Errorf("links list exited with %d, want a sign-in that waits for trust: %s", code, output)
			}
			if output, code := s.command("links", "trust", "alice@example.com"); code != 0 || !strings.Contains(output, "stay valid") {
				t.Errorf("links trust exited with %d, want 0 and what it means: %s", code, output)
			}
			s.as("alice")
			if role() != "admin" {
				t.Errorf("after links trust the account's role is %q, want admin", role())
			}
			if output, code := s.command("links", "list"); code != 0 || strings.Contains(output, "waiting") || !strings.Contains(output, "trusted") {
				t.Errorf("links list exited with %d, want a trusted link and none that waits: %s", code, output)
			}
		})
	}
}

// An account of which the user is no administrator yet is linked, but a role that
// comes later needs the operator's trust, too.
func TestLaterRoleNeedsTrust(t *testing.T) {
	s := start(t, options{directive: "scopes openid profile email groups\nroles {\n admin romm-admins\n user *\n}\n" + recheckSoon, authelia: withGroups})
	s.romm.AddUser(root)
	s.romm.AddUser(romm.User{Username: "bob", Email: "bob@example.com", Password: "bob-password"})
	s.as("carol")
	s.as("bob").wantUser("bob")
	for _, user := range []string{"bob", "carol"} {
		s.authelia.SetGroups(user, "romm-admins")
	}
	s.problem(s.browser().signIn("/", "bob"), http.StatusForbidden, "account_not_trusted")
	if bob, _ := s.romm.User("bob"); bob.Role == "admin" {
		t.Error("bob's account, which existed before its link, is an administrator's")
	}
	if output, code := s.command("links", "trust", "bob"); code != 0 {
		t.Errorf("links trust exited with %d, want 0: %s", code, output)
	}
	for _, user := range []string{"bob", "carol"} {
		s.as(user)
		if account, _ := s.romm.User(user); account.Role != "admin" {
			t.Errorf("%s's role is %q, want admin", user, account.Role)
		}
	}
}

// An account that is an administrator's already needs no trust.
func TestAdministratorNeedsNoTrust(t *testing.T) {
	s := start(t, options{directive: rolesByMail})
	s.romm.AddUser(romm.User{Username: "owner", Email: "alice@example.com", Password: "owner-password", Role: "admin"})
	s.as("alice").wantUser("owner")
}

// Bob sets the boss's address on his account and takes it back in a spelling of
// the path that RomM understands. The link must follow both: when the boss gets
// an account, bob must not become the boss.
func TestAddressTakenBackInAnotherSpelling(t *testing.T) {
	for _, spelling := range []string{"2.0", "+2", "%202", "2%20", "%2B2", "02", "2.", "%32", "2/", "./2", "/2", "me"} {
		t.Run(spelling, func(t *testing.T) {
			s := start(t, options{directive: rolesByMail})
			s.romm.AddUser(root)
			s.as("bob")
			token := "Bearer " + s.romm.NewClientToken("bob", "me.read me.write")
			if code := s.edit(token, "/api/users/2", "email=boss%40example.com"); code != http.StatusOK {
				t.Fatalf("the first change answered %d, want 200", code)
			}
			code := s.edit(token, "/api/users/"+spelling, "email=bob%40example.com")
			bob, _ := s.romm.User("bob")
			if (code == http.StatusOK) != (bob.Email == "bob@example.com") {
				t.Fatalf("the second change answered %d, and bob's address is %s", code, bob.Email)
			}
			if code != http.StatusOK {
				s.romm.SetEmail("bob", "bob@example.com") // past the gate
			}
			s.romm.AddUser(romm.User{Username: "boss", Email: "boss@example.com", Password: "boss-password"})
			b := s.browser()
			answer := b.signIn("/", "bob")
			if code == http.StatusOK {
				b.wantUser("bob")
			} else {
				s.problem(answer, http.StatusForbidden, "account_changed")
			}
			if boss, _ := s.romm.User("boss"); !boss.LastLogin.IsZero() && code == http.StatusOK {
				t.Error("bob's sign-in came to the boss's account")
			}
		})
	}
}

// A linked user never comes out at an account that existed before, linked or not,
// for administrators too, and no such account gets their role.
func TestLinkedUserKeepsTheAccount(t *testing.T) {
	for _, user := range []string{"alice", "bob"} {
		t.Run(user, func(t *testing.T) {
			s := start(t, options{directive: rolesByMail})
			s.romm.AddUser(root)
			s.as(user)
			s.romm.Rename(user, "former")
			s.romm.SetEmail("former", "former@example.com")
			s.romm.AddUser(romm.User{Username: user, Email: user + "@example.com", Password: "other-password"})
			b := s.browser()
			s.problem(b.signIn("/", user), http.StatusForbidden, "account_changed")
			if me := b.fetch("/api/users/me"); me.StatusCode == http.StatusOK {
				t.Errorf("RomM takes %s for %s", user, me.body)
			}
			if other, _ := s.romm.User(user); other.Role == "admin" {
				t.Error("the other account is an administrator's")
			}
			if output, code := s.command("links", "forget", user); code != 0 {
				t.Errorf("links forget by the user name exited with %d, want 0: %s", code, output)
			}
		})
	}
}

// An account that is deleted in RomM comes back as a new one.
func TestDeletedAccountReturns(t *testing.T) {
	s := start(t, options{directive: rolesByMail})
	s.romm.AddUser(root)
	for _, user := range []string{"alice", "bob"} {
		s.as(user)
		before, _ := s.romm.User(user)
		s.romm.DeleteUser(user)
		s.as(user).wantUser(user)
		if after, _ := s.romm.User(user); after.ID == before.ID || after.Role != before.Role {
			t.Errorf("%s has the account %+v, want a new one with the role %s", user, after, before.Role)
		}
	}
}

// The attacker swaps the addresses of two accounts between RomM's two sign-ins, of
// which the second sets the role: neither account becomes an administrator's.
func TestAccountSwappedDuringSignIn(t *testing.T) {
	s := start(t, options{directive: rolesByMail})
	s.romm.AddUser(root)
	s.as("bob")
	s.romm.Fault("/api/logout", func(w http.ResponseWriter, _ *http.Request) {
		s.romm.SetEmail("alice", "")
		s.romm.SetEmail("bob", "alice@example.com")
		w.WriteHeader(http.StatusOK)
	})
	alice := s.browser()
	s.problem(alice.signIn("/", "alice"), http.StatusForbidden, "link_taken")
	if me := alice.fetch("/api/users/me"); me.StatusCode == http.StatusOK {
		t.Errorf("the refused sign-in made a session: RomM takes alice for %s", me.body)
	}
	for _, user := range s.romm.Users() {
		if user.Username != "root" && user.Role == "admin" {
			t.Errorf("%s is an administrator after the refused sign-in", user.Username)
		}
	}
}

// An administrator empties the e-mail address of their account, so that RomM can
// no longer be told to take their role away. Without the role they are out, with
// their tokens.
func TestEmptiedAddressKeepsNoRole(t *testing.T) {
	s := start(t, options{directive: "scopes openid profile email groups\nroles {\n admin romm-admins\n user *\n}\n" + recheckSoon, authelia: withGroups})
	s.as("root")
	alice := s.as("alice")
	user, _ := s.romm.User("alice")
	token := func() string {
		return "Bearer " + s.romm.NewClientToken("alice", "me.read me.write users.read users.write")
	}
	if code := s.edit(token(), "/api/users/"+itoa(user.ID), "email="); code != http.StatusOK {
		t.Fatalf("emptying the address answered %d, want 200", code)
	}
	alice.wantUser("alice")
	s.authelia.SetGroups("alice")
	eventually(t, alice.out)
	s.problem(s.browser().signIn("/", "alice"), http.StatusForbidden, "account_changed")
	if answer := s.browser().do("/api/users", "Authorization", token()); answer.StatusCode != http.StatusUnauthorized {
		t.Errorf("a token of alice's, who lost her role, answered %d, want 401", answer.StatusCode)
	}
}

func withGroups(o *authelia.Options) {
	o.Clients[0].Scopes = append(o.Clients[0].Scopes, "groups")
	o.Users = append(o.Users, authelia.User{Name: "root", Password: "root-password", Email: "root@example.com", Groups: []string{"romm-admins"}})
}
