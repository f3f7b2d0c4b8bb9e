// The account of a session is confirmed before its requests.

package handler

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/flow"
	"github.com/romm-oidc/caddy-romm-oidc/handler/problem"
)

// A confirmed request asks the application nothing, for a minute.
func TestConfirmationHoldsForAMinute(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, nil)
		ticket := s.ticket(t, alice)
		for want := 1; want <= 3; want++ {
			for range 50 {
				s.do(t, "/api/x", "Cookie", ticket)
			}
			if s.app.confirms != want {
				t.Fatalf("%d confirmations in %d minutes, want one each", s.app.confirms, want)
			}
			time.Sleep(confirmedFor)
		}
	})
}

// The account was renamed, and another one now has its name: the application's
// session would speak for that one. Not even a read reaches the application with
// it, and it is signed out there.
func TestRenamedAccountIsNoOtherAccount(t *testing.T) {
	t.Parallel()
	for _, target := range []string{"/library", "/api/x", "/open", "POST /api/saves", "/ws/x"} {
		t.Run(target, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, nil)
			ticket := s.ticket(t, alice)
			s.do(t, "/api/x", "Cookie", ticket)
			delete(s.app.alive, "app-0") // to Confirm it is the session of another account
			s.handler.config.Gate.AccountsChanged(t.Context())
			s.do(t, target, "Cookie", ticket)
			if got := s.seen[len(s.seen)-1].Header.Get("Cookie"); got != "app_session=app-i" || len(s.seen) != 2 {
				t.Errorf("passed on with %q as request %d, want app-i as the second", got, len(s.seen))
			}
			if ended := s.endedInApplication(t, 1); !slices.Equal(ended, []string{"app-0"}) {
				t.Errorf("signed out of the application: %v, want [app-0]", ended)
			}
		})
	}
}

// beforeHeader runs do before the header of a response goes out.
type beforeHeader struct {
	http.ResponseWriter
	do func()
}

func (w *beforeHeader) WriteHeader(status int) {
	w.do()
	w.ResponseWriter.WriteHeader(status)
}

// The client must not learn of a change before the gate's confirmations are void.
func TestChangeVoidsConfirmationsBeforeItsAnswer(t *testing.T) {
	t.Parallel()
	for status, void := range map[int]bool{http.StatusOK: true, http.StatusCreated: true, http.StatusBadRequest: false} {
		s := newSite(t, nil)
		ticket := s.ticket(t, alice)
		s.do(t, "/api/x", "Cookie", ticket)
		s.chain.serve = func(w http.ResponseWriter, _ *http.Request) error {
			w.WriteHeader(status)
			return nil
		}
		r := httptest.NewRequest(http.MethodPut, "https://romm.example.com/api/users/1", nil)
		r.TLS.HandshakeComplete = true
		r.Header.Set("Cookie", ticket)
		checked := false
		w := &beforeHeader{httptest.NewRecorder(), func() {
			checked = true
			_, text, _ := strings.Cut(ticket, "=")
			found, _ := s.handler.config.Gate.Sessions.Lookup(t.Context(), text)
			if s.handler.confirmed(runtimeOf(found)) == void {
				t.Errorf("status %d: the confirmations are void: %v, want %v", status, !void, void)
			}
		}}
		if err := s.handler.ServeHTTP(w, r, s.chain); err != nil || !checked {
			t.Errorf("status %d: got %v, header written: %v", status, err, checked)
		}
	}
}

// Requests that wait for a confirmation share one. One that comes after a change
// does not share a question from before it.
func TestConfirmationIsNeverOlderThanTheChange(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, nil)
		var seen sync.Map
		s.chain.serve = func(_ http.ResponseWriter, r *http.Request) error {
			seen.Store(r.Header.Get("Cookie"), true)
			return nil
		}
		ticket := s.ticket(t, alice)
		answers := make(chan struct{})
		s.app.asking = func() { <-answers }
		var requests sync.WaitGroup
		request := func() {
			r := httptest.NewRequest(http.MethodGet, "https://romm.example.com/api/x", nil)
			r.TLS.HandshakeComplete = true
			r.Header.Set("Cookie", ticket)
			if err := s.handler.ServeHTTP(httptest.NewRecorder(), r, &chainFunc{serve: s.chain.serve}); err != nil {
				t.Error(err)
			}
		}
		for range 20 {
			requests.Go(request)
		}
		synctest.Wait()
		s.handler.config.Gate.doubt()
		requests.Go(request) // joins the question from before the change
		synctest.Wait()
		close(answers)
		requests.Wait()
		if s.app.confirms != 2 && s.app.confirms != 3 {
			t.Errorf("%d questions for 20 requests, a change and another request, want 2 or 3", s.app.confirms)
		}
	})
}

