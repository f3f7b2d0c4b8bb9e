// Made-up authorization codes must not use up the provider's token requests.

package handler

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/flow"
	"github.com/romm-oidc/caddy-romm-oidc/handler/request"
	"github.com/romm-oidc/caddy-romm-oidc/tests/authelia"
)

// rateLimited makes the provider limit token requests, as Authelia does by default.
func rateLimited(o *authelia.Options) {
	plainClient(o)
	o.NoRateLimit = false
}

// sendMadeUpCode starts a sign-in and ends it with a code that the provider did not
// issue.
func (s *siteWithProvider) sendMadeUpCode() *httptest.ResponseRecorder {
	s.Helper()
	w := s.open("/")
	u, err := url.Parse(w.Header().Get("Location"))
	if err != nil {
		s.Fatal(err)
	}
	response := url.Values{"state": {u.Query().Get("state")}, "code": {"authelia_ac_made.up"}, "iss": {"https://auth.example.com"}}
	return s.callback(w, "https://romm.example.com"+request.Base+"?"+response.Encode())
}

// An attacker gets a genuine state and returns with a made-up code. Each code costs a
// failed token request. After 30 in a minute, Authelia refuses all token requests of
// the gate, including other users' sign-ins and refreshes.
func TestMadeUpCodesLockNoUserOut(t *testing.T) {
	inBubble(t, rateLimited, nil, func(s *siteWithProvider) {
		for hour := range 3 {
			for i := range 400 {
				s.chain.ip = fmt.Sprintf("2001:db8:7:%x::1", hour*400+i) // all from one network
				if i%2 == 0 {
					s.chain.ip = "203.0.113.7"
				}
				if w := s.sendMadeUpCode(); w.Code != http.StatusBadGateway && w.Code != http.StatusTooManyRequests {
					s.Fatalf("made-up code: got %d %s, want 502 or 429", w.Code, w.Body)
				}
				s.advance(9 * time.Second)
			}
			s.chain.ip = "192.0.2.1"
			s.wantUpstream(s.open("/", s.signInAs("alice")))
		}
	})
}

// A user at the attacker's address sees why the sign-in is refused, and can sign in
// a minute later.
func TestMadeUpCodesFromTheSameAddress(t *testing.T) {
	inBubble(t, rateLimited, nil, func(s *siteWithProvider) {
		for range 10 {
			s.sendMadeUpCode()
		}
		w := s.through(s.open("/"), "alice")
		if w.Code != http.StatusTooManyRequests || !strings.Contains(w.Body.String(), "too_many_sign_ins · reference") {
			s.Fatalf("alice's callback: got %d %s, want the page too_many_sign_ins", w.Code, w.Body)
		}
		if calls := s.op.Calls(authelia.EndpointToken); calls >= 10 {
			s.Errorf("%d token requests, want fewer than 10", calls)
		}
		s.advance(time.Minute)
		s.wantUpstream(s.open("/", s.signInAs("alice")))
	})
}

// A signed-in user who only has to prove the session continues without a proof.
func TestMadeUpCodesEndNoSession(t *testing.T) {
	inBubble(t, rateLimited, longLife, func(s *siteWithProvider) {
		ticket := s.signInAs("alice")
		s.advance(2 * time.Hour)
		s.save(ticket)
		s.settle()
		for range 10 {
			s.sendMadeUpCode()
		}
		back := s.through(s.open("/library", ticket), "alice", ticket)
		if back.Code != http.StatusSeeOther || back.Header().Get("Location") != "/library" {
			s.Errorf("callback: got %d %s, want 303 to /library", back.Code, back.Body)
		}
		s.wantUpstream(s.open("/library", ticket))
	})
}

// A wrong client secret is not a guess. Its page stays the same however many users
// see it, and after it is corrected all users can sign in.
func TestWrongSecretKeepsItsPage(t *testing.T) {
	inBubble(t, rateLimited, nil, func(s *siteWithProvider) {
		right := s.handler.config.RelyingParty
		wrong := s.party
		wrong.ClientSecret = "wrong"
		s.handler.config.RelyingParty = flow.New(wrong)
		for range 40 {
			if w := s.through(s.open("/"), "alice"); w.Code != http.StatusBadGateway || !strings.Contains(w.Body.String(), "client_refused · reference") {
				s.Fatalf("callback: got %d %s, want the page client_refused", w.Code, w.Body)
			}
		}
		s.handler.config.RelyingParty = right
		s.advance(time.Minute)
		s.wantUpstream(s.open("/", s.signInAs("alice")))
	})
}

// The provider limits the gate's token requests. The gate sends none until the time
// that the provider named, says so once, and once when it resumes.
func TestRateLimitOfTheProvider(t *testing.T) {
	inBubble(t, rateLimited, nil, func(s *siteWithProvider) {
		s.op.Misbehave(func(m *authelia.Misbehaviour) {
			m.Fail(authelia.EndpointToken, authelia.Fault{Status: http.StatusTooManyRequests, Header: http.Header{"Retry-After": {"300"}}, Times: 1})
		})
		for range 12 {
			if w := s.through(s.open("/"), "alice"); w.Code != http.StatusServiceUnavailable {
				s.Fatalf("callback: got %d %s, want 503", w.Code, w.Body)
			}
		}
		s.advance(299 * time.Second)
		if w := s.through(s.open("/"), "alice"); w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") != "2" {
			s.Errorf("callback before the time is up: got %d with Retry-After %q, want 503 with 2", w.Code, w.Header().Get("Retry-After"))
		}
		s.wantCalls(authelia.EndpointToken, 1)
		s.advance(time.Second)
		s.wantUpstream(s.open("/", s.signInAs("alice")))
		begun, ended := s.logs.FilterMessageSnippet("sign-ins held back").Len(), s.logs.FilterMessageSnippet("no longer held back").Len()
		if begun != 1 || ended != 1 {
			s.Errorf("%d lines say that sign-ins are held back and %d that they no longer are, want 1 each", begun, ended)
		}
	})
}
