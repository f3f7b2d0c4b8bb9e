// Links between Authelia's subjects and RomM's accounts, and attempts to take over an account.

package tests

import (
	"context"
	"io"
	"net/http"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/tests/caddyprocess"
	"github.com/romm-oidc/caddy-romm-oidc/tests/romm"
)

// A user keeps the RomM account when the e-mail address at Authelia changes
// (rommapp/romm#1690).
func TestChangedEmailKeepsTheAccount(t *testing.T) {
	s := start(t, options{directive: rolesByMail})
	s.as("alice")
	s.as("bob")
	s.authelia.SetEmail("bob", "robert@example.com")
	b := s.as("bob")
	if me := b.fetch("/api/users/me"); !strings.Contains(me.body, `"username":"bob"`) {
		t.Errorf("after the change of address RomM takes bob for %s", me.body)
	}
	if all := s.romm.Users(); len(all) != 2 {
		t.Errorf("RomM has %d users, want 2: %+v", len(all), all)
	}
}

// Another user who gets the first user's e-mail address does not get the
// account.
func TestSomebodyElsesEmailTakesNothingOver(t *testing.T) {
	s := start(t, options{directive: rolesByMail})
	s.as("alice")
	s.authelia.SetEmail("alice", "other@example.com")
	s.authelia.SetEmail("bob", "ALICE@example.com")
	b := s.browser()
	s.problem(b.signIn("/", "bob"), http.StatusForbidden, "link_taken")
	if me := b.fetch("/api/users/me"); me.StatusCode == http.StatusOK {
		t.Errorf("/api/users/me after the refused sign-in answered 200, want a refusal: %s", me.body)
	}
}

// A rebuilt Authelia issues new subjects. The gate does not hand the account
// over by itself: the operator does, with the command that the page names.
func TestRebuiltAuthelia(t *testing.T) {
	s := start(t, options{directive: rolesByMail})
	s.as("alice")
	s.authelia.ResetDatabase()
	page := s.browser().signIn("/", "alice")
	s.problem(page, http.StatusForbidden, "link_taken")
	if !strings.Contains(page.body, "caddy romm-oidc links move") {
		t.Error("the page does not name the command caddy romm-oidc links move")
	}
	links := func(args ...string) (string, error) {
		file, err := caddyprocess.Binary()
		if err != nil {
			t.Fatal(err)
		}
		output, err := exec.Command(file, append([]string{"romm-oidc", "links", "--address", "localhost:2999"}, args...)...).CombinedOutput()
		return string(output), err
	}
	if output, err := links("list"); err != nil || !strings.Contains(output, "alice@example.com") || strings.Contains(output, s.authelia.Subject("alice")) {
		t.Errorf("links list: error %v, want alice's address with her former subject: %s", err, output)
	}
	if output, err := links("forget", "nobody@example.com"); err == nil {
		t.Errorf("links forget of an address without a link succeeded, want an error: %s", output)
	}
	if output, err := links("forget", "Alice@example.com"); err != nil {
		t.Errorf("links forget: error %v, want none: %s", err, output)
	}
	if me := s.as("alice").fetch("/api/users/me"); !strings.Contains(me.body, `"username":"alice"`) {
		t.Errorf("after links forget RomM takes alice for %s", me.body)
	}
	if output, err := links("list"); err != nil || !strings.Contains(output, s.authelia.Subject("alice")) {
		t.Errorf("links list: error %v, want alice's new subject: %s", err, output)
	}
}

