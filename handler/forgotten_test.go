// The application forgets sessions, or refuses to make them.

package handler

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/handler/problem"
)

// The application restarts between the gate's confirmation and a save. It refuses
// the save; its page would leave for the sign-in and lose the game. The gate says
// that the save can be sent again, and then it passes.
func TestSaveAfterARestartCanBeSentAgain(t *testing.T) {
	t.Parallel()
	for _, status := range []int{http.StatusUnauthorized, http.StatusForbidden} {
		s := newSite(t, nil)
		ticket := s.ticket(t, alice)
		s.do(t, "/api/x", "Cookie", ticket)
		var saved atomic.Int64
		s.chain.serve = func(w http.ResponseWriter, r *http.Request) error {
			if strings.HasSuffix(r.Header.Get("Cookie"), "=app-0") {
				w.Header().Set("X-Session", "forgotten")
				w.Header().Set("X-Stale", "1")
				w.WriteHeader(status)
				_, err := w.Write([]byte(`{"detail":"Not authenticated"}`))
				return err
			}
			saved.Add(1)
			w.Header().Set("X-Session", "alive")
			return nil
		}
		w := s.do(t, "POST /api/states", "Cookie", ticket)
		if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") != "1" || w.Header().Get("X-Stale") != "" ||
			!strings.Contains(w.Body.String(), `"signed_in_again"`) || strings.Contains(w.Body.String(), "Not authenticated") {
			t.Errorf("refused with %d: got %d %v %s, want 503 with Retry-After: 1", status, w.Code, w.Header(), w.Body)
		}
		if w := s.do(t, "POST /api/states", "Cookie", ticket); w.Code != http.StatusOK || saved.Load() != 1 || s.app.signIns != 1 {
			t.Errorf("sent again: got %d, %d saves and %d sign-ins, want 200, 1 and 1", w.Code, saved.Load(), s.app.signIns)
		}
	}
}

// A request that is repeated begins anew: what directives behind the gate made of
// it the first time is gone.
func TestRepeatedRequestIsAsItCame(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	ticket := s.ticket(t, alice)
	s.do(t, "/api/x", "Cookie", ticket)
	var came []string
	s.chain.serve = func(w http.ResponseWriter, r *http.Request) error {
		came = append(came, fmt.Sprint(r.Method, " ", r.RequestURI, " ", r.URL.RequestURI(), " ", r.URL.Path))
		forgotten := strings.HasSuffix(r.Header.Get("Cookie"), "=app-0")
		r.Method, r.RequestURI = http.MethodPost, "/b?y" // as Caddy's rewrite does
		r.URL.Path, r.URL.RawPath, r.URL.RawQuery = "/b", "", "y"
		w.Header().Set("X-Session", map[bool]string{true: "forgotten", false: "alive"}[forgotten])
		w.WriteHeader(http.StatusOK)
		return nil
	}
	if w := s.do(t, "/api/roms/a%5Bb%5D?x", "Cookie", ticket); w.Code != http.StatusOK {
		t.Errorf("got %d %s, want 200", w.Code, w.Body)
	}
	const want = "GET /api/roms/a%5Bb%5D?x /api/roms/a%5Bb%5D?x /api/roms/a[b]"
	if len(came) != 2 || came[0] != want || came[1] != want {
		t.Errorf("came %q, want %q twice", came, want)
	}
}

// The session ends while the application forgets it. What is open without a session
// is then answered without one, whole.
func TestOpenResponseAfterTheEnd(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	ticket := s.ticket(t, alice)
	s.do(t, "/api/x", "Cookie", ticket)
	s.chain.serve = func(w http.ResponseWriter, r *http.Request) error {
		if strings.HasSuffix(r.Header.Get("Cookie"), "=app-0") {
			_, _ = s.handler.config.Gate.Sessions.EndAll(t.Context(), "x")
			w.Header().Set("X-Session", "forgotten")
		}
		_, err := w.Write([]byte("open"))
		return err
	}
	if w := s.do(t, "/open", "Cookie", ticket); w.Code != http.StatusOK || w.Body.String() != "open" {
		t.Errorf("got %d %q, want the whole response", w.Code, w.Body)
	}
}

