// Signing users in to the application again, after it forgot their sessions.

package handler

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/romm-oidc/caddy-romm-oidc/flow"
	"github.com/romm-oidc/caddy-romm-oidc/handler/application"
	"github.com/romm-oidc/caddy-romm-oidc/handler/problem"
	"github.com/romm-oidc/caddy-romm-oidc/handler/request"
)

// forgetful makes the chain behave as an application whose sessions are gone
// but for those that it signed in lately.
func (s *site) forgetSessions(hits *atomic.Int64) {
	s.chain.serve = func(w http.ResponseWriter, r *http.Request) error {
		hits.Add(1)
		session := request.CookieValue(r, "app_session")
		if s.app.lives(session) {
			w.Header().Set("X-Session", "alive")
			w.Header().Set("Etag", "fresh")
			_, err := w.Write([]byte("for " + session))
			return err
		}
		w.Header().Set("X-Session", "forgotten")
		w.Header().Set("Etag", "stale")
		w.Header().Set("X-Stale", "1")
		w.WriteHeader(http.StatusUnauthorized)
		_, err := w.Write([]byte("who are you"))
		return err
	}
}

// The application was restarted and knows nobody: a read is asked again with a
// new session, and the browser sees the second answer only.
func TestForgottenSessionIsBrokeredAgain(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	ticket := s.ticket(t, alice)
	delete(s.app.alive, "app-0")
	var hits atomic.Int64
	s.forgetSessions(&hits)
	w := s.do(t, "/api/x?a=b", "Cookie", ticket)
	if w.Code != http.StatusOK || w.Body.String() != "for app-i" || w.Header().Get("Etag") != "fresh" || w.Header().Get("X-Stale") != "" {
		t.Errorf("%d %q %v", w.Code, w.Body, w.Header())
	}
	if hits.Load() != 2 || s.app.signIns != 1 {
		t.Errorf("asked %d times, signed in %d times", hits.Load(), s.app.signIns)
	}
	if w := s.do(t, "/api/x", "Cookie", ticket); w.Body.String() != "for app-i" || hits.Load() != 3 {
		t.Errorf("afterwards: %q, asked %d times", w.Body, hits.Load())
	}
}

// A write cannot be asked again, so the session is confirmed before it.
func TestWriteMeetsALiveSession(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	ticket := s.ticket(t, alice)
	delete(s.app.alive, "app-0")
	var hits atomic.Int64
	s.forgetSessions(&hits)
	w := s.do(t, "POST /api/saves", "Cookie", ticket)
	if w.Code != http.StatusOK || w.Body.String() != "for app-i" || hits.Load() != 1 {
		t.Errorf("%d %q, asked %d times", w.Code, w.Body, hits.Load())
	}
}

// A stampede after a restart costs one sign-in.
func TestBrokeringIsSingleFlight(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	ticket := s.ticket(t, alice)
	delete(s.app.alive, "app-0")
	var hits atomic.Int64
	s.forgetSessions(&hits)
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			r := httptest.NewRequest(http.MethodGet, "https://romm.example.com/api/x", nil)
			r.TLS.HandshakeComplete = true
			r.Header.Set("Cookie", ticket)
			w := httptest.NewRecorder()
			chain := &chainFunc{serve: s.chain.serve}
			if err := s.handler.ServeHTTP(w, r, chain); err != nil || w.Body.String() != "for app-i" {
				t.Errorf("%v %q", err, w.Body)
			}
		})
	}
	wg.Wait()
	if s.app.signIns != 1 {
		t.Errorf("signed in %d times", s.app.signIns)
	}
}

// What the application has against somebody ends on a page, and not in a loop.
func TestRefusedBrokeringEndsOnAPage(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	ticket := s.ticket(t, alice)
	delete(s.app.alive, "app-0")
	s.app.err = problem.NotAllowed
	var hits atomic.Int64
	s.forgetSessions(&hits)
	for range 3 {
		w := s.do(t, "/library", append(fields(navigation), "Cookie", ticket)...)
		if w.Code != http.StatusForbidden || !strings.Contains(w.Body.String(), "not_allowed") || strings.Contains(w.Body.String(), "who are you") {
			t.Errorf("%d %q", w.Code, w.Body)
		}
	}
	if s.app.signIns != 1 {
		t.Errorf("signed in %d times", s.app.signIns)
	}
}

