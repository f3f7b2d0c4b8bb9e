// Many sessions that come back after a pause at once.

package handler

import (
	"context"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/flow"
)

// slowly is the way to a provider that takes a second for each answer.
type slowly struct{ http.RoundTripper }

func (p slowly) RoundTrip(r *http.Request) (*http.Response, error) {
	time.Sleep(time.Second)
	return p.RoundTripper.RoundTrip(r)
}

// Many sessions come back after a pause, the last one that of a user who was disabled
// meanwhile. The checks run a few at a time, so that the last ones begin after more
// than 5 s. That says nothing about the provider: no session passes without its
// check, and the clients are told when to try again.
func TestManySessionsAfterAPause(t *testing.T) {
	inBubble(t, plainClient, longLife, func(s *siteWithProvider) {
		tickets := make([]string, 60) // which all have a place in memory
		for i := range tickets {
			s.newPortal()
			tickets[i] = s.signInAs("bob")
		}
		s.newPortal()
		gone := s.signInAs("alice")
		s.advance(6 * time.Minute)
		s.op.DisableUser("alice")
		s.party.Client.Transport = slowly{s.party.Client.Transport}
		s.handler.config.RelyingParty = flow.New(s.party)
		save := func(ticket string) *httptest.ResponseRecorder {
			return s.do(s, "POST /api/client-tokens", "Cookie", ticket, "Origin", "https://romm.example.com")
		}
		var all sync.WaitGroup
		var pending atomic.Int64
		for _, ticket := range tickets {
			all.Go(func() {
				switch w := save(ticket); {
				case w.Code == http.StatusServiceUnavailable && w.Header().Get("Retry-After") == "5" && strings.Contains(w.Body.String(), "check_pending"):
					pending.Add(1)
				case w.Code != http.StatusOK:
					s.Errorf("got %d %s, want 200, or 503 with Retry-After", w.Code, w.Body)
				}
			})
		}
		synctest.Wait()
		began := time.Now()
		if w := save(gone); w.Code != http.StatusServiceUnavailable || time.Since(began) > pauseWait {
			s.Errorf("the session of a disabled user got %d after %s, want 503 within %s", w.Code, time.Since(began), pauseWait)
		}
		all.Wait()
		if pending.Load() == 0 {
			s.Error("no session waited for longer than 5 s, want most to")
		}
		s.advance(time.Minute)
		if w := save(gone); w.Code != http.StatusUnauthorized {
			s.Errorf("after its check, the session of the disabled user got %d, want 401", w.Code)
		}
		for _, ticket := range tickets {
			if w := save(ticket); w.Code != http.StatusOK {
				s.Errorf("after its check, a session got %d %s, want 200", w.Code, w.Body)
			}
		}
	})
}

// More sessions come back than checks can wait: a session without a check does not
// pass, and is checked soon.
func TestNoRoomForTheCheckAfterAPause(t *testing.T) {
	inBubble(t, plainClient, longLife, func(s *siteWithProvider) {
		ticket := s.signInAs("bob")
		s.advance(6 * time.Minute)
		s.op.DisableUser("bob")
		g, before := s.handler.config.Gate, s.answers.n
		block := make(chan struct{})
		for g.checks.add(func(context.Context) { <-block }) {
			runtime.Gosched()
		}
		save := func() *httptest.ResponseRecorder {
			return s.do(s, "POST /api/client-tokens", "Cookie", ticket, "Origin", "https://romm.example.com")
		}
		for range 2 {
			if w := save(); w.Code != http.StatusServiceUnavailable || !strings.Contains(w.Body.String(), "check_pending") {
				s.Errorf("without a check: got %d %s, want 503 check_pending", w.Code, w.Body)
			}
		}
		close(block)
		s.advance(time.Minute)
		save()
		s.settle()
		if w := save(); w.Code != http.StatusUnauthorized || s.answers.n != before {
			s.Errorf("after the check: got %d and %d responses of the application, want 401 and 0", w.Code, s.answers.n-before)
		}
	})
}
