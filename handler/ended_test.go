// What the end of a session does outside the gate: sockets, the application,
// the provider.

package handler

import (
	"context"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/flow/session"
	"github.com/romm-oidc/caddy-romm-oidc/handler/application"
	"github.com/romm-oidc/caddy-romm-oidc/handler/event"
	"github.com/romm-oidc/caddy-romm-oidc/handler/problem"
	"github.com/romm-oidc/caddy-romm-oidc/tests/authelia"
)

// However a session ends, its sockets close, the application's session ends, and the
// provider revokes the tokens.
func TestEveryEndClosesAndRevokes(t *testing.T) {
	for name, end := range map[string]func(*siteWithProvider, string){
		"the user signs out": func(s *siteWithProvider, ticket string) { s.do(s, "POST /signout", "Cookie", ticket) },
		"one session is ended": func(s *siteWithProvider, ticket string) {
			_ = s.handler.config.Gate.Sessions.End(s.Context(), s.session(ticket).ID(), "x")
		},
		"all sessions of a user are ended": func(s *siteWithProvider, ticket string) {
			identity := s.session(ticket).Record().Identity
			_, _ = s.handler.config.Gate.Sessions.EndUser(s.Context(), session.UserKey(identity.Issuer, identity.Subject), "x")
		},
		"all sessions are ended": func(s *siteWithProvider, _ string) { _, _ = s.handler.config.Gate.Sessions.EndAll(s.Context(), "x") },
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, refreshingClient, nil, func(s *siteWithProvider) {
				ticket := s.signInAs("alice")
				tokens, identity := s.session(ticket).Record().Tokens, s.session(ticket).Record().Identity
				socket := s.openSocket(ticket)
				end(s, ticket)
				<-socket
				s.settle()
				if ended := s.endedInApplication(s, 1); len(ended) != 1 || ended[0] != "app-i" {
					s.Errorf("signed out of the application: %v, want [app-i]", ended)
				}
				s.wantCalls(authelia.EndpointRevocation, 1)
				if _, err := s.handler.config.RelyingParty.Refresh(s.Context(), tokens, identity); err == nil {
					s.Error("the provider still accepts the tokens, want them revoked")
				}
				if w := s.do(s, "/api/x", "Cookie", ticket); w.Code != http.StatusUnauthorized {
					s.Errorf("the ticket: got %d, want 401", w.Code)
				}
				if len(s.endReasons()) != 1 {
					s.Errorf("logged ends: %v, want one", s.endReasons())
				}
			})
		})
	}
}

// RomM stores a session again with every response, even if the request began before
// the session ended. The gate signs out a second time when such requests are over.
func TestLateAnswerIsSignedOutAgain(t *testing.T) {
	inBubble(t, plainClient, nil, func(s *siteWithProvider) {
		ticket := s.signInAs("alice")
		socket := s.openSocket(ticket)
		s.do(s, "POST /signout", "Cookie", ticket)
		<-socket
		s.settle()
		s.app.mu.Lock()
		s.app.alive["app-i"] = true
		s.app.mu.Unlock()
		s.advance(lateAnswer)
		if ended := s.endedInApplication(s, 2); s.app.lives("app-i") || len(ended) != 2 {
			s.Errorf("signed out of the application: %v, want app-i twice", ended)
		}
	})
}

// A provider that hangs does not delay a sign-out, and the queue of work that waits
// is bounded.
func TestSignOutDoesNotWait(t *testing.T) {
	inBubble(t, plainClient, nil, func(s *siteWithProvider) {
		ticket := s.signInAs("alice")
		s.op.Hang()
		began := time.Now()
		s.do(s, "POST /signout", "Cookie", ticket)
		if waited := time.Since(began); waited != 0 {
			s.Errorf("the sign-out waited %s, want 0", waited)
		}
		for range 2 * workQueueSize {
			s.handler.config.Gate.signOutReplaced(new(sessionRuntime), "app-i", false)
		}
		if n := s.handler.config.Gate.ends.len(); n > workQueueSize {
			s.Errorf("%d calls wait, want %d at most", n, workQueueSize)
		}
		s.op.Up()
		s.settle()
	})
}