// An account stays linked when its name or address changes in RomM, whether
// the user, an administrator or a script changes it.
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
			t.Fatalf("the change of the profile answered %d, want success: %s", answer.StatusCode, answer.body)
		}
	}
	path := "/api/users/" + itoa(user.ID)
	form(bob, path, "email=robert%40example.org")
	if me := s.as("bob").fetch("/api/users/me"); !strings.Contains(me.body, `"username":"bob"`) {
		t.Errorf("after bob's own change RomM takes him for %s", me.body)
	}
	form(alice, path, "username=robert&email=rob%40example.org")
	if me := s.as("bob").fetch("/api/users/me"); !strings.Contains(me.body, `"username":"robert"`) {
		t.Errorf("after the administrator's change RomM takes bob for %s, want robert", me.body)
	}
	bearer := "Bearer " + s.romm.NewClientToken("robert", "me.read me.write")
	answer := s.browser().send("PUT "+path, strings.NewReader("email=bob%40example.net"),
		"Content-Type", "application/x-www-form-urlencoded", "Authorization", bearer)
	if answer.StatusCode != http.StatusOK {
		t.Fatalf("the change of the address with a token answered %d, want 200: %s", answer.StatusCode, answer.body)
	}
	if me := s.as("bob").fetch("/api/users/me"); !strings.Contains(me.body, `"email":"bob@example.net"`) {
		t.Errorf("after the change with bob's token RomM takes him for %s, want the address bob@example.net", me.body)
	}
	if all := s.romm.Users(); len(all) != 2 {
		t.Errorf("RomM has %d users, want 2: %+v", len(all), all)
	}
}

// A sign-in ends on a page when RomM no longer finds the account by the linked
// address. RomM must not create a second account.
func TestAccountChangedBehindOurBack(t *testing.T) {
	s := start(t, options{directive: rolesByMail})
	s.as("alice")
	s.as("bob")
	s.romm.SetEmail("bob", "elsewhere@example.com")
	s.problem(s.browser().signIn("/", "bob"), http.StatusForbidden, "account_changed")
	if all := s.romm.Users(); len(all) != 2 {
		t.Errorf("RomM has %d users, want 2: %+v", len(all), all)
	}
}

// RomM rejects what the gate signs, here because its clock is off. Its answer is that
// of a RomM that does not find the account. It is no refusal of a user who has one,
// and their session continues.
func TestRejectedTokensAreNoRefusal(t *testing.T) {
	var ahead atomic.Int64
	s := start(t, options{directive: rolesByMail, romm: func(o *romm.Options) {
		o.Now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	}})
	b := s.as("alice")
	ahead.Store(int64(time.Hour))
	s.romm.DropSessions()
	if answer := b.fetch("/api/users/me"); answer.StatusCode != http.StatusBadGateway || !strings.Contains(answer.body, "romm_refused") {
		t.Errorf("a script: got %d, want 502 romm_refused: %s", answer.StatusCode, answer.body)
	}
	s.problem(s.browser().signIn("/", "alice"), http.StatusBadGateway, "romm_refused")
	ahead.Store(0)
	eventually(t, func() bool { return b.fetch("/api/users/me").StatusCode == http.StatusOK })
}

