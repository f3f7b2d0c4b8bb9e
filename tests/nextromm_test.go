// What changed in RomM after 5.2: it refuses a password for an account without one
// like a wrong one, and a taken name with 409, and checks the CSRF token of each change
// with a session.

package tests

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/romm-oidc/caddy-romm-oidc/tests/authelia"
	"github.com/romm-oidc/caddy-romm-oidc/tests/romm"
)

func nextRomM(o *romm.Options) { o.Version = "5.3.0" }

// The attacker has created an account with the name and the address of an
// administrator who is just about to sign in for the first time. RomM does not tell
// that it has a password. The account becomes the administrator's only after the
// attacker's password, and what RomM issued for it, are worth nothing.
func TestNewAccountIsSealed(t *testing.T) {
	parked := romm.User{Username: "alice", Email: "alice@example.com", Password: "mallory-password"}
	for name, issued := range map[string]bool{"a password": false, "a token for the password": true} {
		t.Run(name, func(t *testing.T) {
			s := start(t, options{directive: rolesByMail + "clients password\n", romm: nextRomM})
			s.romm.AddUser(root)
			s.romm.AddUser(parked)
			if issued {
				form := url.Values{"grant_type": {"password"}, "username": {"alice"}, "password": {"mallory-password"}, "scope": {"me.read"}}.Encode()
				if answer := s.browser().send("POST /api/token", strings.NewReader(form), "Content-Type", "application/x-www-form-urlencoded"); answer.StatusCode != http.StatusOK {
					t.Fatalf("a token for the password answered %d, want 200: %s", answer.StatusCode, answer.body)
				}
				s.problem(s.browser().signIn("/", "alice"), http.StatusForbidden, "account_not_trusted")
				return
			}
			b := s.as("alice")
			b.wantUser("alice")
			if alice, _ := s.romm.User("alice"); alice.Role != "admin" || alice.Password == "mallory-password" {
				t.Errorf("alice's account has the role %q and the password %q, want an administrator and another password", alice.Role, alice.Password)
			}
			if answer := s.browser().do("/api/users/me", basic("alice", "mallory-password")...); answer.StatusCode != http.StatusUnauthorized {
				t.Errorf("the attacker's password answered %d, want 401", answer.StatusCode)
			}
			if answer := b.save(); answer.StatusCode/100 != 2 {
				t.Errorf("a save after the sign-in answered %d, want success: %s", answer.StatusCode, answer.body)
			}
		})
	}
}

// A role that comes later goes to an account that a sign-in has created, without the
// operator's trust, and an account that was deleted in RomM comes back.
func TestCreatedAccountsOfTheNextRomM(t *testing.T) {
	s := start(t, options{directive: "scopes openid profile email groups\nroles {\n admin romm-admins\n user *\n}\n", authelia: withGroups, romm: nextRomM})
	s.romm.AddUser(root)
	s.as("carol")
	s.authelia.SetGroups("carol", "romm-admins")
	s.as("carol")
	if carol, _ := s.romm.User("carol"); carol.Role != "admin" {
		t.Errorf("carol's account has the role %q, want admin", carol.Role)
	}
	s.as("bob")
	s.romm.DeleteUser("bob")
	s.as("bob").wantUser("bob")
}

// A user name that another account has is no failure of RomM's: another user of the
// gate gets a suffix, and the operator learns of an account of RomM's own.
func TestTakenNameOfTheNextRomM(t *testing.T) {
	s := start(t, options{directive: rolesByMail, romm: nextRomM, authelia: func(o *authelia.Options) {
		for _, name := range []string{"Jörg", "jorg"} {
			o.Users = append(o.Users, authelia.User{Name: name, Password: name + "-password", Email: "user" + itoa(len(o.Users)) + "@example.com"})
		}
	}})
	s.romm.AddUser(root)
	s.romm.AddUser(romm.User{Username: "bob", Email: "bob@home.example", Password: "bob-password"})
	s.as("jorg").wantUser("jorg")
	s.as("Jörg")
	page := s.browser().signIn("/", "bob")
	s.problem(page, http.StatusBadGateway, "romm_refused")
	s.as("carol")
	s.romm.SetEmail("carol", "carol@home.example")
	s.problem(s.browser().signIn("/", "carol"), http.StatusForbidden, "account_changed")
}

// A script with an access token of Authelia changes something in RomM.
func TestAccessTokenAtTheNextRomM(t *testing.T) {
	s := start(t, options{directive: rolesByMail + "clients bearer\n", romm: nextRomM})
	access, _ := s.tokensOf("alice", "romm", public+base)
	if save := s.browser().send("POST /api/saves", strings.NewReader("save"), "Authorization", "Bearer "+access); save.StatusCode != http.StatusOK || s.romm.SaveCount() != 1 {
		t.Errorf("a save with an access token answered %d, want 200 and one save: %s", save.StatusCode, save.body)
	}
}
