// The application is away, or was: what a signed-in user gets then.

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

// waysToBeAway are the ways in which a signed-in request meets an application that
// does not answer.
func waysToBeAway() map[string]func(*site) {
	refused := errors.New("dial tcp: connection refused")
	return map[string]func(*site){
		"not confirmed": func(s *site) { s.app.away = refused },
		"no response": func(s *site) {
			s.chain.serve = func(http.ResponseWriter, *http.Request) error { return refused }
		},
		"no sign-in": func(s *site) {
			delete(s.app.alive, "app-0")
			s.app.err = refused
		},
		"forgotten, then no response": func(s *site) {
			n := 0
			s.chain.serve = func(w http.ResponseWriter, _ *http.Request) error {
				if n++; n > 1 {
					return refused
				}
				w.Header().Set("X-Session", "forgotten")
				w.WriteHeader(http.StatusUnauthorized)
				return nil
			}
		},
	}
}

// The application is away. A page says that the session is safe and asks again by
// itself, scripts are told when to, and nothing looks like a sign-out.
func TestAwayIsNoSignOut(t *testing.T) {
	t.Parallel()
	for name, away := range waysToBeAway() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, nil)
			ticket := s.ticket(t, alice)
			away(s)
			w := s.do(t, "/rom/7?tab=2", append(fields(navigation), "Cookie", ticket)...)
			if w.Code != http.StatusBadGateway || w.Header().Get("Refresh") != "5" || !strings.Contains(w.Body.String(), `href="/rom/7?tab=2"`) ||
				!strings.Contains(w.Body.String(), "application_away") || !strings.Contains(w.Body.String(), "still signed in") {
				t.Errorf("page: got %d %v %s, want the page application_away, which asks again for the same address", w.Code, w.Header(), w.Body)
			}
			away(s)
			w = s.do(t, "/api/x", append(fields(fetch), "Cookie", ticket)...)
			if w.Code != http.StatusBadGateway || w.Header().Get("Retry-After") == "" || !strings.Contains(w.Body.String(), `"application_away"`) {
				t.Errorf("script: got %d %v %s, want 502 with Retry-After", w.Code, w.Header(), w.Body)
			}
			away(s)
			w = s.do(t, "POST /form", append(fields(navigation), "Cookie", ticket, "Origin", "https://romm.example.com")...)
			if w.Code/100 != 5 || w.Header().Get("Refresh") != "" {
				t.Errorf("form: got %d %v, want a failure that does not ask again without the form", w.Code, w.Header())
			}
		})
	}
}

// Where the site answers errors itself, it gets them.
func TestAwayIsPassedToTheSitesErrorRoutes(t *testing.T) {
	t.Parallel()
	for name, away := range waysToBeAway() {
		for _, pass := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, errors pass %v", name, pass), func(t *testing.T) {
				t.Parallel()
				s := newSite(t, func(c *Config) { c.PassErrors = pass })
				s.chain.handles = !pass
				ticket := s.ticket(t, alice)
				away(s)
				r := httptest.NewRequest(http.MethodGet, "https://romm.example.com/library", nil)
				r.TLS.HandshakeComplete = true
				r.Header.Set("Cookie", ticket)
				w := httptest.NewRecorder()
				if err := s.handler.ServeHTTP(w, r, s.chain); err == nil || w.Body.Len() > 0 {
					t.Errorf("got %v and wrote %d %q, want an error and nothing written", err, w.Code, w.Body)
				}
			})
		}
	}
}

// What is behind the gate says that the application is away, with an empty
// response: the browser would show nothing at all.
func TestEmptyGatewayErrorIsAPage(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		status int
		length string
		want   string
	}{
		"empty":             {http.StatusServiceUnavailable, "0", "application_away"},
		"a page of its own": {http.StatusBadGateway, "", "upstream"},
		"another status":    {http.StatusInternalServerError, "0", ""},
	} {
		s := newSite(t, nil)
		ticket := s.ticket(t, alice)
		s.chain.serve = func(w http.ResponseWriter, _ *http.Request) error {
			if c.length != "" {
				w.Header().Set("Content-Length", c.length)
				w.WriteHeader(c.status)
				return nil
			}
			w.WriteHeader(c.status)
			_, err := w.Write([]byte("upstream"))
			return err
		}
		w := s.do(t, "/library", append(fields(navigation), "Cookie", ticket)...)
		if !strings.Contains(w.Body.String(), c.want) || c.want == "" && w.Body.Len() > 0 {
			t.Errorf("%s: got %d %q, want %q", name, w.Code, w.Body, c.want)
		}
	}
}

