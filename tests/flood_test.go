// A user's own doing that must not delay other users.

package tests

import (
	"encoding/json"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/tests/romm"
)

// One token changes its own profile all the time, 200 at once. Other users' first
// sign-ins do not wait for that, and the link ends as RomM has the account.
func TestProfileFloodDelaysNoSignIn(t *testing.T) {
	s := start(t, options{directive: rolesByMail})
	s.romm.AddUser(root)
	s.as("bob")
	bob, _ := s.romm.User("bob")
	token := "Bearer " + s.romm.NewClientToken("bob", "me.read me.write")
	read := flood(t, http.MethodGet, bob, token) // as much work, without a change
	usual := firstSignIn(s, "carol")
	read()
	changed := flood(t, http.MethodPut, bob, token)
	eventually(t, func() bool { now, _ := s.romm.User("bob"); return now.Email != bob.Email })
	if took := firstSignIn(s, "alice"); took > max(2*time.Second, 4*usual) {
		t.Errorf("a first sign-in took %v during the flood, want about %v", took, usual)
	}
	changed()
	eventually(t, func() bool {
		now, _ := s.romm.User("bob")
		var links []struct {
			Username string `json:"username"`
			Email    string `json:"email"`
		}
		_ = json.Unmarshal([]byte(s.manage(http.MethodGet, "/romm_oidc/links").body), &links)
		for _, link := range links {
			if link.Username == "bob" {
				return link.Email == now.Email
			}
		}
		return false
	})
	s.as("bob").wantUser("bob")
}

// firstSignIn returns how long user's first sign-in takes.
func firstSignIn(s *stack, user string) time.Duration {
	began := time.Now()
	s.as(user).wantUser(user)
	return time.Since(began)
}

// flood sends requests for user's profile until the function is called that it
// returns.
func flood(t *testing.T, method string, user romm.User, token string) (end func()) {
	t.Helper()
	stop := make(chan struct{})
	var all sync.WaitGroup
	for worker := range 200 {
		all.Go(func() {
			client := &http.Client{Transport: transport, Timeout: time.Minute}
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				r, err := http.NewRequestWithContext(t.Context(), method, public+"/api/users/"+itoa(user.ID), strings.NewReader("email=bob"+itoa(worker)+"x"+itoa(i)+"%40example.com"))
				if err != nil {
					return
				}
				r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
				r.Header.Set("Authorization", token)
				if answer, err := client.Do(r); err == nil {
					answer.Body.Close()
				}
			}
		})
	}
	return func() {
		close(stop)
		all.Wait()
	}
}
