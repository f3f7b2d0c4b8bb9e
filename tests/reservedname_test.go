// A name that sessions and tokens in RomM still hold goes to no other user's new account.

package tests

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// Bob parks a session under alice's name at node 1 and gives the name back at node 0.
// Node 1 learns of that up to two seconds later. Alice signs in for the first time
// meanwhile. Bob repeats the two renames every two seconds until she comes.
func TestRenameOnAnotherNode(t *testing.T) {
	c := launchCluster(t, users, "")
	for _, victim := range []string{"alice", "carol"} {
		parked := c.signedIn("bob", 1)
		c.signedIn("bob", 0)
		account, _ := c.romm.User("bob")
		token := "Bearer " + c.romm.NewClientToken("bob", "me.read me.write")
		rename := func(to string) {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodPut, c.origin+"/api/users/"+itoa(account.ID), strings.NewReader("username="+to))
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Content-Type", formType)
			r.Header.Set("Authorization", token)
			answer, err := (&http.Client{Transport: c.at(0)}).Do(r)
			if err != nil {
				t.Fatal(err)
			}
			_ = answer.Body.Close()
			if answer.StatusCode != http.StatusOK {
				t.Fatalf("the rename to %s answered %d, want 200", to, answer.StatusCode)
			}
		}
		rename(victim)
		eventually(t, func() bool { return parked.is(c, victim, 1) })
		rename("bob")
		c.signedIn(victim, 0)
		me := parked.on(c, 1).fetch("/api/users/me")
		if strings.Contains(me.body, `"username":"`+victim) {
			t.Errorf("bob's session is %s's at node 1: %.300s", victim, me.body)
		}
	}
}

// Bob is named alice in RomM, and takes the name back with a request that he
// leaves before RomM has carried it out (a password in the form takes RomM a
// moment to hash). The gate doubts everything when he leaves, asks RomM once,
// hears that the account is still his, and believes it for a minute. RomM renames
// the account meanwhile. Alice, an administrator, signs in for the first time: in
// between, bob's session is hers.
func TestRenameThatTheClientLeft(t *testing.T) {
	var slow atomic.Bool
	var during atomic.Pointer[func()]
	committed := make(chan struct{})
	s := start(t, options{directive: rolesByMail, prepare: func(s *stack) {
		app := s.romm
		s.rommURL = serve(s.t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodPut && strings.HasPrefix(r.URL.Path, "/api/users/") && slow.CompareAndSwap(true, false) {
				// RomM runs the handler to its end, without looking at the client.
				body := make([]byte, r.ContentLength)
				_, _ = r.Body.Read(body)
				r = r.Clone(context.WithoutCancel(r.Context()))
				r.Body = nopBody{strings.NewReader(string(body))}
				time.Sleep(500 * time.Millisecond)
				defer close(committed)
			}
			app.ServeHTTP(w, r)
			for _, u := range app.Users() {
				if u.Email == "alice@example.com" && u.Role == "admin" && r.URL.Path == "/api/oauth/openid" {
					if f := during.Swap(nil); f != nil {
						(*f)()
					}
				}
			}
		}))
	}})
	s.romm.AddUser(root)
	parked := s.as("bob")
	token := "Bearer " + s.romm.NewClientToken("bob", "me.read me.write")
	if code := s.edit(token, "/api/users/2", "username=alice"); code != http.StatusOK {
		t.Fatalf("renaming: %d", code)
	}
	if me := parked.fetch("/api/users/me"); !strings.Contains(me.body, `"username":"alice"`) || !strings.Contains(me.body, `"id":2`) {
		t.Fatalf("bob's session: %s", me.body)
	}
	slow.Store(true)
	ctx, leave := context.WithTimeout(t.Context(), 150*time.Millisecond)
	defer leave()
	r, err := http.NewRequestWithContext(ctx, http.MethodPut, public+"/api/users/2", strings.NewReader("username=bob"))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", formType)
	r.Header.Set("Authorization", token)
	if answer, err := (&http.Client{Transport: transport}).Do(r); err == nil {
		_ = answer.Body.Close()
		t.Fatalf("the slow rename answered %d before it was left", answer.StatusCode)
	}
	time.Sleep(50 * time.Millisecond) // the gate has learnt and asked
	if me := parked.fetch("/api/users/me"); !strings.Contains(me.body, `"id":2`) {
		t.Fatalf("bob's session after he left: %s", me.body)
	}
	<-committed
	if _, ok := s.romm.User("bob"); !ok {
		t.Fatal("RomM did not carry out the rename")
	}
	seen := ""
	f := func() { seen = parked.fetch("/api/users/me").body }
	during.Store(&f)
	s.as("alice")
	if strings.Contains(seen, `"username":"alice`) {
		t.Errorf("during alice's first sign-in, bob's session is alice's: %s", seen)
	}
	if seen == "" {
		t.Error("the attack was not tried")
	}
}

type nopBody struct{ *strings.Reader }

func (nopBody) Close() error { return nil }

// With `clients password`, bob, named alice for a moment, gets RomM's tokens for a
// name, gives the name back, and keeps the refresh token. When alice gets her
// account, the tokens are hers.
func TestParkedRommJWT(t *testing.T) {
	s := start(t, options{directive: rolesByMail + "clients password\n"})
	s.romm.AddUser(root)
	bob := s.as("bob")
	account, _ := s.romm.User("bob")
	bob.change(account, "username=alice&password=bob-password")
	got := guessPassword(s.browser(), "alice", "bob-password")
	var tokens struct {
		Access  string `json:"access_token"`
		Refresh string `json:"refresh_token"`
	}
	if json.Unmarshal([]byte(got.body), &tokens) != nil || tokens.Refresh == "" {
		t.Fatalf("bob's own password: %d %s", got.StatusCode, got.body)
	}
	scoped := s.browser().send("POST /api/token", strings.NewReader(url.Values{
		"grant_type": {"password"}, "username": {"alice"}, "password": {"bob-password"}, "scope": {"me.read me.write roms.read"},
	}.Encode()), "Content-Type", formType)
	if json.Unmarshal([]byte(scoped.body), &tokens) != nil || tokens.Refresh == "" {
		t.Fatalf("with scopes: %d %s", scoped.StatusCode, scoped.body)
	}
	bob.change(account, "username=bob")
	alice := s.as("alice").fetch("/api/users/me")
	if !strings.Contains(alice.body, `"username":"alice-`) || strings.Contains(alice.body, `"id":`+itoa(account.ID)+`,`) {
		t.Errorf("alice's first sign-in comes to %s, want a new account with a suffix", alice.body)
	}
	if me := s.browser().do("/api/users/me", "Authorization", "Bearer "+tokens.Access); strings.Contains(me.body, `"username":"alice`) {
		t.Errorf("bob's parked access token is alice's: %d %s", me.StatusCode, me.body)
	}
	again := s.browser().send("POST /api/token", strings.NewReader(url.Values{
		"grant_type": {"refresh_token"}, "refresh_token": {tokens.Refresh},
	}.Encode()), "Content-Type", formType)
	if again.StatusCode == http.StatusOK && json.Unmarshal([]byte(again.body), &tokens) == nil {
		me := s.browser().do("/api/users/me", "Authorization", "Bearer "+tokens.Access)
		if strings.Contains(me.body, `"username":"alice`) {
			t.Errorf("bob's parked refresh token makes tokens of alice's: %d %s", me.StatusCode, me.body)
		}
	}
}
