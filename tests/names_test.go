// User names that are not RomM's, and a RomM that has accounts already.

package tests

import (
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/romm-oidc/caddy-romm-oidc/tests/authelia"
	"github.com/romm-oidc/caddy-romm-oidc/tests/romm"
)

// Users with names that look alike in RomM's alphabet get an account each, and
// keep it.
func TestNamesOutsideRomMsAlphabet(t *testing.T) {
	names := []string{"иван", "олег", "佐藤", "鈴木", "Jörg", "Jürg", "jorg", "ann.lee", "ann_lee", "ann lee", "É", "é.", "a", "a_"}
	s := start(t, options{directive: rolesByMail, authelia: func(o *authelia.Options) {
		for i, name := range names {
			o.Users = append(o.Users, authelia.User{Name: name, Password: name + "-password", Email: "user" + itoa(i) + "@example.com"})
		}
	}})
	s.as("alice")
	valid := regexp.MustCompile(`^[a-z0-9_-]{3,}$`)
	owners := map[int]string{}
	for range 2 {
		for i, name := range names {
			b := s.as(name)
			var account romm.User
			for _, user := range s.romm.Users() {
				if user.Email == "user"+itoa(i)+"@example.com" {
					account = user
				}
			}
			b.wantUser(account.Username)
			if !valid.MatchString(account.Username) {
				t.Errorf("%s has the RomM name %q, want one that RomM's own forms accept", name, account.Username)
			}
			if owner, ok := owners[account.ID]; ok && owner != name {
				t.Errorf("%s and %s have the same RomM account", owner, name)
			}
			owners[account.ID] = name
		}
	}
	if len(owners) != len(names) {
		t.Errorf("%d users have %d accounts, want one each", len(names), len(owners))
	}
}

// A RomM that had accounts before the gate is adopted step by step, as the page
// and the README say.
func TestMovingInToAnExistingRomM(t *testing.T) {
	for name, address := range map[string]string{"without an address": "", "with another address": "alice@home.example"} {
		t.Run(name, func(t *testing.T) {
			s := start(t, options{directive: rolesByMail})
			s.romm.AddUser(romm.User{Username: "alice", Email: address, Password: "local-password", Role: "admin"})
			page := s.browser().signIn("/", "alice")
			s.problem(page, http.StatusBadGateway, "romm_refused")
			if !strings.Contains(page.body, "give it the user&#39;s e-mail address in RomM") {
				t.Errorf("the page does not say how to adopt the account:\n%s", page.body)
			}
			if len(s.romm.Users()) != 1 {
				t.Fatalf("RomM has the accounts %+v, want only the one it had", s.romm.Users())
			}
			s.romm.SetEmail("alice", "alice@example.com")
			s.as("alice").wantUser("alice")
			if user, _ := s.romm.User("alice"); user.Role != "admin" || len(s.romm.Users()) != 1 {
				t.Errorf("RomM has the accounts %+v, want alice's, an administrator's", s.romm.Users())
			}
			if output, code := s.command("links", "list"); code != 0 || !strings.Contains(output, s.authelia.Subject("alice")) {
				t.Errorf("links list exited with %d, want alice's link: %s", code, output)
			}
		})
	}
}
