// Pushed authorization requests.

package tests

import (
	"net/http"
	"strings"
	"testing"

	"github.com/romm-oidc/caddy-romm-oidc/tests/authelia"
)

// A sign-in whose request was pushed ends like any other. If the provider refuses
// the request, the browser does not leave.
func TestPushedSignIn(t *testing.T) {
	s := start(t, options{directive: rolesByMail + "\npush_authorization"})
	alice := s.as("alice")
	if me := alice.fetch("/api/users/me"); me.StatusCode != http.StatusOK || !strings.Contains(me.body, `"username":"alice"`) {
		t.Errorf("/api/users/me after a pushed sign-in answered %d: %s", me.StatusCode, me.body)
	}
	if calls := s.authelia.Calls(authelia.EndpointPAR); calls != 1 {
		t.Errorf("the provider got %d pushed requests, want 1", calls)
	}
	s.authelia.UpdateClient("romm", func(c *authelia.Client) { c.Scopes = []string{"openid"} })
	answer := s.browser().do("/rom/7", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document", "Accept", "text/html")
	if !strings.Contains(answer.body, "provider_refused") || !strings.Contains(answer.body, "invalid_scope") {
		t.Errorf("a page with a scope too many answered %d: %s; want provider_refused with invalid_scope", answer.StatusCode, answer.body)
	}
}
