package handler

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/flow/session"
)

// The provider signs alice out everywhere while she signs in here. She is not
// signed in by the very session that was ended.
func TestSignedOutWhileSigningIn(t *testing.T) {
	inBubble(t, refreshingClient, nil, func(s *site) {
		s.app.during = func(int) {
			key := session.UserKey("https://auth.example.com", s.op.Subject("alice"))
			if _, err := s.gate.State.Sessions.EndUser(s.Context(), key, "backchannel_logout"); err != nil {
				s.Error(err)
			}
		}
		back := s.through(s.open("/"), "alice")
		if back.Code != http.StatusForbidden || !strings.Contains(back.Body.String(), "signed_out_meanwhile") || hasTicket(back.Header()) {
			s.Errorf("%d %v", back.Code, back.Header())
		}
		s.settle()
		if ended := s.ended(); len(ended) != 1 || ended[0] != "backchannel_logout" {
			s.Errorf("ended %v", ended)
		}
		if ended := s.endedInApplication(s, 1); len(ended) != 1 || ended[0] != "app-i" {
			s.Errorf("ended in the application: %v", ended)
		}
		s.app.during = nil
		s.after(time.Second)
		if again := s.as("alice"); s.session(again) == nil {
			s.Error("alice cannot sign in again")
		}
	})
}

// A sign-in that storage refuses, of the same user or of another, takes nothing
// from the session that was there before.
func TestSignInWithoutStorageEndsNothing(t *testing.T) {
	t.Parallel()
	for _, user := range []string{"alice", "bob"} {
		t.Run(user, func(t *testing.T) {
			inBubble(t, refreshingClient, nil, func(s *site) {
				ticket := s.as("alice")
				s.newPortal()
				s.app.during = func(int) { s.storage.fail(errors.New("away")) }
				begun := s.open(Base+"/login", ticket)
				back := s.through(begun, user, ticket)
				if back.Code != http.StatusServiceUnavailable || hasTicket(back.Header()) {
					s.Errorf("%d %v", back.Code, back.Header())
				}
				s.storage.fail(nil)
				s.settle()
				if ended := s.ended(); len(ended) != 0 || s.session(ticket) == nil {
					s.Errorf("ended %v", ended)
				}
				s.upstream(s.do(s, "/api/x", "Cookie", ticket))
			})
		})
	}
}

// hasTicket reports whether an answer sets or takes away a ticket.
func hasTicket(header http.Header) bool {
	return strings.Contains(strings.Join(header["Set-Cookie"], "\n"), "__Host-romm_oidc=")
}
