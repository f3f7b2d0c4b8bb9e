package tests

import (
	"net/http"
	"os/exec"
	"strings"
	"testing"
)

// A changed e-mail address at Authelia keeps the RomM account (rommapp/romm#1690).
func TestChangedEmailKeepsTheAccount(t *testing.T) {
	s := start(t, options{directive: rolesByMail})
	s.as("alice")
	s.as("bob")
	s.authelia.SetEmail("bob", "robert@example.com")
	b := s.as("bob")
	if me := b.fetch("/api/users/me"); !strings.Contains(me.body, `"username":"bob"`) {
		t.Errorf("%s", me.body)
	}
	if all := s.romm.Users(); len(all) != 2 {
		t.Errorf("RomM has %d users: %+v", len(all), all)
	}
}

// Somebody else who comes by the first one's e-mail address never becomes the first one.
func TestSomebodyElsesEmailTakesNothingOver(t *testing.T) {
	s := start(t, options{directive: rolesByMail})
	s.as("alice")
	s.authelia.SetEmail("alice", "other@example.com")
	s.authelia.SetEmail("bob", "ALICE@example.com")
	b := s.browser()
	s.problem(b.signIn("/", "bob"), http.StatusForbidden, "link_taken")
	if me := b.fetch("/api/users/me"); me.StatusCode == http.StatusOK {
		t.Errorf("%s", me.body)
	}
}

// A rebuilt Authelia has new subjects: the account is not handed over by
// itself, but by the operator's hand, with the command that the page names.
func TestRebuiltAuthelia(t *testing.T) {
	s := start(t, options{directive: rolesByMail})
	s.as("alice")
	s.authelia.ResetDatabase()
	page := s.browser().signIn("/", "alice")
	s.problem(page, http.StatusForbidden, "link_taken")
	if !strings.Contains(page.body, "caddy romm-oidc links move") {
		t.Error("the page does not name the command")
	}
	links := func(args ...string) (string, error) {
		file, err := binary()
		if err != nil {
			t.Fatal(err)
		}
		output, err := exec.Command(file, append([]string{"romm-oidc", "links", "--address", "localhost:2999"}, args...)...).CombinedOutput()
		return string(output), err
	}
	if output, err := links("list"); err != nil || !strings.Contains(output, "alice@example.com") || strings.Contains(output, s.authelia.Subject("alice")) {
		t.Errorf("%v %s", err, output)
	}
	if output, err := links("forget", "nobody@example.com"); err == nil {
		t.Errorf("forgot nobody: %s", output)
	}
	if output, err := links("forget", "Alice@example.com"); err != nil {
		t.Errorf("%v %s", err, output)
	}
	if me := s.as("alice").fetch("/api/users/me"); !strings.Contains(me.body, `"username":"alice"`) {
		t.Errorf("%s", me.body)
	}
	if output, err := links("list"); err != nil || !strings.Contains(output, s.authelia.Subject("alice")) {
		t.Errorf("%v %s", err, output)
	}
}

// A name or address that is changed in RomM stays linked, by whomever it was changed.
func TestProfileChangedInRomM(t *testing.T) {
	s := start(t, options{directive: rolesByMail})
	alice := s.as("alice")
	bob := s.as("bob")
	user, _ := s.romm.User("bob")
	form := func(b *browser, path, body string) {
		t.Helper()
		fields := append(b.csrf(), "Content-Type", "application/x-www-form-urlencoded")
		answer := b.send("PUT "+path, strings.NewReader(body), append(fields, "Sec-Fetch-Site", "same-origin")...)
		if answer.StatusCode/100 != 2 {
			t.Fatalf("%d %s", answer.StatusCode, answer.body)
		}
	}
	path := "/api/users/" + itoa(user.ID)
	form(bob, path, "email=robert%40example.org")
	if me := s.as("bob").fetch("/api/users/me"); !strings.Contains(me.body, `"username":"bob"`) {
		t.Errorf("after his own change: %s", me.body)
	}
	form(alice, path, "username=robert&email=rob%40example.org")
	if me := s.as("bob").fetch("/api/users/me"); !strings.Contains(me.body, `"username":"robert"`) {
		t.Errorf("after the administrator's change: %s", me.body)
	}
	if all := s.romm.Users(); len(all) != 2 {
		t.Errorf("RomM has %d users: %+v", len(all), all)
	}
}

// An account that RomM no longer finds by the linked address ends on a page,
// not in a second account.
func TestAccountChangedBehindOurBack(t *testing.T) {
	s := start(t, options{directive: rolesByMail})
	s.as("alice")
	s.as("bob")
	s.romm.SetEmail("bob", "elsewhere@example.com")
	s.problem(s.browser().signIn("/", "bob"), http.StatusForbidden, "account_changed")
	if all := s.romm.Users(); len(all) != 2 {
		t.Errorf("RomM has %d users: %+v", len(all), all)
	}
}
