// The next sign-in of an unproven session, which proves it or replaces it.

package handler

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/handler/problem"
	"github.com/romm-oidc/caddy-romm-oidc/tests/authelia"
)

// The provider knows somebody else by now: the old session ends, everywhere,
// and the new one is theirs alone.
func TestAnotherUserComesBack(t *testing.T) {
	inBubble(t, plainClient, longLife, func(s *siteWithProvider) {
		ticket := s.signInAs("alice")
		socket := s.openSocket(ticket)
		s.advance(2 * time.Hour)
		s.newPortal()
		back := s.through(s.open("/library", ticket), "bob", ticket)
		renewed := s.ticketOf(back)
		if s.session(ticket) != nil || s.session(renewed).Record().Identity.Username != "bob" {
			s.Error("the session is not bob's alone")
		}
		s.settle()
		if isOpen(socket) {
			s.Error("alice's socket is open")
		}
		if ended := s.endedInApplication(s, 1); len(ended) != 1 || ended[0] != "app-i" || s.session(renewed).Record().UpstreamSession != "app-ii" {
			s.Errorf("ended in the application: %v", ended)
		}
		if ended := s.endReasons(); len(ended) != 1 || ended[0] != reasonSignedInAs {
			s.Errorf("ended %v", ended)
		}
	})
}

// What the provider says has changed overnight: the application is told anew.
func TestChangedOvernight(t *testing.T) {
	inBubble(t, plainClient, longLife, func(s *siteWithProvider) {
		ticket := s.signInAs("alice")
		s.advance(2 * time.Hour)
		s.op.SetGroups("alice", "b")
		s.op.DropSessions() // or it would tell what it remembers
		renewed := s.ticketOf(s.through(s.open("/library", ticket), "alice", ticket))
		if record := s.session(renewed).Record(); record.UpstreamSession != "app-ii" || record.Identity.Groups[0] != "b" {
			s.Errorf("%+v", record)
		}
		if ended := s.endedInApplication(s, 1); len(ended) != 1 || ended[0] != "app-i" {
			s.Errorf("ended in the application: %v", ended)
		}
	})
}

// A proof that fails shows why, once; the page opened after it is served, and
// no browser goes round in circles.
func TestFailedProofDoesNotLoop(t *testing.T) {
	asking := func(o *authelia.Options) { o.Clients[0].ConsentMode = "auto" }
	inBubble(t, asking, longLife, func(s *siteWithProvider) {
		ticket := s.signInAs("alice")
		s.advance(2 * time.Hour)
		s.save(ticket)
		s.settle()
		w := s.open("/library", ticket)
		callback, err := s.op.Refuse(s.portal, w.Header().Get("Location"), "alice", "alice-password")
		if err != nil {
			s.Fatal(err)
		}
		if w := s.callback(w, callback, ticket); w.Code != http.StatusForbidden || !strings.Contains(w.Body.String(), problem.SignInDenied.Code) {
			s.Errorf("got %d %s", w.Code, w.Body)
		}
		if s.session(ticket) == nil {
			s.Error("the session is lost")
		}
		s.wantUpstream(s.open("/library", ticket))
		s.wantUpstream(s.open("/library", ticket))
		s.advance(renewPause)
		if w := s.open("/library", ticket); w.Code != http.StatusFound {
			s.Errorf("a minute later: %d", w.Code)
		}
	})
}

// Authelia answers for somebody who was disabled with an error of its own. That
// is no breakdown: the page says so, and the page asked for is not shown.
func TestDisabledUserFailsTheProof(t *testing.T) {
	inBubble(t, plainClient, longLife, func(s *siteWithProvider) {
		s.op.SetLifespans(authelia.Lifespans{Session: 24 * time.Hour})
		ticket := s.signInAs("alice")
		s.advance(2 * time.Hour)
		s.signInAs("alice") // so that Authelia has just looked
		s.op.DisableUser("alice")
		if w := s.through(s.open("/library", ticket), "alice", ticket); w.Code != http.StatusServiceUnavailable || w.Header().Get("Location") != "" {
			s.Errorf("got %d %s", w.Code, w.Header().Get("Location"))
		}
	})
}

// The provider breaks down while the browser is there: back to the page.
func TestProviderBreaksDownDuringTheProof(t *testing.T) {
	inBubble(t, plainClient, longLife, func(s *siteWithProvider) {
		ticket := s.signInAs("alice")
		s.advance(2 * time.Hour)
		s.save(ticket)
		s.settle()
		w := s.open("/library", ticket)
		s.op.Misbehave(func(m *authelia.Misbehaviour) {
			m.Fail(authelia.EndpointToken, authelia.Fault{Status: http.StatusServiceUnavailable})
		})
		back := s.through(w, "alice", ticket)
		if back.Code != http.StatusSeeOther || back.Header().Get("Location") != "/library" {
			s.Errorf("%d %s", back.Code, back.Body)
		}
		s.wantUpstream(s.open("/library", ticket))
		// Who has no session is told.
		if back := s.through(s.open("/"), "bob"); back.Code != http.StatusServiceUnavailable {
			s.Errorf("%d", back.Code)
		}
	})
}

// A provider whose tokens are dead on arrival sends nobody round in circles.
func TestTokensDeadOnArrival(t *testing.T) {
	inBubble(t, plainClient, longLife, func(s *siteWithProvider) {
		ticket := s.signInAs("alice")
		s.advance(2 * time.Hour)
		for range 3 {
			back := s.through(s.open("/library", ticket), "alice", ticket)
			ticket = s.ticketOf(back)
			s.op.ExpireAccessTokens()
			err := s.handler.loseProof(s.Context(), s.session(ticket), s.session(ticket).Record().Tokens)
			if err != nil || !unproven(s.session(ticket).Record()) {
				s.Fatal(err)
			}
			s.wantUpstream(s.open("/library", ticket))
			s.advance(renewPause)
		}
	})
}
