// Requests that share a question to the application: none of them takes an answer
// from before a change that the request came after.

package handler

import (
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/romm-oidc/caddy-romm-oidc/handler/application"
)

// asker sends requests in the background, each with a chain of its own.
func asker(t *testing.T, s *site, target, authorization string) func(*sync.WaitGroup) {
	t.Helper()
	return func(requests *sync.WaitGroup) {
		requests.Go(func() {
			r := httptest.NewRequest(http.MethodGet, "https://romm.example.com"+target, nil)
			r.TLS.HandshakeComplete = true
			r.Header.Set("Authorization", authorization)
			serve := func(http.ResponseWriter, *http.Request) error { return nil }
			if err := s.handler.ServeHTTP(httptest.NewRecorder(), r, &chainFunc{serve: serve}); err != nil {
				t.Error(err)
			}
		})
	}
}

// Bob's access token opens a session that holds the name alice. A question about it is
// under way when alice gets that name: a request that comes after that does not pass
// with the answer.
func TestBearerDoesNotJoinAnOlderConfirmation(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, _, _ := newSiteWithBearers(t, Policy{})
		s.do(t, "/bearer", "Authorization", "Bearer x")
		s.handler.config.Gate.doubt()
		before, answers := s.app.confirms, make(chan struct{})
		s.app.asking = func() { <-answers }
		var requests sync.WaitGroup
		request := asker(t, s, "/bearer", "Bearer x")
		request(&requests)
		synctest.Wait()
		s.handler.config.Gate.doubtAccounts()
		request(&requests) // joins the question from before the change
		synctest.Wait()
		close(answers)
		requests.Wait()
		if asked := s.app.confirms - before; asked != 2 {
			t.Errorf("%d questions for a request, a change and another request, want 2", asked)
		}
	})
}

// The same with a credential of the application's own, and with an account that is
// shut meanwhile.
func TestCredentialDoesNotJoinAnOlderAnswer(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*Gate){"accounts changed": (*Gate).doubtAccounts, "an account was shut": (*Gate).doubtCredentials} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s, pass := newSiteWithClock(t)
				s.app.credentials = map[string]application.Recognition{"good": application.Recognized}
				s.do(t, "/open") // which lets the gate know the handler
				s.app.hold = make(chan struct{})
				var requests sync.WaitGroup
				request := asker(t, s, "/token", "good")
				request(&requests)
				synctest.Wait()
				pass(1)
				change(s.handler.config.Gate)
				pass(1)
				request(&requests)
				synctest.Wait()
				close(s.app.hold)
				requests.Wait()
				if s.app.asked != 2 {
					t.Errorf("%d questions for a request, a change and another request, want 2", s.app.asked)
				}
			})
		})
	}
}
