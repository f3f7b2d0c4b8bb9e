// Coming back after a pause: users who lost access during it.

package handler

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/flow"
	"github.com/romm-oidc/caddy-romm-oidc/flow/monotonic"
	"github.com/romm-oidc/caddy-romm-oidc/handler/limit"
	"github.com/romm-oidc/caddy-romm-oidc/tests/authelia"
)

// useFor uses a session once a minute.
func (s *siteWithProvider) useFor(d time.Duration, ticket string) {
	s.Helper()
	for range d / time.Minute {
		s.advance(time.Minute)
		s.save(ticket)
	}
}

// longRefreshing is a refreshing client as the documentation recommends it.
func longRefreshing(s *siteWithProvider) {
	s.op.SetLifespans(authelia.Lifespans{RefreshToken: 30 * 24 * time.Hour})
}

// A user was disabled while nobody used the session. The first requests after the
// pause, whatever they are and however many, reach nothing.
func TestDisabledDuringAPause(t *testing.T) {
	for name, pause := range map[string]time.Duration{"six minutes": 6 * time.Minute, "a night": 9 * time.Hour, "3 days": 3 * 24 * time.Hour} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, refreshingClient, longLife, func(s *siteWithProvider) {
				longRefreshing(s)
				ticket := s.signInAs("alice")
				s.advance(pause)
				s.op.DisableUser("alice")
				before := s.answers.n
				var all sync.WaitGroup
				for i := range 100 {
					all.Go(func() {
						target := []string{"POST /api/client-tokens", "GET /api/users", "GET /x.png", "GET /ws/x", "GET /library"}[i%5]
						method, path, _ := strings.Cut(target, " ")
						r := httptest.NewRequest(method, "https://romm.example.com"+path, nil)
						r.TLS.HandshakeComplete = true
						r.Header.Set("Cookie", ticket)
						r.Header.Set("Origin", "https://romm.example.com")
						if path == "/library" {
							r.Header.Set("Sec-Fetch-Mode", "navigate")
							r.Header.Set("Sec-Fetch-Dest", "document")
						}
						w := httptest.NewRecorder()
						if err := s.handler.ServeHTTP(w, r, &chainFunc{serve: s.chain.serve, uri: path}); err != nil {
							s.Error(err)
						}
						want := http.StatusUnauthorized
						if path == "/library" {
							want = http.StatusFound
						}
						if w.Code != want {
							s.Errorf("%s: got %d, want %d", target, w.Code, want)
						}
					})
				}
				all.Wait()
				if s.answers.n != before {
					s.Errorf("%d requests reached the application, want 0", s.answers.n-before)
				}
				s.settle()
				if ended := s.endReasons(); len(ended) != 1 || ended[0] != reasonAccountGone {
					s.Errorf("sessions ended with %v, want once %s", ended, reasonAccountGone)
				}
			})
		})
	}
}

// A user was disabled while the machine was suspended. The process has seen no time
// pass, and the last check was a minute ago. The first request reaches nothing, and a
// socket ends within seconds.
func TestDisabledWhileTheMachineSlept(t *testing.T) {
	for name, comesBack := range map[string]func(*siteWithProvider, string, <-chan error){
		"a request": func(s *siteWithProvider, ticket string, _ <-chan error) {
			before := s.answers.n
			if w := s.do(s, "POST /api/saves", "Cookie", ticket, "Origin", "https://romm.example.com"); w.Code != http.StatusUnauthorized || s.answers.n != before {
				s.Errorf("a script: got %d and %d responses of the application, want 401 and 0", w.Code, s.answers.n-before)
			}
		},
		"a socket": func(_ *siteWithProvider, _ string, socket <-chan error) { <-socket },
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, refreshingClient, longLife, func(s *siteWithProvider) {
				var paused atomic.Int64
				s.handler.config.Paused = paused.Load
				longRefreshing(s)
				ticket := s.signInAs("alice")
				s.useFor(6*time.Minute, ticket)
				s.settle()
				var socket <-chan error
				if name == "a socket" {
					socket = s.openSocket(ticket)
				}
				s.op.DisableUser("alice")
				time.Sleep(time.Millisecond)
				paused.Store(monotonic.Nanoseconds(s.handler.now()))
				slept := time.Now()
				comesBack(s, ticket, socket)
				if took := time.Since(slept); took > 2*heldEvery {
					s.Errorf("the end took %s, want at most %s", took, 2*heldEvery)
				}
				s.settle()
				if ended := s.endReasons(); len(ended) != 1 || ended[0] != reasonAccountGone {
					s.Errorf("sessions ended with %v, want once %s", ended, reasonAccountGone)
				}
			})
		})
	}
}

