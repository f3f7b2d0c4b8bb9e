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

// forgetSessions makes the application answer 401 to all sessions except those it
// signed in last. It returns the number of requests so far.
func (s *site) forgetSessions() *atomic.Int64 {
	hits := new(atomic.Int64)
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
	return hits
}

// The application restarts and loses its sessions. The gate signs the user in
// again and repeats a read, so that the browser sees only the second response.
func TestForgottenSessionIsBrokeredAgain(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	ticket := s.ticket(t, alice)
	hits := s.forgetSessions()
	s.do(t, "/api/x", "Cookie", ticket) // confirms the session
	delete(s.app.alive, "app-0")
	hits.Store(0)
	w := s.do(t, "/api/x?a=b", "Cookie", ticket)
	if w.Code != http.StatusOK || w.Body.String() != "for app-i" || w.Header().Get("Etag") != "fresh" || w.Header().Get("X-Stale") != "" {
		t.Errorf("read after the restart: got %d %q %v, want the fresh response for app-i", w.Code, w.Body, w.Header())
	}
	if hits.Load() != 2 || s.app.signIns != 1 {
		t.Errorf("read after the restart: %d requests and %d sign-ins, want 2 and 1", hits.Load(), s.app.signIns)
	}
	if w := s.do(t, "/api/x", "Cookie", ticket); w.Body.String() != "for app-i" || hits.Load() != 3 {
		t.Errorf("next read: got %q after %d requests, want the response for app-i after 3", w.Body, hits.Load())
	}
}

// The gate cannot repeat a write, so it confirms the session before the write.
func TestWriteMeetsALiveSession(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	ticket := s.ticket(t, alice)
	delete(s.app.alive, "app-0")
	hits := s.forgetSessions()
	w := s.do(t, "POST /api/saves", "Cookie", ticket)
	if w.Code != http.StatusOK || w.Body.String() != "for app-i" || hits.Load() != 1 {
		t.Errorf("got %d %q after %d requests, want the response for app-i after 1", w.Code, w.Body, hits.Load())
	}
}

// Many requests of one user after a restart cause one sign-in.
func TestBrokeringIsSingleFlight(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	ticket := s.ticket(t, alice)
	delete(s.app.alive, "app-0")
	s.forgetSessions()
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			r := httptest.NewRequest(http.MethodGet, "https://romm.example.com/api/x", nil)
			r.TLS.HandshakeComplete = true
			r.Header.Set("Cookie", ticket)
			w := httptest.NewRecorder()
			chain := &chainFunc{serve: s.chain.serve}
			if err := s.handler.ServeHTTP(w, r, chain); err != nil || w.Body.String() != "for app-i" {
				t.Errorf("got %q, %v, want the response for app-i", w.Body, err)
			}
		})
	}
	wg.Wait()
	if s.app.signIns != 1 {
		t.Errorf("%d sign-ins for 50 requests, want 1", s.app.signIns)
	}
}

// The application refuses the user. The user sees a page that says so, and the
// gate does not sign in again with every request.
func TestRefusedBrokeringEndsOnAPage(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	ticket := s.ticket(t, alice)
	delete(s.app.alive, "app-0")
	s.app.err = problem.NotAllowed
	s.forgetSessions()
	for range 3 {
		w := s.do(t, "/library", append(fields(navigation), "Cookie", ticket)...)
		if w.Code != http.StatusForbidden || !strings.Contains(w.Body.String(), "not_allowed") || strings.Contains(w.Body.String(), "who are you") {
			t.Errorf("got %d %q, want a 403 page with not_allowed", w.Code, w.Body)
		}
	}
	if s.app.signIns != 1 {
		t.Errorf("%d sign-ins for 3 requests, want 1", s.app.signIns)
	}
}

// A user refused by the application still gets its open paths, without a
// session. A refusal there would make the application's page repeat its
// heartbeat without a pause.
func TestRefusedBrokeringLeavesOpenPathsOpen(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(cfg *Config) { cfg.IdentityHeaders = true })
	ticket := s.ticket(t, alice)
	delete(s.app.alive, "app-0")
	s.app.err = problem.NotAllowed
	s.forgetSessions()
	var last http.Header
	application := s.chain.serve
	s.chain.serve = func(w http.ResponseWriter, r *http.Request) error {
		last = r.Header
		return application(w, r)
	}
	for range 3 {
		if w := s.do(t, "/open", "Cookie", ticket); w.Body.String() != "who are you" { // the application's own answer
			t.Errorf("GET /open: got %d %q, want the application's own answer", w.Code, w.Body)
		}
		if last.Get("Cookie") != "" || last.Get("Remote-User") != "" {
			t.Errorf("GET /open was passed on with %v, want no cookie and no identity header", last)
		}
	}
}

// The application's page starts a sign-in when it learns that its user is not
// signed in. A user refused by the application must not end up in a loop.
func TestRefusedSignInDoesNotLoop(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	ticket := s.ticket(t, alice)
	delete(s.app.alive, "app-0")
	s.app.err = problem.NotAllowed
	for range 3 {
		w := s.do(t, "/signin?next=/rom/7", append(fields(navigation), "Cookie", ticket)...)
		if w.Code != http.StatusForbidden || !strings.Contains(w.Body.String(), "not_allowed") {
			t.Errorf("GET /signin: got %d %q with Location %q, want 403 not_allowed", w.Code, w.Body, w.Header().Get("Location"))
		}
	}
}

// perUser is an application in which each user's session has the user's name.
type perUser struct{ *fakeApplication }

func (a perUser) SignIn(_ context.Context, _ application.Caller, identity flow.Identity) (application.Session, error) {
	return application.Session{ID: identity.Username}, nil
}

func (a perUser) Confirm(context.Context, application.Caller, application.Session) (bool, string, error) {
	return false, "", nil
}

// CVE-2026-71326: two users share the key of a single-flight, and one gets the
// identity of the other. The application keeps forgetting both users' sessions;
// the gate signs both in again at the same time and never mixes them up.
func TestTwoUsersAreNeverCrossed(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(c *Config) { c.Application = perUser{c.Application.(*fakeApplication)} })
	var wg sync.WaitGroup
	for _, name := range []string{"alice", "bob"} {
		ticket := s.ticket(t, flow.Identity{Subject: name, Username: name, Email: name + "@example.com"})
		serve := func(w http.ResponseWriter, r *http.Request) error {
			if got := request.CookieValue(r, "app_session"); got != name && got != "app-0" {
				t.Errorf("a request of %s was passed on with the session of %q, want %q or app-0", name, got, name)
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

// The same on the key alone, a million times. A flight of one user never confirms
// the session of the other.
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
				state.confirmation.Store(nil)
				if err := s.handler.ensureConfirmed(in); err != nil || state.confirmation.Load() == nil {
					t.Errorf("the session of %s is not confirmed after its own flight (error %v), want confirmed", name, err)
					return
				}
			}
		})
	}
	wg.Wait()
}
