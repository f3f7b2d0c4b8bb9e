// A group that the provider takes away stays away from the application.

package handler

import (
	"errors"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/flow"
	"github.com/romm-oidc/caddy-romm-oidc/flow/session"
	"github.com/romm-oidc/caddy-romm-oidc/handler/request"
)

// The application forgets alice's session just when she loses a group. Her new
// sign-in there, with the old groups, is under way when the re-check learns of the
// loss. It must not finish last and bring the role back.
func TestLostRoleIsNotBroughtBack(t *testing.T) {
	inBubble(t, plainClient, nil, func(s *siteWithProvider) {
		ticket := s.signInAs("alice")
		delete(s.app.alive, "app-i")
		s.forgetSessions()
		s.app.during = func(n int) {
			if n == 2 { // the sign-in that starts before the re-check
				time.Sleep(5 * time.Second)
			}
		}
		s.advance(6 * time.Minute)
		s.op.SetGroups("alice")
		if w := s.do(s, "/api/x", "Cookie", ticket); w.Code != http.StatusOK {
			s.Fatalf("got %d, want 200", w.Code)
		}
		s.settle()
		if len(s.app.as.Groups) > 0 {
			s.Errorf("the application's last sign-in of alice has the groups %v after %d sign-ins, want none", s.app.as.Groups, s.app.signIns)
		}
		if held := s.session(ticket).Record(); len(held.Identity.Groups) > 0 || !s.app.lives(held.Upstream.ID) {
			s.Errorf("got the session %+v, want no groups and a live session in the application", held)
		}
	})
}

// The application fails just when it should learn of a lost group. It learns of it
// later.
func TestLostRoleSurvivesAFault(t *testing.T) {
	inBubble(t, plainClient, nil, func(s *siteWithProvider) {
		ticket := s.signInAs("alice")
		s.op.SetGroups("alice")
		s.app.err = errors.New("away")
		s.advance(6 * time.Minute)
		s.wantUpstream(s.do(s, "/api/x", "Cookie", ticket))
		s.settle()
		s.app.err = nil
		s.advance(time.Minute)
		s.wantUpstream(s.do(s, "/api/x", "Cookie", ticket))
		s.settle()
		if len(s.app.as.Groups) > 0 || len(s.session(ticket).Record().Identity.Groups) > 0 {
			s.Errorf("the application's last sign-in of alice has the groups %v, want none", s.app.as.Groups)
		}
	})
}

// Another node learned of the lost group an hour ago. The application restarts, and
// this node must not sign alice in with the groups that it has in memory.
func TestLostRoleOnAnotherNode(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	ticket := s.ticket(t, alice)
	s.do(t, "/api/x", "Cookie", ticket) // in memory

	other := session.New(session.Options{Gate: "gate"})
	t.Cleanup(other.Close)
	other.Configure(s.storage, session.Limits{Idle: time.Hour, Lifetime: 24 * time.Hour})
	there, err := other.Lookup(t.Context(), ticket[len("__Host-romm_oidc="):])
	if err != nil || there == nil {
		t.Fatalf("Lookup on the other node: got %v, %v, want the session", there, err)
	}
	demoted := []string{"b"}
	if err := other.Update(t.Context(), there, func(record *session.Record) { record.Identity.Groups = demoted }); err != nil {
		t.Fatal(err)
	}

	delete(s.app.alive, "app-0")
	s.forgetSessions()
	if w := s.do(t, "/api/x", "Cookie", ticket); w.Code != http.StatusOK {
		t.Fatalf("got %d, want 200", w.Code)
	}
	if !slices.Equal(s.app.as.Groups, demoted) {
		t.Errorf("the application's last sign-in of alice has the groups %v after %d sign-ins, want %v", s.app.as.Groups, s.app.signIns, demoted)
	}
}

// adminsInGroupA is the role of a site where the group a makes administrators.
func adminsInGroupA(identity *flow.Identity) (string, error) {
	if slices.Contains(identity.Groups, "a") {
		return "admin", nil
	}
	return "user", nil
}

// Alice loses the group that makes her an administrator, and has sockets open: RomM looks
// at the role of a socket when it opens, and sends an administrator's the log. They are
// closed, and open again in the new role. Her session continues, and a download too.
func TestLostRoleClosesSockets(t *testing.T) {
	inBubble(t, plainClient, nil, func(s *siteWithProvider) {
		s.app.role = adminsInGroupA
		ticket := s.signInAs("alice")
		socket := s.openSocket(ticket)
		held := s.session(ticket).Hold(new(stream))
		s.advance(6 * time.Minute)
		if !isOpen(socket) {
			s.Fatal("the socket closed after a check that found nothing new, want it open")
		}
		s.op.SetGroups("alice")
		s.advance(6 * time.Minute)
		if isOpen(socket) {
			s.Error("the socket is open after alice lost her role, want it closed")
		}
		if found := s.session(ticket); found == nil || found != held || found.Record().Upstream.Role != "user" {
			s.Errorf("sessions ended with %v, want alice's to go on as a user's", s.endReasons())
		}
		again := s.openSocket(ticket)
		s.advance(6 * time.Minute)
		if !isOpen(again) {
			s.Error("the new socket was closed, want it open")
		}
	})
}

// The same where alice signs in again in her browser and gets a new session, which takes
// over what is open.
func TestLostRoleClosesSocketsOfTheFormerSession(t *testing.T) {
	inBubble(t, plainClient, nil, func(s *siteWithProvider) {
		s.app.role = adminsInGroupA
		ticket := s.signInAs("alice")
		kept := s.openSocket(ticket)
		ticket = s.ticketOf(s.through(s.open(request.Base+"/login", ticket), "alice", ticket))
		s.settle()
		if !isOpen(kept) {
			s.Error("the socket closed at a sign-in in the same role, want it open")
		}
		s.op.SetGroups("alice")
		s.ticketOf(s.through(s.open(request.Base+"/login", ticket), "alice", ticket))
		s.settle()
		if isOpen(kept) {
			s.Error("the socket is open after alice signed in without her role, want it closed")
		}
	})
}