// Whom the application refuses may still ask what anybody may: its page would
// ask its heartbeat again at once, without end.
func TestRefusedBrokeringLeavesOpenPathsOpen(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(cfg *Config) { cfg.IdentityHeaders = true })
	ticket := s.ticket(t, alice)
	delete(s.app.alive, "app-0")
	s.app.err = problem.NotAllowed
	var hits atomic.Int64
	s.forgetSessions(&hits)
	var last http.Header
	application := s.chain.serve
	s.chain.serve = func(w http.ResponseWriter, r *http.Request) error {
		last = r.Header
		return application(w, r)
	}
	for range 3 {
		if w := s.do(t, "/open", "Cookie", ticket); w.Body.String() != "who are you" { // the application's own answer
			t.Errorf("%d %q", w.Code, w.Body)
		}
		if last.Get("Cookie") != "" || last.Get("Remote-User") != "" {
			t.Errorf("asked for nobody with %v", last)
		}
	}
}

// The application's page, told that nobody is signed in, starts a sign-in by
// itself; somebody whom the application refuses must not go round for ever.
func TestRefusedSignInDoesNotLoop(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	ticket := s.ticket(t, alice)
	delete(s.app.alive, "app-0")
	s.app.err = problem.NotAllowed
	for range 3 {
		w := s.do(t, "/signin?next=/rom/7", append(fields(navigation), "Cookie", ticket)...)
		if w.Code != http.StatusForbidden || !strings.Contains(w.Body.String(), "not_allowed") {
			t.Errorf("%d %s", w.Code, w.Header().Get("Location"))
		}
	}
}

// perUser is an application that signs everybody in under their own name.
type perUser struct{ *fakeApplication }

func (a perUser) SignIn(_ context.Context, _ application.Caller, identity flow.Identity) (string, error) {
	return identity.Username, nil
}

func (a perUser) Confirm(context.Context, application.Caller, string) (bool, error) {
	return false, nil
}

// CVE-2026-71326: a key of a single-flight that two users share gives one the
// other's identity. Two whose sessions the application keeps forgetting are
// brokered at the same time, again and again, and never crossed.
func TestTwoUsersAreNeverCrossed(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(c *Config) { c.Application = perUser{c.Application.(*fakeApplication)} })
	var wg sync.WaitGroup
	for _, name := range []string{"alice", "bob"} {
		ticket := s.ticket(t, flow.Identity{Subject: name, Username: name, Email: name + "@example.com"})
		serve := func(w http.ResponseWriter, r *http.Request) error {
			if got := request.CookieValue(r, "app_session"); got != name && got != "app-0" {
				t.Errorf("%s got the session of %s", name, got)
			}
			w.Header().Set("X-Session", "forgotten")
			_, err := w.Write(nil)
			return err
		}
		for range 4 {
			wg.Go(func() {
				for range 2500 {
					r := httptest.NewRequest(http.MethodPost, "https://romm.example.com/api/x", nil)
					r.TLS.HandshakeComplete = true
					r.Header.Set("Cookie", ticket)
					if err := s.handler.ServeHTTP(httptest.NewRecorder(), r, &chainFunc{serve: serve}); err != nil {
						t.Error(err)
					}
				}
			})
		}
	}
	wg.Wait()
}

// The same, a million times over, on the key alone: who is answered by the
// other's flight is not confirmed themselves.
func TestSingleFlightsAreNeverCrossed(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	var wg sync.WaitGroup
	for _, name := range []string{"alice", "bob"} {
		_, text, _ := strings.Cut(s.ticket(t, flow.Identity{Subject: name, Username: name}), "=")
		found, err := s.handler.config.Gate.Sessions.Lookup(t.Context(), text)
		if err != nil {
			t.Fatal(err)
		}
		state := runtimeOf(found)
		in := &incoming{
			handler: s.handler, r: httptest.NewRequest(http.MethodGet, "https://romm.example.com/", nil), chain: s.chain,
			session: found, runtime: state,
		}
		wg.Go(func() {
			for range 500_000 {
				state.confirmedAt.Store(0)
				if err := s.handler.ensureConfirmed(in); err != nil || state.confirmedAt.Load() == 0 {
					t.Errorf("%s was answered for somebody else, %v", name, err)
					return
				}
			}
		})
	}
	wg.Wait()
}
