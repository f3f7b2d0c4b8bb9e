// The application is away, or was: what a signed-in user gets then.

package handler

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

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
