// Pushed authorization requests (RFC 9126), as Authelia takes them.

package flow

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/tests/authelia"
)

// The browser carries a reference only. The request is used once, and the sign-in
// goes on as any other.
func TestPushedAuthorizationRequest(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*setup){
		"the operator says so": func(s *setup) { s.config.Push = true },
		"the client must push": func(s *setup) { s.config.Push, s.client.RequirePAR = true, true },
		"with client_secret_post": func(s *setup) {
			s.config.Push, s.config.ClientAuth, s.client.AuthMethod = true, ClientAuthPost, "client_secret_post"
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHarness(t, change)
			_, location, err := h.rp.Begin(t.Context(), "/", false)
			if err != nil {
				t.Fatal(err)
			}
			u, err := url.Parse(location)
			if err != nil || len(u.Query()) != 2 || u.Query().Get("client_id") != "romm" || !strings.HasPrefix(u.Query().Get("request_uri"), "urn:") {
				t.Errorf("the browser goes to %s, want client_id and request_uri only", location)
			}
			pushed, _ := h.op.LastRequest(authelia.EndpointPAR)
			for _, parameter := range []string{"state", "nonce", "code_challenge", "redirect_uri", "scope", "response_type"} {
				if pushed.Form.Get(parameter) == "" {
					t.Errorf("the pushed request has no %s: %v", parameter, pushed.Form)
				}
			}
			if result, err := h.signIn(); err != nil || result.Identity.Username != "alice" {
				t.Errorf("a pushed sign-in: %v, want alice", err)
			}
		})
	}
	// The provider requires it of all clients.
	h := newHarness(t)
	h.op.Misbehave(func(m *authelia.Misbehaviour) {
		m.Metadata = authelia.Set("require_pushed_authorization_requests", true)
	})
	if _, location, err := h.rp.Begin(t.Context(), "/", false); err != nil || !strings.Contains(location, "request_uri=") {
		t.Errorf("Begin where the provider requires it: %s, %v", location, err)
	}
}

// What is wrong with the registration is known before the browser leaves, and
// the provider is not asked again for every visitor.
func TestPushRefused(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		change func(*setup)
		says   string
	}{
		"redirect URI": {func(s *setup) { s.client.RedirectURIs = []string{"https://other.example.test/"} }, "redirect_uri"},
		"scope":        {func(s *setup) { s.client.Scopes = []string{"openid"} }, "invalid_scope"},
		"secret":       {func(s *setup) { s.config.ClientSecret = "wrong" }, "invalid_client"},
		"method":       {func(s *setup) { s.config.ClientAuth = ClientAuthPost }, "token_endpoint_auth_method"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHarness(t, func(s *setup) { s.config.Push = true }, row.change)
			for range 3 {
				if _, _, err := h.rp.Begin(t.Context(), "/", false); err == nil || !strings.Contains(err.Error(), row.says) {
					t.Fatalf("Begin: %v, want an error with %q", err, row.says)
				}
			}
			h.calls(authelia.EndpointPAR, 1)
			h.Advance(time.Minute)
			_, _, _ = h.rp.Begin(t.Context(), "/", false)
			h.calls(authelia.EndpointPAR, 2)
		})
	}
	t.Run("provider fails", func(t *testing.T) {
		t.Parallel()
		h := newHarness(t, func(s *setup) { s.config.Push = true })
		h.op.Misbehave(func(m *authelia.Misbehaviour) { m.Fail(authelia.EndpointPAR, authelia.Fault{Status: 503}) })
		_, _, err := h.rp.Begin(t.Context(), "/", false)
		failsAs(t, err, ErrProviderUnavailable, "503")
		h.op.Misbehave(func(m *authelia.Misbehaviour) { m.Faults = nil })
		if _, _, err := h.rp.Begin(t.Context(), "/", false); err != nil {
			t.Errorf("Begin at once after a failure: %v, want a pushed request: only refusals are remembered", err)
		}
	})
	t.Run("no endpoint", func(t *testing.T) {
		t.Parallel()
		h := newHarness(t, func(s *setup) { s.config.Push = true })
		h.op.Misbehave(func(m *authelia.Misbehaviour) { m.Metadata = authelia.Without("pushed_authorization_request_endpoint") })
		_, _, err := h.rp.Begin(t.Context(), "/", false)
		failsAs(t, err, ErrProviderUnavailable, "push_authorization")
	})
}
