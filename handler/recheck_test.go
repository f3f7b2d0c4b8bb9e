// When the provider is asked about a session again.

package handler

import (
	"testing"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/tests/authelia"
)

// A provider that issues access tokens of a few seconds is still asked at most
// once in ten seconds about a session, and not for every request.
func TestShortLivedTokensAreCheckedEveryTenSeconds(t *testing.T) {
	inBubble(t, refreshingClient, nil, func(s *siteWithProvider) {
		s.op.SetLifespans(authelia.Lifespans{AccessToken: 12 * time.Second})
		ticket := s.signInAs("alice")
		s.op.ForgetRequests()
		request := func() {
			s.Helper()
			s.wantUpstream(s.do(s, "/api/x", "Cookie", ticket))
			s.settle()
		}
		for range 20 {
			request()
		}
		s.wantCalls(authelia.EndpointUserinfo, 0)
		s.wantCalls(authelia.EndpointToken, 0)
		for range 3 {
			s.advance(backoffLeast)
			for range 20 {
				request()
			}
		}
		s.wantCalls(authelia.EndpointUserinfo, 3)
		s.wantCalls(authelia.EndpointToken, 3)
	})
}

// Access tokens of a minute are refreshed in their last quarter, and not at every check.
func TestShortTokensAreNotRefreshedAllTheTime(t *testing.T) {
	inBubble(t, refreshingClient, nil, func(s *siteWithProvider) {
		s.op.SetLifespans(authelia.Lifespans{AccessToken: time.Minute})
		ticket := s.signInAs("alice")
		s.op.ForgetRequests()
		for range 65 {
			s.wantUpstream(s.do(s, "/api/x", "Cookie", ticket))
			s.settle()
			s.advance(time.Second)
		}
		s.wantCalls(authelia.EndpointToken, 1)
	})
}

// A provider that grants less than was asked for is reported once.
func TestScopesThatDidNotComeAreReported(t *testing.T) {
	inBubble(t, refreshingClient, nil, func(s *siteWithProvider) {
		s.op.Misbehave(func(m *authelia.Misbehaviour) { m.TokenResponse = authelia.Without("refresh_token") })
		s.signInAs("alice")
		s.signInAs("alice")
		if lines := s.logs.FilterMessageSnippet("sign-ins lack a scope").Len(); lines != 1 {
			s.Errorf("%d lines about the missing scope, want 1", lines)
		}
	})
}
