// A test of the client's keys at several nodes, with a provider that reads them.

package flow

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/flow/keyring"
	"github.com/romm-oidc/caddy-romm-oidc/flow/keyring/keyringtest"
	"github.com/romm-oidc/caddy-romm-oidc/flow/op"
	"github.com/romm-oidc/caddy-romm-oidc/tests/authelia"
)

// Two nodes share their keys, and the provider reads them at either. While a key is
// replaced, users sign in at both, also at a node that has been away and signs with
// the old key when the other one signs with the new one.
func TestClientKeyRotatesUnderOneNode(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		storage := keyringtest.New()
		ring := func(ctx context.Context) (*keyring.Keyring, error) {
			return keyring.Load(ctx, storage, "gate", time.Now())
		}
		node := func() *op.Keys {
			return op.NewClientKeys("gate", ring, func() keyring.Storage { return storage }, time.Now)
		}
		first, second := node(), node()
		reads := 0
		published := network(func(r *http.Request) (*http.Response, error) {
			recorder := httptest.NewRecorder()
			if reads++; reads%2 == 0 { // a balancer before both
				first.ServeJWKS(recorder, r)
			} else {
				second.ServeJWKS(recorder, r)
			}
			return recorder.Result(), nil
		})
		provider := authelia.New(authelia.Options{
			Issuer: testIssuer, NoRateLimit: true, Fetch: &http.Client{Transport: published},
			Clients: []authelia.Client{{
				ID: "romm", AuthMethod: "private_key_jwt", JWKSURI: testCallback + ClientKeysPath, RedirectURIs: []string{testCallback}, ConsentMode: "implicit",
			}},
			Users: []authelia.User{{Name: "alice", Password: "alice-pw", Email: "alice@example.test"}},
		})
		signIn := func(when string, keys ClientKeys) {
			t.Helper()
			rp := New(Config{
				Issuer: testIssuer, ClientID: "romm", ClientAuth: ClientAuthKey, ClientKeys: keys, RedirectURI: testCallback, UsernameClaim: "preferred_username",
				Scopes: []string{"openid", "profile", "email"}, Client: newClient(t, ClientConfig{Issuer: testIssuer}, provider.Transport()), Keyring: ring,
			})
			h := &harness{T: t, op: provider, rp: rp}
			if _, err := h.signIn(); err != nil {
				t.Errorf("%s: %v, want a sign-in", when, err)
			}
		}
		signIn("at first", first)
		signIn("at the other node", second)
		if err := first.Rotate(t.Context()); err != nil {
			t.Fatal(err)
		}
		signIn("after the rotation", first)
		signIn("at a node that does not know of it", second)
		old, err := second.SigningKey(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(keyring.Lead + time.Minute)
		signIn("with the new key", first)
		signIn("with the old key, at a node that has been away", &testKeys{key: old})
		time.Sleep(2 * time.Minute)
		signIn("with the new key at the other node", second)
	})
}
