// Behaviours of README.md's table: accounts and roles.

package tests

import (
	"net/http"
	"strings"
	"testing"

	"github.com/romm-oidc/caddy-romm-oidc/tests/romm"
)

func changedProfile(t trial) {
	s := t.start()
	b := s.as("bob")
	user, _ := s.romm.User("bob")
	change := "email=robert%40example.org"
	target, body := "PUT /api/users/"+itoa(user.ID), strings.NewReader(change)
	fields := append(b.csrf(), "Content-Type", "application/x-www-form-urlencoded")
	if !t.formAPI {
		target += "?" + change
	}
	if answer := b.send(target, body, fields...); answer.StatusCode/100 != 2 {
		t.Fatalf("the change of the profile answered %d, want success: %s", answer.StatusCode, answer.body)
	}
	s.as("bob").wantUser("bob")
	if changed, _ := s.romm.User("bob"); changed.Email != "robert@example.org" || changed.ID != user.ID {
		t.Errorf("bob's account is %+v, want the former one with the address robert@example.org", changed)
	}
}

func roles(t trial) {
	if t.roles {
		s := t.start()
		s.as("alice")
		s.as("bob")
		alice, _ := s.romm.User("alice")
		bob, _ := s.romm.User("bob")
		if alice.Role != "admin" || bob.Role == "admin" {
			t.Errorf("RomM has alice as %s and bob as %s, want an administrator and a plain user", alice.Role, bob.Role)
		}
		return
	}
	s := t.start()
	s.load(options{directive: rolesByMail})
	page := s.browser().signIn("/", "alice")
	s.problem(page, http.StatusBadGateway, "roles_version")
	if !strings.Contains(page.body, "Before 4.8.0") {
		t.Errorf("the page does not name RomM 4.8.0:\n%s", page.body)
	}
}

func demotion(t trial) {
	s := t.start()
	s.as("alice")
	lowered := options{directive: "roles {\n admin root@example.com\n user *\n}\n"}
	s.load(lowered)
	s.as("alice")
	if alice, _ := s.romm.User("alice"); alice.Role == "admin" {
		t.Errorf("alice's account is %+v, want no administrator", alice)
	}
	s.romm.SetRole("alice", "admin")
	s.romm.DeleteUser("root")
	s.problem(s.browser().signIn("/", "alice"), http.StatusForbidden, "last_admin")
	if alice, _ := s.romm.User("alice"); alice.Role != "admin" {
		t.Errorf("alice's account is %+v, want the last administrator kept", alice)
	}
}

func firstAdministrator(t trial) {
	s := t.startFresh()
	s.problem(s.browser().signIn("/", "bob"), http.StatusForbidden, "no_administrator")
	if answer := s.browser().fetch("POST /api/users?username=eve&password=p&role=admin", "Content-Type", "application/json"); answer.StatusCode/100 != 4 {
		t.Errorf("an anonymous POST /api/users answered %d, want 4xx", answer.StatusCode)
	}
	if !t.roles {
		s.problem(s.browser().signIn("/", "alice"), http.StatusForbidden, "no_administrator")
		return
	}
	s.as("alice")
	s.as("bob")
	if alice, _ := s.romm.User("alice"); alice.Role != "admin" {
		t.Errorf("alice's account is %+v, want an administrator", alice)
	}
}

func disabledInRomM(t trial) {
	s := t.start()
	b := s.as("bob")
	s.romm.Disable("bob")
	s.problem(b.open("/api/roms"), http.StatusForbidden, "account_disabled")
	for range 3 { // after a refusal, RomM's page would retry without end
		if beat := b.fetch("/api/heartbeat"); beat.StatusCode != http.StatusOK {
			t.Errorf("the heartbeat answered %d, want 200", beat.StatusCode)
		}
	}
	s.problem(s.browser().signIn("/", "bob"), http.StatusForbidden, "account_disabled")
}

func registrationOff(t trial) {
	off := false
	s := t.start(func(o *romm.Options) { o.OIDC.AllowRegistration = &off })
	s.problem(s.browser().signIn("/", "bob"), http.StatusForbidden, "registration_off")
}

// RomM 4.3.1 to 4.7 demotes an administrator who signs in without the roles
// claim that it is configured to read. The gate refuses such sign-ins.
func TestNoSignInDemotesAnAdministrator(t *testing.T) {
	s := start(t, options{romm: func(o *romm.Options) { o.Version = "4.4.1" }})
	s.romm.AddUser(romm.User{Username: "alice", Email: "alice@example.com", Role: "admin"})
	page := s.browser().signIn("/", "alice")
	s.problem(page, http.StatusBadGateway, "roles_version")
	if !strings.Contains(page.body, "OIDC_CLAIM_ROLES") {
		t.Errorf("the page does not name OIDC_CLAIM_ROLES:\n%s", page.body)
	}
	if alice, _ := s.romm.User("alice"); alice.Role != "admin" {
		t.Errorf("alice's account is %+v, want an administrator", alice)
	}
}
