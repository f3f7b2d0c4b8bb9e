// Tests of metadata that are out of date.

package flow

import (
	"net/http"
	"testing"
	"testing/synctest"

	"github.com/romm-oidc/caddy-romm-oidc/tests/authelia"
)

// Metadata that what happens contradicts are read again at once, not when they are
// an hour old, and not more often than every 10 s.
func TestContradictedMetadata(t *testing.T) {
	t.Parallel()
	for name, contradict := range map[string]func(*harness, *authelia.Misbehaviour){
		"no token endpoint": func(_ *harness, m *authelia.Misbehaviour) {
			m.Fail(authelia.EndpointToken, authelia.Fault{Status: http.StatusNotFound})
		},
		"token endpoint gone": func(_ *harness, m *authelia.Misbehaviour) {
			m.Fail(authelia.EndpointToken, authelia.Fault{Status: http.StatusGone})
		},
		"no userinfo endpoint": func(_ *harness, m *authelia.Misbehaviour) {
			m.Fail(authelia.EndpointUserinfo, authelia.Fault{Status: http.StatusNotFound})
		},
		"no keys": func(_ *harness, m *authelia.Misbehaviour) {
			m.Fail(authelia.EndpointJWKS, authelia.Fault{Status: http.StatusNotFound})
		},
		"keys at another jwks_uri": func(_ *harness, m *authelia.Misbehaviour) { m.Signature = authelia.SignedByUnknownKey },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				h := newHarness(t)
				if err := h.rp.Discover(t.Context()); err != nil {
					t.Fatal(err)
				}
				h.op.Misbehave(func(m *authelia.Misbehaviour) { contradict(h, m) })
				for range 3 {
					if _, err := h.signIn(); err == nil {
						t.Fatal("the sign-in succeeded, want it to fail")
					}
					synctest.Wait()
				}
				h.calls(authelia.EndpointDiscovery, 1)
				h.Advance(reachableFor)
				for range 3 {
					_, _ = h.signIn()
					synctest.Wait()
				}
				h.calls(authelia.EndpointDiscovery, 2)
			})
		})
	}
	t.Run("moved", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			h := newHarness(t)
			h.op.Misbehave(func(m *authelia.Misbehaviour) { m.Metadata = authelia.Set("userinfo_endpoint", testIssuer+"/moved") })
			_, _ = h.signIn()
			h.op.Misbehave(func(m *authelia.Misbehaviour) { m.Metadata = nil })
			h.Advance(reachableFor)
			_, first := h.signIn()
			synctest.Wait()
			if _, err := h.signIn(); first == nil || err != nil {
				t.Errorf("a sign-in at a provider that has moved: %v, and the next one: %v; want it to succeed", first, err)
			}
		})
	})
}
