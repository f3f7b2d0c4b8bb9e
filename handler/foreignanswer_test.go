// Answers in the provider's place: of a proxy or a firewall in front of it.

package handler

import (
	"net/http"
	"testing"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/tests/authelia"
)

// inFront are answers that do not come from the provider.
var inFront = map[string]authelia.Fault{
	"a firewall's 403":             {Status: http.StatusForbidden, Header: http.Header{"Content-Type": {"text/html; charset=UTF-8"}}, Body: "<!DOCTYPE html><title>Just a moment...</title>"},
	"Caddy's respond 403":          {Status: http.StatusForbidden, Body: "Access denied"},
	"a proxy's own 401":            {Status: http.StatusUnauthorized, Header: http.Header{"WWW-Authenticate": {`Basic realm="restricted"`}}, Body: "Unauthorized"},
	"Traefik, with no container":   {Status: http.StatusNotFound, Body: "404 page not found\n"},
	"nginx, for a large header":    {Status: http.StatusBadRequest, Header: http.Header{"Content-Type": {"text/html"}}, Body: "<html><title>400 Request Header Or Cookie Too Large</title>"},
	"a page for a blocked request": {Status: http.StatusNotAcceptable, Body: "[1]"},
}

// A firewall blocks the gate, or the proxy in front of the provider has no provider
// behind it for a while. That is no word about the user: no session ends.
func TestAnswersInFrontOfUserinfoEndNoSession(t *testing.T) {
	for name, fault := range inFront {
		t.Run(name, func(t *testing.T) {
			inBubble(t, plainClient, longLife, func(s *siteWithProvider) {
				ticket := s.signInAs("alice")
				s.useFor(6*time.Minute, ticket)
				s.fault(authelia.EndpointUserinfo, fault)
				s.useFor(20*time.Minute, ticket)
				s.settle()
				if found := s.session(ticket); found == nil || len(s.app.gone) > 0 || s.handler.unproven(found.Record()) {
					s.Fatalf("sessions ended with %v, accounts shut: %v; want neither, and the session proven", s.endReasons(), s.app.gone)
				}
				s.op.Behave()
				s.op.DisableUser("alice")
				s.advance(15 * time.Minute)
				if w := s.do(s, "/api/x", "Cookie", ticket); w.Code != http.StatusUnauthorized {
					s.Errorf("a disabled user, when the provider answers again: got %d, want 401", w.Code)
				}
			})
		})
	}
}

// The same at the token endpoint: the refresh token is still good, and is used when
// the provider answers again.
func TestAnswersInFrontOfTheTokenEndpointKeepTheRefreshToken(t *testing.T) {
	for name, fault := range inFront {
		t.Run(name, func(t *testing.T) {
			inBubble(t, refreshingClient, longLife, func(s *siteWithProvider) {
				longRefreshing(s)
				ticket := s.signInAs("alice")
				s.useFor(50*time.Minute, ticket)
				s.fault(authelia.EndpointToken, fault)
				s.useFor(20*time.Minute, ticket)
				s.settle()
				known := s.session(ticket).Record()
				if known.Tokens.Refresh == "" || s.handler.unproven(known) {
					s.Fatal("the session has lost its refresh token, want it kept")
				}
				s.op.Behave()
				s.useFor(30*time.Minute, ticket)
				if record := s.session(ticket).Record(); s.handler.unproven(record) || record.Tokens.Access == known.Tokens.Access {
					s.Error("the tokens are not refreshed when the provider answers again")
				}
			})
		})
	}
}
