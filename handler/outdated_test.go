// Sessions of one user with claims of different age, under new rules.

package handler

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// A new configuration refuses the claims of one of alice's sessions, and lets those of
// another one in. If the refused claims are the older ones, that session ends alone: she
// may come in. If they are the newest, all of hers ends, with her account's tokens.
func TestRulesGoByTheNewestClaims(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		said       [2]int64 // of the refused session, and of the other
		other      int      // what the other session gets afterwards
		shut       []string
		checkOther bool // the provider said the other's again
	}{
		"the refused claims are older":               {[2]int64{1, 2}, http.StatusOK, nil, false},
		"the refused claims are the newest":          {[2]int64{2, 1}, http.StatusUnauthorized, []string{"alice"}, false},
		"the provider said the others again, lately": {[2]int64{2, 1}, http.StatusOK, nil, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, nil)
			session := func(said int64, group string) (ticket string) {
				identity := alice
				identity.Said, identity.Groups = said, []string{group}
				return s.ticket(t, identity)
			}
			refused, other := session(c.said[0], "users"), session(c.said[1], "friends")
			for _, ticket := range []string{refused, other} {
				if w := s.do(t, "/api/x", "Cookie", ticket); w.Code != http.StatusOK {
					t.Fatalf("before: got %d, want 200", w.Code)
				}
			}
			if c.checkOther {
				s.sessionOf(t, other).checked(s.handler.now(), s.handler.now().Add(time.Hour))
			}
			cfg := s.handler.config
			cfg.Policy = Policy{Groups: []string{"friends"}}
			s.handler = New(cfg) // a reload
			if w := s.do(t, "/api/x", "Cookie", refused); w.Code == http.StatusOK {
				t.Errorf("the refused session got %d, want it to end", w.Code)
			}
			for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(time.Millisecond) {
				s.app.mu.Lock()
				gone := slices.Compact(slices.Clone(s.app.gone))
				s.app.mu.Unlock()
				if w := s.do(t, "/api/x", "Cookie", other); slices.Equal(gone, c.shut) && w.Code == c.other {
					break
				} else if time.Now().After(deadline) {
					t.Fatalf("accounts shut: %v, want %v; the other session got %d, want %d", gone, c.shut, w.Code, c.other)
				}
			}
			if w := s.do(t, "/api/x", "Cookie", refused); w.Code != http.StatusUnauthorized {
				t.Errorf("the next request of the refused session got %d, want 401", w.Code)
			}
		})
	}
}

// sessionOf returns what the gate knows of the session of a ticket.
func (s *site) sessionOf(t *testing.T, ticket string) *sessionRuntime {
	t.Helper()
	_, value, _ := strings.Cut(ticket, "=")
	found, err := s.handler.config.Gate.Sessions.Lookup(t.Context(), value)
	if err != nil || found == nil {
		t.Fatalf("no session: %v", err)
	}
	return runtimeOf(found)
}