// The attacker gives his RomM account the address of an administrator who has
// not signed in yet, in a way that the gate does not see. The administrator's
// sign-in must neither end in the attacker's account nor make it an
// administrator's.
func TestParkedEmailTakesNothingOver(t *testing.T) {
	const form = "email=alice%40example.com"
	fields := []string{"Content-Type", "application/x-www-form-urlencoded"}
	for name, park := range map[string]func(s *stack, bob *browser, path string, arrived <-chan struct{}){
		"directly in RomM": func(s *stack, _ *browser, _ string, _ <-chan struct{}) {
			s.romm.SetEmail("bob", "alice@example.com")
		},
		"with a client token": func(s *stack, _ *browser, path string, _ <-chan struct{}) {
			authorization := "Bearer " + s.romm.NewClientToken("bob", "me.write")
			if answer := s.browser().send("PUT "+path, strings.NewReader(form), append(fields, "Authorization", authorization)...); answer.StatusCode != http.StatusOK {
				s.t.Fatalf("the change of the address with a token answered %d, want 200: %s", answer.StatusCode, answer.body)
			}
		},
		"by a browser that leaves before the answer": func(s *stack, bob *browser, path string, arrived <-chan struct{}) {
			ctx, leave := context.WithCancel(s.t.Context())
			r, err := http.NewRequestWithContext(ctx, http.MethodPut, public+path, strings.NewReader(form))
			if err != nil {
				s.t.Fatal(err)
			}
			all := append(bob.csrf(), append(fields, "Sec-Fetch-Site", "same-origin")...)
			for i := 0; i < len(all); i += 2 {
				r.Header.Set(all[i], all[i+1])
			}
			go func() {
				<-arrived
				leave()
			}()
			if answer, err := bob.client.Do(r); err == nil {
				answer.Body.Close()
				s.t.Fatalf("the browser got the answer %d, want it to leave before", answer.StatusCode)
			}
		},
		"an address that alice's account had before": func(s *stack, _ *browser, _ string, _ <-chan struct{}) {
			s.as("alice")
			s.romm.SetEmail("alice", "alice@new.example")
			s.romm.SetRole("alice", "user")
			s.romm.SetEmail("bob", "alice@example.com")
		},
	} {
		t.Run(name, func(t *testing.T) {
			arrived := make(chan struct{})
			s := start(t, options{directive: rolesByMail, prepare: func(s *stack) {
				app := s.romm
				s.rommURL = serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if r.Method == http.MethodPut && r.Header.Get("Cookie") != "" { // RomM finishes the request after its client left
						body, _ := io.ReadAll(r.Body)
						r.Body = io.NopCloser(strings.NewReader(string(body)))
						close(arrived)
						<-r.Context().Done()
						r = r.WithContext(context.WithoutCancel(r.Context()))
					}
					app.ServeHTTP(w, r)
				}))
			}})
			s.romm.AddUser(romm.User{Username: "root", Email: "root@example.com", Role: "admin"})
			bob := s.as("bob")
			user, _ := s.romm.User("bob")
			park(s, bob, "/api/users/"+itoa(user.ID), arrived)
			eventually(t, func() bool {
				parked, _ := s.romm.User("bob")
				return parked.Email == "alice@example.com"
			})
			alice := s.browser()
			s.problem(alice.signIn("/", "alice"), http.StatusForbidden, "link_taken")
			if me := alice.fetch("/api/users/me"); me.StatusCode == http.StatusOK {
				t.Errorf("the refused sign-in made a session: RomM takes alice for %s", me.body)
			}
			if parked, _ := s.romm.User("bob"); parked.Role == "admin" {
				t.Error("bob's account became an administrator's")
			}
		})
	}
}

// The attacker takes the address of a user who has not signed in yet. The user
// does not get the attacker's account, is told why, and gets in once an
// administrator frees the address.
func TestSquattedEmail(t *testing.T) {
	s := start(t, options{directive: rolesByMail})
	alice, bob := s.as("alice"), s.as("bob")
	user, _ := s.romm.User("bob")
	give := func(b *browser, email string) {
		t.Helper()
		fields := append(b.csrf(), "Content-Type", "application/x-www-form-urlencoded", "Sec-Fetch-Site", "same-origin")
		answer := b.send("PUT /api/users/"+itoa(user.ID), strings.NewReader("email="+email), fields...)
		if answer.StatusCode != http.StatusOK {
			t.Fatalf("the change of the address answered %d, want 200: %s", answer.StatusCode, answer.body)
		}
	}
	give(bob, "carol%40example.com")
	page := s.browser().signIn("/", "carol")
	s.problem(page, http.StatusForbidden, "link_taken")
	if !strings.Contains(page.body, "give the account its own address there") {
		t.Error("the page does not say how to get the address back")
	}
	s.as("bob").wantUser("bob")
	give(alice, "bob%40example.com")
	s.as("carol").wantUser("carol")
	s.as("bob").wantUser("bob")
}

// A rebuilt RomM starts its account numbers over. An old link must neither
// sign a user in to another user's new account nor keep a user out.
func TestRebuiltRomM(t *testing.T) {
	past := -time.Minute
	s := start(t, options{directive: rolesByMail, romm: func(o *romm.Options) {
		o.Now = func() time.Time { return time.Now().Add(past) }
	}})
	for _, user := range []string{"alice", "bob", "carol"} {
		s.as(user)
	}
	past = 0
	s.romm.ResetDatabase()
	for range 2 {
		for _, user := range []string{"alice", "carol", "bob"} {
			s.as(user).wantUser(user)
		}
	}
	if all := s.romm.Users(); len(all) != 3 {
		t.Errorf("RomM has %d users, want 3: %+v", len(all), all)
	}
}