// The page of a user's own sessions is no way around the check.
func TestDisabledDuringAPauseSeesNoSessions(t *testing.T) {
	inBubble(t, refreshingClient, longLife, func(s *siteWithProvider) {
		longRefreshing(s)
		ticket := s.signInAs("alice")
		s.advance(9 * time.Hour)
		s.op.DisableUser("alice")
		if w := s.open(sessionsPath, ticket); w.Code != http.StatusFound {
			s.Errorf("the page of sessions: got %d, want 302", w.Code)
		}
	})
}

// A session of the plain client was not used for 13 days. Its tokens ended 13 days
// ago, so that its first request finds it over, without a call to the provider.
func TestPlainSessionAfterThirteenDays(t *testing.T) {
	inBubble(t, plainClient, longLife, func(s *siteWithProvider) {
		ticket := s.signInAs("alice")
		s.newPortal()
		other := s.signInAs("bob")
		s.op.DisableUser("alice")
		s.advance(20 * time.Hour)
		s.save(other) // within `unproven`
		s.advance(13 * 24 * time.Hour)
		s.op.ForgetRequests()
		before := s.answers.n
		if w := s.do(s, "POST /api/client-tokens", "Cookie", ticket, "Origin", "https://romm.example.com"); w.Code != http.StatusUnauthorized || s.answers.n != before {
			s.Errorf("a script: got %d and %d responses of the application, want 401 and 0", w.Code, s.answers.n-before)
		}
		s.settle()
		s.wantCalls(authelia.EndpointUserinfo, 0)
		if ended := s.endReasons(); len(ended) == 0 || ended[0] != reasonUnproven {
			s.Errorf("sessions ended with %v, want %s", ended, reasonUnproven)
		}
	})
}

// In continuous use, the check stays in the background: with a provider that
// hangs, no request waits. After a pause the first request waits 5 s, and no
// other does while the provider is known to be away.
func TestOnlyAPauseWaits(t *testing.T) {
	inBubble(t, refreshingClient, longLife, func(s *siteWithProvider) {
		longRefreshing(s)
		ticket := s.signInAs("alice")
		s.newPortal()
		other := s.signInAs("bob")
		s.useFor(5*time.Minute, ticket)
		s.op.Hang()
		waited := func(ticket string) time.Duration {
			began := time.Now()
			s.save(ticket)
			return time.Since(began)
		}
		for range 10 {
			s.advance(time.Minute)
			if d := waited(ticket); d != 0 {
				s.Errorf("a request in continuous use waited %s, want 0", d)
			}
		}
		s.advance(time.Minute)
		if d := waited(other); d != pauseWait {
			s.Errorf("the first request after a pause waited %s, want %s", d, pauseWait)
		}
		if d := waited(other); d != 0 {
			s.Errorf("the second request waited %s, want 0", d)
		}
		s.op.Up()
	})
}

// A user who was disabled spoils the budget of refreshes with other tokens, so that
// their own session is not refreshed when it comes back. Days after its access
// token expired, that does not keep it alive.
func TestHeldBackRefreshesKeepNoSession(t *testing.T) {
	inBubble(t, refreshingClient, longLife, func(s *siteWithProvider) {
		longRefreshing(s)
		ticket := s.signInAs("alice")
		s.op.DisableUser("alice")
		s.advance(2 * 24 * time.Hour)
		for range 9 {
			end, err := s.handler.config.Gate.tokenBudget.Begin(s.Context(), limit.Refresh, netip.Prefix{})
			if err != nil {
				s.Fatal(err)
			}
			end(&flow.TokenError{Status: http.StatusBadRequest, Code: "invalid_grant"})
		}
		s.op.ForgetRequests()
		before := s.answers.n
		s.do(s, "POST /api/client-tokens", "Cookie", ticket, "Origin", "https://romm.example.com")
		s.settle()
		if w := s.do(s, "POST /api/client-tokens", "Cookie", ticket, "Origin", "https://romm.example.com"); w.Code != http.StatusUnauthorized || s.answers.n != before {
			s.Errorf("a script: got %d and %d responses of the application, want 401 and 0", w.Code, s.answers.n-before)
		}
		s.wantCalls(authelia.EndpointToken, 0)
	})
}
