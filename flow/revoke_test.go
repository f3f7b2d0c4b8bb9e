package flow

import (
	"testing"

	"github.com/romm-oidc/caddy-romm-oidc/tests/authelia"
)

// A provider that names the methods of its revocation endpoint gets one of them.
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
			w := newWorld(t)
			w.op.Misbehave(func(m *authelia.Misbehaviour) {
				m.Metadata = authelia.Set("revocation_endpoint_auth_methods_supported", row.methods)
			})
			old := w.signedIn()
			_ = w.rp.Revoke(t.Context(), old.Tokens, old.Identity)
			request := w.last(authelia.EndpointRevocation)
			if request.Form.Has("client_secret") != row.posts || (request.Header.Get("Authorization") == "") != row.posts {
				t.Errorf("sent %v %v", request.Form, request.Header)
			}
		})
	}
}

// Nobody is shown a token that is not theirs, and a provider without the
// endpoint is asked nothing.
func TestRevokeNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	old := w.signedIn()
	if err := w.rp.Revoke(t.Context(), old.Tokens, Identity{Issuer: "https://old.example"}); err != nil {
		t.Error(err)
	}
	w.op.Misbehave(func(m *authelia.Misbehaviour) { m.Metadata = authelia.Without("revocation_endpoint") })
	w.Advance(discoveryAge)
	w.rp.Reachable(t.Context()) // reads them anew
	if err := w.rp.Revoke(t.Context(), old.Tokens, old.Identity); err != nil {
		t.Error(err)
	}
	w.calls(authelia.EndpointRevocation, 0)
	w.op.Behave()
	w.Advance(discoveryAge)
	w.rp.Reachable(t.Context())
	w.op.Down()
	if err := w.rp.Revoke(t.Context(), old.Tokens, old.Identity); err == nil {
		t.Error("nobody was told, and no error")
	}
}