// The same with an access token of the provider.
func TestSaveWithATokenAfterARestart(t *testing.T) {
	t.Parallel()
	s, _, _ := newSiteWithBearers(t, Policy{})
	s.do(t, "/bearer", "Authorization", "Bearer x")
	delete(s.app.alive, "app-i")
	s.chain.serve = func(w http.ResponseWriter, r *http.Request) error {
		if strings.HasSuffix(r.Header.Get("Cookie"), "=app-i") {
			w.Header().Set("X-Session", "forgotten")
			w.WriteHeader(http.StatusUnauthorized)
		}
		return nil
	}
	if w := s.do(t, "POST /bearer", "Authorization", "Bearer x"); w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") != "1" {
		t.Errorf("got %d %v, want 503 with Retry-After: 1", w.Code, w.Header())
	}
	if w := s.do(t, "POST /bearer", "Authorization", "Bearer x"); w.Code != http.StatusOK {
		t.Errorf("sent again: got %d %s, want 200", w.Code, w.Body)
	}
}

// Header fields that were set before the gate, as on hardened sites, do not
// switch the repetition off, and survive it.
func TestHardenedSiteRepeats(t *testing.T) {
	t.Parallel()
	for n := range 12 {
		s := newSite(t, nil)
		ticket := s.ticket(t, alice)
		s.do(t, "/api/x", "Cookie", ticket)
		delete(s.app.alive, "app-0")
		s.forgetSessions()
		r := httptest.NewRequest(http.MethodGet, "https://romm.example.com/api/x", nil)
		r.TLS.HandshakeComplete = true
		r.Header.Set("Cookie", ticket)
		w := httptest.NewRecorder()
		for i := range n {
			w.Header().Set(fmt.Sprint("X-Hardened-", i), "1")
		}
		if err := s.handler.ServeHTTP(w, r, s.chain); err != nil || w.Body.String() != "for app-i" || w.Header().Get("X-Stale") != "" {
			t.Errorf("%d fields: got %v, %d %q, want the response for app-i", n, err, w.Code, w.Body)
		}
		for i := range n {
			if w.Header().Get(fmt.Sprint("X-Hardened-", i)) != "1" {
				t.Errorf("%d fields: field %d is lost", n, i)
			}
		}
	}
}

// The application forgets its sessions twice in ten seconds.
func TestForgottenTwice(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	ticket := s.ticket(t, alice)
	s.forgetSessions()
	s.do(t, "/api/x", "Cookie", ticket)
	for _, want := range []string{"app-i", "app-ii", "app-iii"} {
		clear(s.app.alive)
		if w := s.do(t, "/api/x", "Cookie", ticket); w.Body.String() != "for "+want {
			t.Errorf("got %d %q, want the response for %s", w.Code, w.Body, want)
		}
	}
}

// An application that keeps none of its sessions is not signed in to with every
// request, and its user is not told to sign in.
func TestApplicationThatKeepsNoSession(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	ticket := s.ticket(t, alice)
	s.chain.serve = func(w http.ResponseWriter, _ *http.Request) error {
		w.Header().Set("X-Session", "forgotten")
		w.WriteHeader(http.StatusUnauthorized)
		return nil
	}
	for range 50 {
		if w := s.do(t, "/api/x", "Cookie", ticket); w.Code/100 != 5 || w.Header().Get("Retry-After") == "" {
			t.Fatalf("got %d %v, want a failure with Retry-After", w.Code, w.Header())
		}
	}
	if s.app.signIns > brokeredMost {
		t.Errorf("%d sign-ins for 50 requests, want %d at most", s.app.signIns, brokeredMost)
	}
}

// A sign-in to the application fails, and a moment later the application is well
// again. A refusal of the user holds longer.
func TestFailedBrokeringIsTriedAgain(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		err  error
		held time.Duration
	}{
		"away":    {errors.New("connection refused"), brokenFor},
		"failed":  {&problem.Problem{Code: "x", Status: http.StatusBadGateway}, brokenFor},
		"refused": {problem.NotAllowed, refusedFor},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newSite(t, nil)
				ticket := s.ticket(t, alice)
				clear(s.app.alive)
				s.app.err = c.err
				for range 3 {
					s.do(t, "/api/x", "Cookie", ticket)
				}
				s.app.err = nil
				time.Sleep(c.held - time.Millisecond)
				if w := s.do(t, "/api/x", "Cookie", ticket); w.Code == http.StatusOK || s.app.signIns != 1 {
					t.Errorf("before %s: got %d after %d sign-ins, want the failure of the only one", c.held, w.Code, s.app.signIns)
				}
				time.Sleep(time.Millisecond)
				if w := s.do(t, "/api/x", "Cookie", ticket); w.Code != http.StatusOK {
					t.Errorf("after %s: got %d %s, want 200", c.held, w.Code, w.Body)
				}
			})
		})
	}
}
