package handler

import (
	"errors"
	"net/http"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/flow/session"
)

// The application forgets alice's session at the moment at which she loses a
// group. The sign-in with what was true before is under way when the re-check
// hears of it, and would bring the role back if it came out last.
func TestLostRoleIsNotBroughtBack(t *testing.T) {
	inBubble(t, plainClient, nil, func(s *site) {
		ticket := s.as("alice")
		delete(s.app.alive, "app-i")
		var hits atomic.Int64
		s.forgetful(&hits)
		s.app.during = func(n int) {
			if n == 2 { // the one that starts before the re-check
				time.Sleep(5 * time.Second)
			}
		}
		s.after(6 * time.Minute)
		s.op.SetGroups("alice")
		if w := s.do(s, "/api/x", "Cookie", ticket); w.Code != http.StatusOK {
			s.Fatal(w.Code)
		}
		s.settle()
		if len(s.app.as.Groups) > 0 {
			s.Errorf("the application's last word of alice's groups is %v, after %d sign-ins", s.app.as.Groups, s.app.signIns)
		}
		if held := s.session(ticket).Record(); len(held.Identity.Groups) > 0 || !s.app.lives(held.UpstreamSession) {
			s.Errorf("the session holds %+v", held)
		}
	})
}

// The application does not answer the one time that it is told of a lost
// group: it is told again.
func TestLostRoleSurvivesAFault(t *testing.T) {
	inBubble(t, plainClient, nil, func(s *site) {
		ticket := s.as("alice")
		s.op.SetGroups("alice")
		s.app.err = errors.New("away")
		s.after(6 * time.Minute)
		s.upstream(s.do(s, "/api/x", "Cookie", ticket))
		s.settle()
		s.app.err = nil
		s.after(time.Minute)
		s.upstream(s.do(s, "/api/x", "Cookie", ticket))
		s.settle()
		if len(s.app.as.Groups) > 0 || len(s.session(ticket).Record().Identity.Groups) > 0 {
			s.Errorf("the application's last word of alice's groups is %v", s.app.as.Groups)
		}
	})
}

// Another node heard of the lost group an hour ago. What this one has in
// memory from before must not bring it back when the application was restarted.
func TestLostRoleOnAnotherNode(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	ticket := f.ticket(t, alice)
	f.do(t, "/api/x", "Cookie", ticket) // in memory

	other := session.New(session.Options{Gate: "gate"})
	t.Cleanup(other.Close)
	other.Configure(f.storage, session.Limits{Idle: time.Hour, Lifetime: 24 * time.Hour})
	there, err := other.Lookup(t.Context(), ticket[len("__Host-romm_oidc="):])
	if err != nil || there == nil {
		t.Fatal(there, err)
	}
	demoted := []string{"b"}
	if err := other.Update(t.Context(), there, func(record *session.Record) { record.Identity.Groups = demoted }); err != nil {
		t.Fatal(err)
	}

	delete(f.app.alive, "app-0")
	var hits atomic.Int64
	f.forgetful(&hits)
	if w := f.do(t, "/api/x", "Cookie", ticket); w.Code != http.StatusOK {
		t.Fatal(w.Code)
	}
	if !slices.Equal(f.app.as.Groups, demoted) {
		t.Errorf("the application's last word of alice's groups is %v, after %d sign-ins", f.app.as.Groups, f.app.signIns)
	}
}
