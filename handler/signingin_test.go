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

// The provider signs alice out of all sessions while she signs in here. Her new
// session must not outlive the one that was ended.
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
			s.Errorf("callback: got %d %v, want 403 signed_out_meanwhile without a ticket", back.Code, back.Header())
		}
		s.settle()
		if ended := s.endReasons(); len(ended) != 1 || ended[0] != "backchannel_logout" {
			s.Errorf("sessions ended with %v, want once backchannel_logout", ended)
		}
		if ended := s.endedInApplication(s, 1); len(ended) != 1 || ended[0] != "app-i" {
			s.Errorf("signed out of the application: %v, want [app-i]", ended)
		}
		s.app.during = nil
		s.advance(time.Second)
		if again := s.signInAs("alice"); s.session(again) == nil {
			s.Error("alice's next sign-in got no session, want one")
		}
	})
}

// The storage refuses a sign-in, of the same user or of another. The existing session
// stays as it is.
func TestSignInWithoutStorageEndsNothing(t *testing.T) {
	t.Parallel()
	for _, user := range []string{"alice", "bob"} {
		t.Run(user, func(t *testing.T) {
			inBubble(t, refreshingClient, nil, func(s *siteWithProvider) {
				ticket := s.signInAs("alice")
				s.newPortal()
				s.app.during = func(int) { s.storage.fail(errors.New("storage down")) }
				begun := s.open(request.Base+"/login", ticket)
				back := s.through(begun, user, ticket)
				if back.Code != http.StatusServiceUnavailable || hasTicket(back.Header()) {
					s.Errorf("callback: got %d %v, want 503 without a ticket", back.Code, back.Header())
				}
				s.storage.fail(nil)
				s.settle()
				if ended := s.endReasons(); len(ended) != 0 || s.session(ticket) == nil {
					s.Errorf("the old session ended with %v, want it alive", ended)
				}
				s.wantUpstream(s.do(s, "/api/x", "Cookie", ticket))
			})
		})
	}
}

// hasTicket reports whether a response sets or clears a ticket.
func hasTicket(header http.Header) bool {
	return strings.Contains(strings.Join(header["Set-Cookie"], "\n"), "__Host-romm_oidc=")
}

// Another site links to our sign-in. At a provider that asks nothing, following the
// link would replace the user's session and close its sockets.
func TestForeignLinkToSignIn(t *testing.T) {
	inBubble(t, refreshingClient, nil, func(s *siteWithProvider) {
		ticket := s.signInAs("alice")
		for origin, signsIn := range map[string]bool{"cross-site": false, "same-site": false, "same-origin": true, "none": true} {
			for next, want := range map[string]string{"": "/", "/rom/7": "/rom/7", "//evil.com": "/", request.Base + "/logout": "/"} {
				w := s.do(s, request.Base+"/login?next="+next, append(fields(navigation), "Cookie", ticket, "Sec-Fetch-Site", origin)...)
				if location := w.Header().Get("Location"); w.Code != http.StatusFound || (location == want) == signsIn {
					s.Errorf("%s, next=%s: got %d with Location %q, want 302, to the provider: %v", origin, next, w.Code, location, signsIn)
				}
			}
			w := s.do(s, request.Base+"/login", append(fields(navigation), "Sec-Fetch-Site", origin)...)
			if !strings.HasPrefix(w.Header().Get("Location"), "https://auth.example.com/") {
				s.Errorf("%s, without a session: got %d with Location %q, want a redirect to the provider", origin, w.Code, w.Header().Get("Location"))
			}
		}
		s.wantUpstream(s.do(s, "/api/x", "Cookie", ticket))
	})
}
