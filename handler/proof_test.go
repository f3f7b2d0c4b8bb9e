// The next sign-in of an unproven session, which proves it or replaces it.

package handler

import (
	"net/http"
	"testing"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/flow/session"
	"github.com/romm-oidc/caddy-romm-oidc/tests/authelia"
)

// Another user is now signed in at the provider. The old session ends
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
		if ended := s.endedInApplication(s, 1); len(ended) != 1 || ended[0] != "app-i" || s.session(renewed).Record().Upstream.ID != "app-ii" {
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
		if record := s.session(renewed).Record(); record.Upstream.ID != "app-ii" || record.Identity.Groups[0] != "b" {
			s.Errorf("got the session %+v, want app-ii with group b", record)
		}
		if ended := s.endedInApplication(s, 1); len(ended) != 1 || ended[0] != "app-i" {
			s.Errorf("signed out of the application: %v, want only app-i", ended)
		}
	})
}

// The user declines the proof. They get the page that they asked for, and the
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
		if w := s.callback(w, callback, ticket); w.Code != http.StatusSeeOther || w.Header().Get("Location") != "/library" {
			s.Errorf("callback: got %d %s, want 303 to /library", w.Code, w.Body)
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

// Authelia answers a disabled user with server_error, as it does when its
// database is away. The gate cannot tell which it is: the session continues for as
// long as an unproven one may, and not longer.
func TestDisabledUserFailsTheProof(t *testing.T) {
	inBubble(t, plainClient, longLife, func(s *siteWithProvider) {
		s.op.SetLifespans(authelia.Lifespans{Session: 24 * time.Hour})
		ticket := s.signInAs("alice")
		s.advance(2 * time.Hour)
		s.signInAs("alice") // so that Authelia has just read the user
		s.op.DisableUser("alice")
		if w := s.through(s.open("/library", ticket), "alice", ticket); w.Code != http.StatusSeeOther || w.Header().Get("Location") != "/library" {
			s.Errorf("callback: got %d with Location %q, want 303 to /library", w.Code, w.Header().Get("Location"))
		}
		since := s.session(ticket).Record().UnprovenSince
		s.advance(s.handler.config.Unproven)
		s.open("/library", ticket)
		s.settle()
		if s.session(ticket) != nil {
			s.Errorf("the session lives %s after its tokens ended, want it ended", time.Since(since))
		}
	})
}

// storageIsFull puts the sessions' storage behind one that is read-only.
func storageIsFull(s *siteWithProvider) {
	sessions := s.handler.config.Gate.Sessions
	sessions.Configure(fullStorage{sessions.Storage()}, session.Limits{Idle: session.DefaultIdle, Lifetime: session.DefaultLifetime})
}

// While storage is read-only, or the provider refuses, a sign-in that only
// proves a session ends at the page that the user asked for. A sign-in without a
// session, and one of a user who may not use the site, end on an error page.
func TestFailedProofServesThePage(t *testing.T) {
	refusal := func(status int, code string) func(*siteWithProvider) {
		return func(s *siteWithProvider) {
			s.op.Misbehave(func(m *authelia.Misbehaviour) {
				m.Fail(authelia.EndpointToken, authelia.Fault{Status: status, Body: `{"error":"` + code + `"}`})
			})
		}
	}
	for name, spoil := range map[string]func(*siteWithProvider){
		"storage is read-only":          storageIsFull,
		"the code is refused":           refusal(http.StatusBadRequest, "invalid_grant"),
		"the client is refused":         refusal(http.StatusUnauthorized, "invalid_client"),
		"the provider is rate limited":  refusal(http.StatusTooManyRequests, ""),
		"the provider answers nonsense": refusal(http.StatusOK, "x"),
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, plainClient, longLife, func(s *siteWithProvider) {
				ticket := s.signInAs("alice")
				s.advance(2 * time.Hour)
				s.save(ticket)
				s.settle()
				spoil(s)
				back := s.through(s.open("/library", ticket), "alice", ticket)
				if back.Code != http.StatusSeeOther || back.Header().Get("Location") != "/library" {
					s.Errorf("callback: got %d %s, want 303 to /library", back.Code, back.Body)
				}
				s.wantUpstream(s.open("/library", ticket))
				s.newPortal()
				if back := s.through(s.open("/library"), "bob"); back.Code < http.StatusBadRequest {
					s.Errorf("callback of a user without a session: got %d to %s, want an error", back.Code, back.Header().Get("Location"))
				}
			})
		})
	}
	inBubble(t, plainClient, func(c *Config) {
		longLife(c)
		c.Policy = Policy{Groups: []string{"a"}}
	}, func(s *siteWithProvider) {
		s.op.SetGroups("alice", "a")
		ticket := s.signInAs("alice")
		s.advance(2 * time.Hour)
		s.op.SetGroups("alice", "b")
		s.op.DropSessions()
		if back := s.through(s.open("/library", ticket), "alice", ticket); back.Code != http.StatusForbidden {
			s.Errorf("callback of a user who may no longer use the site: got %d, want 403", back.Code)
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
