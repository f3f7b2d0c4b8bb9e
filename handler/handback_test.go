// What the gate obtained and does not keep, it hands back.

package handler

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap/zapcore"

	"github.com/romm-oidc/caddy-romm-oidc/flow"
	"github.com/romm-oidc/caddy-romm-oidc/flow/session"
	"github.com/romm-oidc/caddy-romm-oidc/handler/problem"
	"github.com/romm-oidc/caddy-romm-oidc/tests/authelia"
)

// A session ended on another node, which signed it out of the application. A late
// read here finds it dead and signs in again: that session must not stay.
func TestLateReadHandsItsSessionBack(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	ticket := s.ticket(t, alice)
	s.do(t, "/api/x", "Cookie", ticket)
	other := session.New(session.Options{Gate: "gate"})
	t.Cleanup(other.Close)
	other.Configure(s.storage, session.Limits{Idle: time.Hour, Lifetime: 24 * time.Hour})
	if n, err := other.EndAll(t.Context(), "operator"); n != 1 || err != nil {
		t.Fatalf("EndAll on the other node = %d, %v, want 1", n, err)
	}
	s.app.mu.Lock()
	delete(s.app.alive, "app-0")
	s.app.mu.Unlock()
	s.handler.applicationFailed()
	w := s.do(t, "/api/x", "Cookie", ticket)
	if w.Code != http.StatusUnauthorized || !strings.Contains(w.Header().Get("Set-Cookie"), "__Host-romm_oidc=;") {
		t.Errorf("got %d %v, want 401 and the ticket taken away", w.Code, w.Header())
	}
	if ended := s.endedInApplication(t, 2); !slices.Contains(ended, "app-i") || s.app.lives("app-i") {
		t.Errorf("signed out of the application: %v, want app-i among them", ended)
	}
}

// A sign-in that does not become a session leaves nothing behind, in the
// application or at the provider.
func TestFailedSignInHandsBack(t *testing.T) {
	for name, c := range map[string]struct {
		fail  func(*siteWithProvider)
		ended []string
	}{
		"storage takes no session": {func(s *siteWithProvider) {
			s.app.during = func(int) {
				s.storage.mu.Lock()
				s.storage.err = errors.New("full")
				s.storage.mu.Unlock()
			}
		}, []string{"app-i"}},
		"the application refuses": {func(s *siteWithProvider) { s.app.err = problem.NotAllowed }, nil},
		"the policy refuses":      {func(s *siteWithProvider) { s.handler.config.Policy = Policy{Groups: []string{"z"}} }, nil},
		"all were signed out during it": {func(s *siteWithProvider) {
			s.app.during = func(int) { _, _ = s.handler.config.Gate.Sessions.EndAll(s.Context(), "x") }
		}, []string{"app-i"}},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, refreshingClient, nil, func(s *siteWithProvider) {
				w := s.open("/")
				c.fail(s)
				if w = s.through(w, "alice"); w.Code < http.StatusBadRequest {
					s.Fatalf("the sign-in ended with %d, want a failure", w.Code)
				}
				s.settle()
				if ended := s.endedInApplication(s, len(c.ended)); !slices.Equal(ended, c.ended) {
					s.Errorf("signed out of the application: %v, want %v", ended, c.ended)
				}
				s.wantCalls(authelia.EndpointRevocation, 1)
			})
		})
	}
}

// Shutting the account of a user who is out fails. It is tried again until it
// succeeds, with one line for each change.
func TestShutIsRetried(t *testing.T) {
	inBubble(t, plainClient, func(c *Config) { c.Policy = Policy{Groups: []string{"a"}} }, func(s *siteWithProvider) {
		ticket := s.signInAs("alice")
		s.app.mu.Lock()
		s.app.shutErr = errors.New("storage away")
		s.app.mu.Unlock()
		s.op.SetGroups("alice")
		s.advance(6 * time.Minute)
		s.do(s, "/api/x", "Cookie", ticket)
		s.advance(10 * time.Minute)
		tried := len(s.app.gone)
		if tried < 5 || tried > 30 {
			s.Errorf("tried %d times in ten minutes, want a backoff to %s", tried, shutMost)
		}
		s.app.mu.Lock()
		s.app.shutErr = nil
		s.app.mu.Unlock()
		s.advance(2 * shutMost)
		tried = len(s.app.gone)
		s.advance(10 * time.Minute)
		if len(s.app.gone) != tried {
			s.Errorf("tried %d times after it succeeded, want none", len(s.app.gone)-tried)
		}
		if n := s.logs.FilterMessage("account not shut, will retry").FilterLevelExact(zapcore.InfoLevel).Len(); n != 1 {
			s.Errorf("%d lines say that the account is not shut, want 1 for all tries", n)
		}
	})
}

// A user who is let in again is not shut by an earlier failure.
func TestSignInEndsTheRetries(t *testing.T) {
	t.Parallel()
	var q shuts
	now := time.Now()
	q.add(&alice, "", now)
	q.add(&bob, "", now)
	if first, kept := q.failed(&alice, now); !first || !kept {
		t.Errorf("the first failure: %v, %v, want true, true", first, kept)
	}
	if first, kept := q.failed(&bob, now); first || !kept {
		t.Errorf("the second failure: %v, %v, want false, true", first, kept)
	}
	q.forget(&alice)
	if due := q.due(now.Add(shutMost)); len(due) != 1 || due[0].Username != "bob" {
		t.Errorf("due: %v, want bob only", due)
	}
	for i := range 2 * shutsKept {
		q.add(&flow.Identity{Subject: string(rune(i))}, "", now)
	}
	if len(q.waiting) > shutsKept {
		t.Errorf("%d wait, want %d at most", len(q.waiting), shutsKept)
	}
}

// A user who was let in again signs in while their account is being shut. The mark may
// be stored after the sign-in removed it. The account is opened again for them, and not
// for a user who did not sign in, however many attempts to shut it there are.
func TestSignInWhileTheAccountIsBeingShut(t *testing.T) {
	t.Parallel()
	for name, signsIn := range map[string]bool{"signs in": true, "does not": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, nil)
			s.do(t, "/open")
			g, again := s.handler.config.Gate, false
			s.app.shutting = func() {
				s.app.mu.Unlock()
				defer s.app.mu.Lock()
				switch {
				case signsIn:
					g.shuts.forget(&bob)
				case !again: // a retry overtakes the first attempt
					again = true
					g.shutNow(t.Context(), &bob)
				}
			}
			g.shuts.add(&bob, "", time.Now())
			g.shutNow(t.Context(), &bob)
			if opened := len(s.app.opened) == 1; opened != signsIn {
				t.Errorf("the account was opened: %v, want %v", s.app.opened, signsIn)
			}
		})
	}
}
