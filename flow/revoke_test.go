// Tests of revocation.

package flow

import (
	"testing"

	"github.com/romm-oidc/caddy-romm-oidc/tests/authelia"
)

// The client uses a method that the provider supports at its revocation endpoint.
func TestRevocationAuth(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		methods any
		posts   bool
	}{
		"default": {nil, false}, "both": {[]string{"client_secret_post", "client_secret_basic"}, false},
		"post": {[]string{"client_secret_post"}, true}, "another": {[]string{"private_key_jwt"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHarness(t)
			h.op.Misbehave(func(m *authelia.Misbehaviour) {
				m.Metadata = authelia.Set("revocation_endpoint_auth_methods_supported", row.methods)
			})
			old := h.signedIn()
			_ = h.rp.Revoke(t.Context(), old.Tokens, old.Identity)
			request := h.last(authelia.EndpointRevocation)
			if request.Form.Has("client_secret") != row.posts || (request.Header.Get("Authorization") == "") != row.posts {
				t.Errorf("sent %v with %v, want %+v", request.Form, request.Header, row)
			}
		})
	}
}

// A provider never sees another's tokens, and one without the endpoint gets no
// request.
func TestRevokeNothing(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	old := h.signedIn()
	if err := h.rp.Revoke(t.Context(), old.Tokens, Identity{Issuer: "https://old.example"}); err != nil {
		t.Errorf("Revoke for another issuer: %v, want no error", err)
	}
	h.op.Misbehave(func(m *authelia.Misbehaviour) { m.Metadata = authelia.Without("revocation_endpoint") })
	h.Advance(discoveryAge)
	h.rp.Reachable(t.Context()) // reads the metadata again
	if err := h.rp.Revoke(t.Context(), old.Tokens, old.Identity); err != nil {
		t.Errorf("Revoke without an endpoint: %v, want no error", err)
	}
	h.calls(authelia.EndpointRevocation, 0)
	h.op.Behave()
	h.Advance(discoveryAge)
	h.rp.Reachable(t.Context())
	h.op.Down()
	if err := h.rp.Revoke(t.Context(), old.Tokens, old.Identity); err == nil {
		t.Error("Revoke with the provider down succeeded, want an error")
	}
}
