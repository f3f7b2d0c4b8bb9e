// Attacks: a session that was parked under a name, and a change of the name that the
// gate learns of late, or never.

package tests

import (
	"context"
	"io"
	"net/http"
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
		for renamed := time.Now(); !parked.is(c, victim, 1); time.Sleep(50 * time.Millisecond) {
			if time.Since(renamed) > 30*time.Second {
				t.Fatalf("30 s after the rename, node 1 does not know that bob is named %s", victim)
			}
		}
		rename("bob")
		first := c.signedIn(victim, 0)
		me := parked.on(c, 1).fetch("/api/users/me")
		if strings.Contains(me.body, `"username":"`+victim+`"`) {
			t.Errorf("bob's session is %s's at node 1: %.300s", victim, me.body)
		}
		if !first.is(c, victim, 0) {
			t.Errorf("%s, who came after bob gave the name back, has another name", victim)
		}
	}
}

// Bob is named alice in RomM, and takes the name back with a request that he leaves
// before RomM has carried it out (a password in the form takes RomM a moment to hash).
// Alice, an administrator, signs in for the first time: at no moment is bob's session
// hers. If RomM answers soon, the gate waits for the answer in bob's place. If not, it
// does not know when RomM carries the change out, and alice gets another name.
func TestRenameThatTheClientLeft(t *testing.T) {
	for name, late := range map[string]bool{"RomM answers soon": false, "RomM does not answer": true} {
		t.Run(name, func(t *testing.T) {
			var slow, waiting atomic.Bool
			arrived, carryOut, asked, committed := make(chan struct{}), make(chan struct{}), make(chan struct{}), make(chan struct{})
			var parked *browser
			var looked atomic.Bool
			seen := "" // what bob's session is during alice's sign-in
			s := start(t, options{directive: rolesByMail, prepare: func(s *stack) {
				app := s.romm
				s.rommURL = serve(s.t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if r.Method == http.MethodPut && slow.CompareAndSwap(true, false) {
						// RomM runs the handler to its end, without looking at the client.
						body, _ := io.ReadAll(r.Body)
						left := r.Context()
						r = r.Clone(context.WithoutCancel(left))
						r.Body = io.NopCloser(strings.NewReader(string(body)))
						waiting.Store(true)
						close(arrived)
						<-carryOut
						if late {
							<-left.Done()
							<-asked
						}
						defer close(committed)
					}
					app.ServeHTTP(w, r)
					if r.URL.Path == "/api/users/me" && r.Header.Get("Authorization") != "" && waiting.CompareAndSwap(true, false) {
						close(asked) // the gate gave up, and asked for the account's name
					}
					if u, ok := app.User("alice"); ok && u.ID != 2 && r.URL.Path == "/api/oauth/openid" && looked.CompareAndSwap(false, true) {
						seen = parked.fetch("/api/users/me").body //nolint:contextcheck // another browser's request
					}
				}))
			}})
			s.romm.AddUser(root)
			parked = s.as("bob")
			token := "Bearer " + s.romm.NewClientToken("bob", "me.read me.write")
			if code := s.edit(token, "/api/users/2", "username=alice"); code != http.StatusOK {
				t.Fatalf("renaming answered %d, want 200", code)
			}
			if me := parked.fetch("/api/users/me"); !strings.Contains(me.body, `"username":"alice"`) || !strings.Contains(me.body, `"id":2`) {
				t.Fatalf("bob's session is %s, want it to be bob's account under alice's name", me.body)
			}
			slow.Store(true)
			ctx, leave := context.WithCancel(t.Context())
			r, err := http.NewRequestWithContext(ctx, http.MethodPut, public+"/api/users/2", strings.NewReader("username=bob"))
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Content-Type", formType)
			r.Header.Set("Authorization", token)
			go func() {
				<-arrived
				leave()
			}()
			if answer, err := (&http.Client{Transport: transport}).Do(r); err == nil {
				_ = answer.Body.Close()
				t.Fatalf("the rename answered %d before its client left", answer.StatusCode)
			}
			if me := parked.fetch("/api/users/me"); !strings.Contains(me.body, `"id":2`) {
				t.Fatalf("bob's session after he left is %s, want his account", me.body)
			}
			close(carryOut)
			<-committed
			if _, ok := s.romm.User("bob"); !ok {
				t.Fatal("RomM did not carry out the rename")
			}
			alice := s.as("alice")
			if strings.Contains(seen, `"username":"alice"`) {
				t.Errorf("during alice's first sign-in, bob's session is alice's: %s", seen)
			}
			if me := parked.fetch("/api/users/me"); strings.Contains(me.body, `"username":"alice`) {
				t.Errorf("after alice's first sign-in, bob's session is alice's: %s", me.body)
			}
			me := alice.fetch("/api/users/me")
			if got := strings.Contains(me.body, `"username":"alice"`); got == late || !strings.Contains(me.body, `"username":"alice`) {
				t.Errorf("alice is %s, want her name unless RomM did not answer", me.body)
			}
		})
	}
}