// A sign-in that ends in an account that was not seen before may have taken a
// name that other sessions have.
func TestNewAccountVoidsConfirmations(t *testing.T) {
	inBubble(t, plainClient, nil, func(s *siteWithProvider) {
		ticket := s.signInAs("alice")
		s.do(s, "/api/x", "Cookie", ticket)
		s.newPortal()
		before := s.app.confirms
		s.signInAs("bob")
		s.do(s, "/api/x", "Cookie", ticket)
		if s.app.confirms != before+1 {
			s.Errorf("%d questions after bob's first sign-in, want one", s.app.confirms-before)
		}
		s.newPortal()
		s.signInAs("bob")
		s.do(s, "/api/x", "Cookie", ticket)
		if s.app.confirms != before+1 {
			s.Errorf("%d questions after bob's second sign-in, want no other", s.app.confirms-before)
		}
	})
}

// A configuration has other roles, or none for the user: that acts on sessions
// that are there, at their next request.
func TestRolesOfANewConfiguration(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	role := "admin"
	s.app.role = func(*flow.Identity) (string, error) {
		if role == "none" {
			return "", &problem.Problem{Code: "no_role", Status: http.StatusForbidden}
		}
		return role, nil
	}
	ticket := s.ticket(t, alice) // signed in without roles
	for i, want := range []string{"app-i", "app-i", "app-ii", "app-ii"} {
		if i == 2 {
			role = "user"
			s.handler = New(s.handler.config) // a reload
		}
		if w := s.do(t, "/api/x", "Cookie", ticket); w.Code != http.StatusOK {
			t.Fatalf("request %d: got %d, want 200", i, w.Code)
		}
		if got := s.seen[i].Header.Get("Cookie"); got != "app_session="+want {
			t.Errorf("request %d was passed on with %q, want the session %s", i, got, want)
		}
	}
	role = "none"
	s.handler = New(s.handler.config)
	if w := s.do(t, "/library", append(fields(navigation), "Cookie", ticket)...); w.Code != http.StatusForbidden || !strings.Contains(w.Body.String(), "no_role") {
		t.Errorf("without a role: got %d %s, want 403 no_role", w.Code, w.Body)
	}
	if w := s.do(t, "/api/x", "Cookie", ticket); w.Code != http.StatusUnauthorized || len(s.seen) != 4 {
		t.Errorf("the next request: got %d and %d requests at the application, want 401 and 4", w.Code, len(s.seen))
	}
	s.endedInApplication(t, 3)
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(time.Millisecond) {
		s.app.mu.Lock()
		gone := slices.Clone(s.app.gone)
		s.app.mu.Unlock()
		if slices.Equal(gone, []string{"alice"}) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("shut: %v, want [alice]", gone)
		}
	}
}

// The application's role for a user cannot be set: the request does not continue in
// the former one.
func TestRoleThatCannotBeSet(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	s.app.role = func(*flow.Identity) (string, error) { return "user", nil }
	s.app.err = errors.New("away")
	if w := s.do(t, "/api/x", "Cookie", s.ticket(t, alice)); w.Code != http.StatusBadGateway || len(s.seen) != 0 {
		t.Errorf("got %d and %d requests at the application, want 502 and 0", w.Code, len(s.seen))
	}
}

// The application is away, and the first to notice is a request that waits for a
// confirmation. What was confirmed for others is void, too: their next save must
// not meet an application that lost its sessions.
func TestFailedConfirmationVoidsAllOthers(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	tickets := []string{s.ticket(t, alice), s.ticket(t, bob)}
	s.do(t, "/api/x", "Cookie", tickets[0])
	s.app.away = errors.New("connection refused")
	s.do(t, "/api/x", "Cookie", tickets[1])
	s.app.away = nil
	before := s.app.confirms
	if s.do(t, "POST /api/saves", "Cookie", tickets[0]); s.app.confirms != before+1 {
		t.Errorf("%d questions before alice's save, want 1", s.app.confirms-before)
	}
}
