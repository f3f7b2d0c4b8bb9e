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
	"github.com/romm-oidc/caddy-romm-oidc/handler/problem"
	"github.com/romm-oidc/caddy-romm-oidc/tests/authelia"
)

// Whoever ends a session, its sockets close, the application is told, and the
// provider takes its tokens no longer.
func TestEveryEndClosesAndRevokes(t *testing.T) {
	for name, end := range map[string]func(*siteWithProvider, string){
		"by the button": func(s *siteWithProvider, ticket string) { s.do(s, "POST /signout", "Cookie", ticket) },
		"one": func(s *siteWithProvider, ticket string) {
			_ = s.handler.config.Gate.Sessions.End(s.Context(), s.session(ticket).ID(), "x")
		},
		"all of a user": func(s *siteWithProvider, ticket string) {
			identity := s.session(ticket).Record().Identity
			_, _ = s.handler.config.Gate.Sessions.EndUser(s.Context(), session.UserKey(identity.Issuer, identity.Subject), "x")
		},
		"all": func(s *siteWithProvider, _ string) { _, _ = s.handler.config.Gate.Sessions.EndAll(s.Context(), "x") },
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
					s.Errorf("ended in the application: %v", ended)
				}
				s.wantCalls(authelia.EndpointRevocation, 1)
				if _, err := s.handler.config.RelyingParty.Refresh(s.Context(), tokens, identity); err == nil {
					s.Error("the provider takes the tokens still")
				}
				if w := s.do(s, "/api/x", "Cookie", ticket); w.Code != http.StatusUnauthorized {
					s.Errorf("the ticket gives %d", w.Code)
				}
				if len(s.endReasons()) != 1 {
					s.Errorf("logged %v", s.endReasons())
				}
			})
		})
	}
}

// RomM writes a session anew with every answer, also one that began before the
// session ended: it is signed out a second time when those are over.
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
			s.Errorf("ended in the application: %v", ended)
		}
	})
}

// A provider and an application that hang hold nobody up who signs out, and
// what waits for them is bounded.
func TestSignOutDoesNotWait(t *testing.T) {
	inBubble(t, plainClient, nil, func(s *siteWithProvider) {
		ticket := s.signInAs("alice")
		s.op.Hang()
		began := time.Now()
		s.do(s, "POST /signout", "Cookie", ticket)
		if waited := time.Since(began); waited != 0 {
			s.Errorf("waited %s", waited)
		}
		for range 2 * workQueueSize {
			s.handler.config.Gate.signOutReplaced(new(sessionRuntime), "app-i", false)
		}
		if n := len(s.handler.config.Gate.ends); n > workQueueSize {
			s.Errorf("%d wait", n)
		}
		s.op.Up()
		s.settle()
	})
}

// The calls of the end of a session go out in its user's name, though no
// request asks for them: RomM tells devices apart by that.
func TestBackgroundCalls(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	s.do(t, "/api/x", "Cookie", s.ticket(t, alice), "User-Agent", "Firefox", "X-Forwarded-For", "198.51.100.7")
	var last *session.Session
	s.handler.config.Gate.Sessions.OnEnd(func(ended *session.Session, _ string, _ bool) { last = ended })
	_, _ = s.handler.config.Gate.Sessions.EndAll(t.Context(), "x")
	call, ok := s.handler.config.Gate.caller(runtimeOf(last))
	if !ok {
		t.Fatal("no chain was kept")
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
		t.Errorf("%+v", got)
	}
	if r := (*clientHint)(nil).request(s.handler.config.Origin); r.Host != "romm.example.com" || r.TLS == nil {
		t.Errorf("nobody seen: %+v", r)
	}
}

// A panic in work beside the requests is a line in the log.
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

// What others call the end of a session is no label of a metric.
func TestEndReasonLabels(t *testing.T) {
	t.Parallel()
	for reason, want := range map[string]string{"signed_out": "signed_out", "idle": "idle", "made up": "other", "": "other"} {
		if got := label(reason); got != want {
			t.Errorf("%q: %q", reason, got)
		}
	}
}

// The application learns who is let in no more, and of nobody who only left.
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
				t.Errorf("told of %v", s.app.gone)
			}
		})
	}
}
