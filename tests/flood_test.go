// A user's own doing that must not delay other users.

package tests

import (
	"encoding/json"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// One token changes its own profile all the time, 200 at once. Other users' first
// sign-ins do not wait for that, and the link ends as RomM has the account.
func TestProfileFloodDelaysNoSignIn(t *testing.T) {
	s := start(t, options{directive: rolesByMail})
	s.romm.AddUser(root)
	s.as("bob")
	bob, _ := s.romm.User("bob")
	token := "Bearer " + s.romm.NewClientToken("bob", "me.read me.write")
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
				r, err := http.NewRequestWithContext(t.Context(), http.MethodPut, public+"/api/users/"+itoa(bob.ID), strings.NewReader("email=bob"+itoa(worker)+"x"+itoa(i)+"%40example.com"))
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
	eventually(t, func() bool { now, _ := s.romm.User("bob"); return now.Email != bob.Email })
	began := time.Now()
	for _, user := range []string{"alice", "carol"} {
		s.as(user).wantUser(user)
	}
	if took := time.Since(began); took > 4*time.Second {
		t.Errorf("two first sign-ins took %v during the flood, want less than 4s", took)
	} else {
		t.Logf("two first sign-ins took %v during the flood", took)
	}
	close(stop)
	all.Wait()
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
