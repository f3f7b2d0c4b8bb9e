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

// Another user is signed in at the provider by now. The old session ends
// completely, and the new session belongs to that user alone.
func TestAnotherUserComesBack(t *testing.T) {
	inBubble(t, plainClient, longLife, func(s *siteWithProvider) {
		ticket := s.signInAs("alice")
		socket := s.openSocket(ticket)
		s.advance(2 * time.Hour)
		s.newPortal()
		back := s.through(s.open("/library", ticket), "bob", ticket)
		renewed := s.ticketOf(back)
		if s.session(ticket) != nil || s.session(renewed).Record().Identity.Username != "bob" {
			s.Error("alice's session lives or the new session is not bob's, want only bob's")
		}
		s.settle()
		if isOpen(socket) {
			s.Error("alice's socket is open, want it closed")
		}
		if ended := s.endedInApplication(s, 1); len(ended) != 1 || ended[0] != "app-i" || s.session(renewed).Record().Upstream.Session != "app-ii" {
			s.Errorf("signed out of the application: %v, want only app-i", ended)
		}
		if ended := s.endReasons(); len(ended) != 1 || ended[0] != reasonSignedInAs {
			s.Errorf("sessions ended with %v, want once %s", ended, reasonSignedInAs)
		}
	})
}

// The user's groups changed overnight. The gate signs the user in to the
// application again.
func TestChangedOvernight(t *testing.T) {
	inBubble(t, plainClient, longLife, func(s *siteWithProvider) {
		ticket := s.signInAs("alice")
		s.advance(2 * time.Hour)
		s.op.SetGroups("alice", "b")
		s.op.DropSessions() // or it would return the old groups
		renewed := s.ticketOf(s.through(s.open("/library", ticket), "alice", ticket))
		if record := s.session(renewed).Record(); record.Upstream.Session != "app-ii" || record.Identity.Groups[0] != "b" {
			s.Errorf("got the session %+v, want app-ii with group b", record)
		}
		if ended := s.endedInApplication(s, 1); len(ended) != 1 || ended[0] != "app-i" {
			s.Errorf("signed out of the application: %v, want only app-i", ended)
		}
	})
}

// A failed proof shows its error once. The next page load is served, and the
// browser does not loop between gate and provider.
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
			s.Errorf("callback: got %d %s, want 403 with %s", w.Code, w.Body, problem.SignInDenied.Code)
		}
		if s.session(ticket) == nil {
			s.Error("the failed proof ended the session, want it alive")
		}
		s.wantUpstream(s.open("/library", ticket))
		s.wantUpstream(s.open("/library", ticket))
		s.advance(renewPause)
		if w := s.open("/library", ticket); w.Code != http.StatusFound {
			s.Errorf("after the pause: got %d, want 302 to the provider", w.Code)
		}
	})
}

// Authelia answers a disabled user with its own error. The gate does not take that
// for an outage: it shows the error and not the requested page.
func TestDisabledUserFailsTheProof(t *testing.T) {
	inBubble(t, plainClient, longLife, func(s *siteWithProvider) {
		s.op.SetLifespans(authelia.Lifespans{Session: 24 * time.Hour})
		ticket := s.signInAs("alice")
		s.advance(2 * time.Hour)
		s.signInAs("alice") // so that Authelia has just read the user
		s.op.DisableUser("alice")
		if w := s.through(s.open("/library", ticket), "alice", ticket); w.Code != http.StatusServiceUnavailable || w.Header().Get("Location") != "" {
			s.Errorf("callback: got %d with Location %q, want 503 without one", w.Code, w.Header().Get("Location"))
		}
	})
}

// The provider fails while the browser is there. The user gets back to the page.
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
			s.Errorf("callback: got %d %s, want 303 to /library", back.Code, back.Body)
		}
		s.wantUpstream(s.open("/library", ticket))
		// A user without a session sees the error.
		if back := s.through(s.open("/"), "bob"); back.Code != http.StatusServiceUnavailable {
			s.Errorf("callback of a user without a session: got %d, want 503", back.Code)
		}
	})
}

// A provider issues tokens that are expired on arrival. The browser does not loop.
func TestTokensDeadOnArrival(t *testing.T) {
	inBubble(t, plainClient, longLife, func(s *siteWithProvider) {
		ticket := s.signInAs("alice")
		s.advance(2 * time.Hour)
		for range 3 {
			back := s.through(s.open("/library", ticket), "alice", ticket)
			ticket = s.ticketOf(back)
			s.op.ExpireAccessTokens()
			err := s.handler.loseProof(s.Context(), s.session(ticket), s.session(ticket).Record().Tokens, time.Now())
			if err != nil || !s.handler.unproven(s.session(ticket).Record()) {
				s.Fatal(err)
			}
			s.wantUpstream(s.open("/library", ticket))
			s.advance(renewPause)
		}
	})
}
