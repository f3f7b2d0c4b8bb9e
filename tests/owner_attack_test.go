// Attempts of a former owner to keep a way into a RomM account.

package tests

import (
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/tests/romm"
)

// The gate made bob's account. Bob made a token, and the operator moves the account
// to alice, an administrator by roles. His token must not become an administrator's,
// however old the account was when he made it.
func TestMovedAccountIsNotPromoted(t *testing.T) {
	var later atomic.Int64
	s := start(t, options{directive: rolesByMail, romm: func(o *romm.Options) {
		o.Now = func() time.Time { return time.Now().Add(time.Duration(later.Load())) }
	}})
	s.romm.AddUser(root)
	s.as("bob")
	account, _ := s.romm.User("bob")
	later.Store(int64(time.Hour))
	token := "Bearer " + s.romm.NewClientToken("bob", "me.read me.write roms.read")
	later.Store(0)
	if output, code := s.command("links", "move", "bob", s.authelia.Subject("alice")); code != 0 {
		t.Fatal(output)
	}
	s.problem(s.browser().signIn("/", "alice"), http.StatusForbidden, "account_not_trusted")
	if u, _ := s.romm.User("bob"); u.Role == "admin" {
		t.Errorf("the account was promoted though bob, its former owner, has a token: with it, he sets the administrator's password: %d",
			s.edit(token, "/api/users/"+itoa(account.ID), "password=known-to-bob"))
	}
}

// The operator takes bob's account from him, and then bob is disabled. No end of bob
// finds the account any more, so its tokens must not pass until its next owner signs in.
func TestTakenAccountIsShutUntilItsNextOwner(t *testing.T) {
	for name, arguments := range map[string]func(s *stack) []string{
		"forgotten": func(*stack) []string { return []string{"links", "forget", "bob"} },
		"moved":     func(s *stack) []string { return []string{"links", "move", "bob", s.authelia.Subject("carol")} },
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t, options{directive: rolesByMail + recheckSoon})
			s.romm.AddUser(root)
			bob := s.as("bob")
			token := "Bearer " + s.romm.NewClientToken("bob", "me.read roms.read")
			if answer := s.browser().do("/api/roms", "Authorization", token); answer.StatusCode != http.StatusOK {
				t.Fatalf("before: %d", answer.StatusCode)
			}
			if output, code := s.command(arguments(s)...); code != 0 {
				t.Fatal(output)
			}
			if !s.refuses(token) {
				t.Error("bob's token passes once the account was taken from him")
			}
			s.authelia.DisableUser("bob")
			eventually(t, bob.out)
			if !s.refuses(token) {
				t.Error("bob's token passes though he is disabled")
			}
			if name == "moved" {
				s.as("carol")
				if s.refuses("Bearer " + s.romm.NewClientToken("bob", "me.read roms.read")) {
					t.Error("a token of the account's new owner is refused")
				}
			}
		})
	}
}
