// Pushed authorization requests: each costs the provider work before the user is known.

package handler

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/flow"
	"github.com/romm-oidc/caddy-romm-oidc/tests/authelia"
)

// The attacker opens pages without a session, each of which makes the gate push a
// request to the provider. After 60 in a minute they wait; other clients sign in.
func TestAnonymousPagesDoNotFloodTheProvider(t *testing.T) {
	inBubble(t, plainClient, nil, func(s *siteWithProvider) {
		s.party.Push = true
		s.handler.config.RelyingParty = flow.New(s.party)
		s.chain.ip = "203.0.113.7"
		for i := range 200 {
			w := s.open("/rom/7")
			switch {
			case i < pushesMost && w.Code != http.StatusFound:
				s.Fatalf("sign-in %d began with %d, want 302", i+1, w.Code)
			case i >= pushesMost && (w.Code != http.StatusTooManyRequests || w.Header().Get("Retry-After") == "" || !strings.Contains(w.Body.String(), "too_many_sign_ins")):
				s.Fatalf("sign-in %d began with %d, want 429 too_many_sign_ins with Retry-After", i+1, w.Code)
			}
		}
		if pushed := s.op.Calls(authelia.EndpointPAR); pushed != pushesMost {
			s.Errorf("%d requests were pushed to the provider, want %d", pushed, pushesMost)
		}
		s.chain.ip = ""
		s.ticketOf(s.through(s.open("/rom/7"), "alice"))
		s.chain.ip = "203.0.113.7"
		s.advance(time.Minute)
		if w := s.open("/rom/7"); w.Code != http.StatusFound {
			s.Errorf("a minute later a sign-in began with %d, want 302", w.Code)
		}
	})
}

// Without pushed requests a sign-in that begins costs the provider nothing, and none is
// refused.
func TestSignInsThatCostNothingAreNotCounted(t *testing.T) {
	inBubble(t, plainClient, nil, func(s *siteWithProvider) {
		for range 3 * pushesMost {
			if w := s.open("/rom/7"); w.Code != http.StatusFound {
				s.Fatalf("a sign-in began with %d, want 302", w.Code)
			}
		}
	})
}
