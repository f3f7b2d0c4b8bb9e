// RomM tokens of users who lost their access: what must not open them again.

package tests

import (
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/romm-oidc/caddy-romm-oidc/tests/romm"
)

// shutOut starts a stack in which bob was disabled at Authelia, and returns it
// with a function that makes a new RomM token of bob's. The gate asks RomM about
// each token when it first sees it.
func shutOut(t *testing.T, o options) (*stack, func() string) {
	t.Helper()
	o.directive = rolesByMail + recheckSoon + o.directive
	s := start(t, o)
	s.romm.AddUser(root)
	bob := s.as("bob")
	token := func() string { return "Bearer " + s.romm.NewClientToken("bob", "me.read me.write roms.read") }
	if answer := s.browser().do("/api/roms", "Authorization", token()); answer.StatusCode != http.StatusOK {
		t.Fatalf("bob's token answered %d before he was disabled, want 200", answer.StatusCode)
	}
	s.authelia.DisableUser("bob")
	eventually(t, bob.out)
	eventually(t, func() bool { return s.refuses(token()) })
	return s, token
}

// refuses reports whether the gate refuses a RomM token.
func (s *stack) refuses(token string) bool {
	s.t.Helper()
	return s.browser().do("/api/roms", "Authorization", token).StatusCode == http.StatusUnauthorized
}

// The operator forgets or moves the link of a user who was disabled. The former
// owner's tokens stay shut until the new owner signs in for the first time.
func TestForgottenLinkKeepsTokensShut(t *testing.T) {
	for name, c := range map[string]struct {
		command []string
		owner   func(s *stack) string // signs in afterwards
	}{
		"forgotten by address": {[]string{"links", "forget", "bob@example.com"}, func(s *stack) string { s.authelia.SetEmail("carol", "bob@example.com"); return "carol" }},
		"forgotten by name":    {[]string{"links", "forget", "bob"}, func(s *stack) string { s.authelia.SetEmail("carol", "bob@example.com"); return "carol" }},
		"moved":                {[]string{"links", "move", "bob", "SUBJECT"}, func(*stack) string { return "carol" }},
	} {
		t.Run(name, func(t *testing.T) {
			s, token := shutOut(t, options{})
			for i, arg := range c.command {
				c.command[i] = strings.ReplaceAll(arg, "SUBJECT", s.authelia.Subject("carol"))
			}
			if output, code := s.command(c.command...); code != 0 {
				t.Fatalf("%q exited with %d, want 0: %s", c.command, code, output)
			}
			if !s.refuses(token()) {
				t.Error("bob's tokens work again")
			}
			s.as(c.owner(s)).wantUser("bob")
			if s.refuses(token()) {
				t.Error("the account's tokens do not work after its new owner has signed in, want them to")
			}
		})
	}
}

// Clients change bob's profile while he is disabled, and afterwards: nothing that
// writes his link opens his tokens.
func TestProfileChangesKeepTokensShut(t *testing.T) {
	var writers sync.WaitGroup
	defer writers.Wait()
	stop := make(chan struct{})
	defer close(stop)
	s, token := shutOut(t, options{prepare: func(s *stack) {
		id := "2" // root's is 1
		for i := range 8 {
			writers.Go(func() {
				for n := 0; ; n++ {
					select {
					case <-stop:
						return
					default:
					}
					if _, ok := s.romm.User("bob"); !ok {
						continue
					}
					r, err := http.NewRequestWithContext(t.Context(), http.MethodPut, public+"/api/users/"+id, strings.NewReader("email=bob"+itoa(i)+"x"+itoa(n)+"%40example.com"))
					if err != nil {
						return
					}
					r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
					r.Header.Set("Authorization", "Bearer "+s.romm.NewClientToken("root", "me.read me.write users.read users.write"))
					if answer, err := (&http.Client{Transport: transport}).Do(r); err == nil {
						answer.Body.Close()
					}
				}
			})
		}
	}})
	for range 5 {
		if answer := s.browser().do("/api/roms", "Authorization", token()); answer.StatusCode != http.StatusUnauthorized {
			t.Fatalf("a token of bob's answered %d after a change of his profile, want 401", answer.StatusCode)
		}
	}
}

// A user makes their account document larger than the gate reads elsewhere, so
// that the gate cannot tell by it that they were disabled.
func TestLargeAccountKeepsTokensShut(t *testing.T) {
	var settings atomic.Int64 // bytes
	s, token := shutOut(t, options{prepare: func(s *stack) { swollen(s, &settings) }})
	for _, c := range []struct {
		size int64
		want int
	}{{70 << 10, http.StatusUnauthorized}, {900 << 10, http.StatusUnauthorized}, {2 << 20, http.StatusServiceUnavailable}} {
		settings.Store(c.size)
		if answer := s.browser().do("/api/roms", "Authorization", token()); answer.StatusCode != c.want {
			t.Errorf("with %d bytes of settings, a token of bob's answered %d, want %d", c.size, answer.StatusCode, c.want)
		}
	}
}

// A heartbeat that lists the folders of very many platforms does not break sign-ins.
func TestLargeHeartbeat(t *testing.T) {
	s := start(t, options{directive: rolesByMail, romm: func(o *romm.Options) { o.PlatformFolders = 20_000 }})
	s.as("alice").wantUser("alice")
}