// The calls at the end of a session carry its user's address and browser, though
// they belong to no request: RomM tells devices apart by them.
func TestBackgroundCalls(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	s.do(t, "/api/x", "Cookie", s.ticket(t, alice), "User-Agent", "Firefox", "X-Forwarded-For", "198.51.100.7")
	var last *session.Session
	s.handler.config.Gate.Sessions.OnEnd(func(ended *session.Session, _ string, _ bool) { last = ended })
	_, _ = s.handler.config.Gate.Sessions.EndAll(t.Context(), "x")
	call, ok := s.handler.config.Gate.caller(runtimeOf(last))
	if !ok {
		t.Fatal("caller found no chain, want the last one")
	}
	var got *http.Request
	s.chain.serve = func(w http.ResponseWriter, r *http.Request) error {
		got = r
		w.WriteHeader(http.StatusOK)
		return nil
	}
	if _, err := call(t.Context(), application.Call{Method: http.MethodPost, Target: "/x", Cookie: "a=b"}); err != nil {
		t.Fatal(err)
	}
	if got.Host != "romm.example.com" || got.TLS == nil || got.RemoteAddr != "192.0.2.1:1234" || got.UserAgent() != "Firefox" ||
		got.Header.Get("X-Forwarded-For") != "198.51.100.7" || got.Header.Get("Cookie") != "a=b" || len(got.Header) != 3 {
		t.Errorf("got the call %+v, want the user's address, browser and the call's cookie alone", got)
	}
	if r := (*clientHint)(nil).request(s.handler.config.Origin); r.Host != "romm.example.com" || r.TLS == nil {
		t.Errorf("without a client hint: got %+v, want the gate's own host over TLS", r)
	}
}

// A panic in background work ends neither the process nor the worker.
func TestPanicInBackgroundWork(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	for range 2 * workers {
		s.handler.config.Gate.ends.add(func(context.Context) { panic("x") })
	}
	done := make(chan struct{})
	s.handler.config.Gate.ends.add(func(context.Context) { close(done) })
	<-done
}

// Only known reasons become labels of a metric.
func TestEndReasonLabels(t *testing.T) {
	t.Parallel()
	for reason, want := range map[string]string{
		"signed_out": "signed_out user", "idle": "idle time", "operator": "operator " + string(event.ByOperator), "account_gone": "account_gone provider",
		"not_allowed": "not_allowed policy", "no_role": "no_role policy", "recheck_failed": "recheck_failed application", "made up": "other ", "": "other ",
	} {
		if got, by := label(reason); got+" "+string(by) != want {
			t.Errorf("label(%q) = %q, %q, want %q", reason, got, by, want)
		}
	}
}

// The application learns which users lost access, and not which only signed out.
func TestApplicationLearnsWhoLostAccess(t *testing.T) {
	t.Parallel()
	for reason, told := range map[string]bool{
		reasonAccountGone: true, problem.NotAllowed.Code: true,
		reasonSignedOut: false, reasonUnproven: false, "operator": false, "backchannel_logout": false, session.ReasonIdle: false,
	} {
		t.Run(reason, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, nil)
			ticket := s.ticket(t, alice)
			s.do(t, "/a", "Cookie", ticket)
			if _, err := s.handler.config.Gate.Sessions.EndAll(t.Context(), reason); err != nil {
				t.Fatal(err)
			}
			s.endedInApplication(t, 1)
			s.app.mu.Lock()
			defer s.app.mu.Unlock()
			if got := slices.Equal(s.app.gone, []string{"alice"}); got != told || !told && len(s.app.gone) > 0 {
				t.Errorf("Shut was called for %v, want alice: %v", s.app.gone, told)
			}
		})
	}
}