// A ticket that may be good must not get cookies that the application issues to
// no user: with its CSRF cookie the next saves of a signed-in user would fail.
// Every way to an unstamped answer is here.
func TestNobodysCookiesNeverReachAUser(t *testing.T) {
	t.Parallel()
	away := errors.New("away")
	for name, c := range map[string]struct {
		target  string
		prepare func(*site)
		session string // what the answer says about the session
		status  int
		dropped bool
	}{
		"storage away after a start":                  {"/open", func(s *site) { s.forgetMemory(away) }, "", 200, true},
		"storage away, in an unusual answer":          {"/open", func(s *site) { s.forgetMemory(away) }, "", 404, true},
		"the application cannot confirm":              {"/open", func(s *site) { s.app.away = away }, "", 200, true},
		"a brokered sign-in fails":                    {"/open", func(s *site) { delete(s.app.alive, "app-0"); s.app.err = away }, "", 200, true},
		"the application refuses the user":            {"/open", func(s *site) { delete(s.app.alive, "app-0"); s.app.err = problem.NotAllowed }, "", 200, true},
		"it forgets a session that it just confirmed": {"/open", func(*site) {}, "forgotten", 200, true},
		"the same for a write":                        {"POST /api/saves", func(*site) {}, "forgotten", 200, true},
		"it knows the session":                        {"/open", func(*site) {}, "alive", 200, false},
		"no ticket":                                   {"/open", nil, "", 200, false},
		"the session has ended":                       {"/open", func(s *site) { _, _ = s.handler.config.Gate.Sessions.EndAll(t.Context(), "x") }, "", 200, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, nil)
			ticket := s.ticket(t, alice)
			s.chain.serve = func(w http.ResponseWriter, _ *http.Request) error {
				w.Header().Add("Set-Cookie", "app_csrf=nobody; Path=/; SameSite=lax")
				w.Header().Add("Set-Cookie", "app_theme=dark")
				w.Header().Set("X-Session", c.session)
				w.WriteHeader(c.status)
				return nil
			}
			fields := []string{"Cookie", ticket}
			if c.prepare == nil {
				fields = nil
			} else {
				c.prepare(s)
			}
			w := s.do(t, c.target, fields...)
			got := strings.Join(w.Header()["Set-Cookie"], "|")
			if strings.Contains(got, "app_csrf") == c.dropped || !strings.Contains(got, "app_theme") || w.Code != c.status {
				t.Errorf("got %d with the cookies %q, want app_csrf: %v", w.Code, got, !c.dropped)
			}
		})
	}
}

// forgetMemory makes s a gate that has just started and that storage does not answer.
func (s *site) forgetMemory(err error) {
	fresh := newSite(s.tb, nil)
	s.handler.config.Gate = fresh.handler.config.Gate
	fresh.storage.err = err
}

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
		var hits atomic.Int64
		s.forgetSessions(&hits)
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
	var hits atomic.Int64
	s.forgetSessions(&hits)
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

// A response of 502 to 504 that says something about the session comes from the
// application itself, which is well: no user can make all others be asked again.
func TestApplicationsOwn503IsNoFailure(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	ticket := s.ticket(t, alice)
	s.chain.serve = func(w http.ResponseWriter, _ *http.Request) error {
		w.Header().Set("X-Session", "alive")
		w.WriteHeader(http.StatusServiceUnavailable)
		return nil
	}
	if s.do(t, "/api/x", "Cookie", ticket); s.app.failed != 0 {
		t.Errorf("%d failures, want 0", s.app.failed)
	}
}
