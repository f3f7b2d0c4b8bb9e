// A sign-in that meets a sign-out, a storage failure or another site's link.

package handler

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/flow/session"
	"github.com/romm-oidc/caddy-romm-oidc/handler/request"
)

// The provider signs alice out everywhere while she signs in here. She is not
// signed in by the very session that was ended.
func TestSignedOutWhileSigningIn(t *testing.T) {
	inBubble(t, refreshingClient, nil, func(s *siteWithProvider) {
		s.app.during = func(int) {
			key := session.UserKey("https://auth.example.com", s.op.Subject("alice"))
			if _, err := s.handler.config.Gate.Sessions.EndUser(s.Context(), key, "backchannel_logout"); err != nil {
				s.Error(err)
			}
		}
		back := s.through(s.open("/"), "alice")
		if back.Code != http.StatusForbidden || !strings.Contains(back.Body.String(), "signed_out_meanwhile") || hasTicket(back.Header()) {
			s.Errorf("%d %v", back.Code, back.Header())
		}
		s.settle()
		if ended := s.endReasons(); len(ended) != 1 || ended[0] != "backchannel_logout" {
			s.Errorf("ended %v", ended)
		}
		if ended := s.endedInApplication(s, 1); len(ended) != 1 || ended[0] != "app-i" {
			s.Errorf("ended in the application: %v", ended)
		}
		s.app.during = nil
		s.advance(time.Second)
		if again := s.signInAs("alice"); s.session(again) == nil {
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
			inBubble(t, refreshingClient, nil, func(s *siteWithProvider) {
				ticket := s.signInAs("alice")
				s.newPortal()
				s.app.during = func(int) { s.storage.fail(errors.New("away")) }
				begun := s.open(request.Base+"/login", ticket)
				back := s.through(begun, user, ticket)
				if back.Code != http.StatusServiceUnavailable || hasTicket(back.Header()) {
					s.Errorf("%d %v", back.Code, back.Header())
				}
				s.storage.fail(nil)
				s.settle()
				if ended := s.endReasons(); len(ended) != 0 || s.session(ticket) == nil {
					s.Errorf("ended %v", ended)
				}
				s.wantUpstream(s.do(s, "/api/x", "Cookie", ticket))
			})
		})
	}
}

// hasTicket reports whether an answer sets or takes away a ticket.
func hasTicket(header http.Header) bool {
	return strings.Contains(strings.Join(header["Set-Cookie"], "\n"), "__Host-romm_oidc=")
}

// Another site links to our sign-in. Where the provider asks nothing, that
// would end the session of who follows it, and cut what they have open.
func TestForeignLinkToSignIn(t *testing.T) {
	inBubble(t, refreshingClient, nil, func(s *siteWithProvider) {
		ticket := s.signInAs("alice")
		for origin, signsIn := range map[string]bool{"cross-site": false, "same-site": false, "same-origin": true, "none": true} {
			for next, want := range map[string]string{"": "/", "/rom/7": "/rom/7", "//evil.com": "/", request.Base + "/logout": "/"} {
				w := s.do(s, request.Base+"/login?next="+next, append(fields(navigation), "Cookie", ticket, "Sec-Fetch-Site", origin)...)
				if location := w.Header().Get("Location"); w.Code != http.StatusFound || (location == want) == signsIn {
					s.Errorf("%s, next=%s: %d %s", origin, next, w.Code, location)
				}
			}
			w := s.do(s, request.Base+"/login", append(fields(navigation), "Sec-Fetch-Site", origin)...)
			if !strings.HasPrefix(w.Header().Get("Location"), "https://auth.example.com/") {
				s.Errorf("%s, nobody signed in: %d %s", origin, w.Code, w.Header().Get("Location"))
			}
		}
		s.wantUpstream(s.do(s, "/api/x", "Cookie", ticket))
	})
}
