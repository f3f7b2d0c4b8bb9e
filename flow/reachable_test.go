// Tests of reachability.

package flow

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/tests/authelia"
)

// Metadata that are fresh enough for a sign-in do not prove that the provider is
// reachable.
func TestReachable(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		for range 2 {
			if !h.rp.Reachable(t.Context()) {
				t.Error("Reachable = false, want true")
			}
		}
		h.calls(authelia.EndpointDiscovery, 1)
		h.op.Down()
		h.Advance(reachableFor)
		for range 2 {
			if h.rp.Reachable(t.Context()) {
				t.Error("Reachable = true while the provider is down, want false")
			}
		}
		h.calls(authelia.EndpointDiscovery, 2) // a failure is kept for a moment
		if _, err := h.rp.metadata(t.Context()); err != nil {
			t.Errorf("metadata while the provider is down: %v, want the known ones", err)
		}
		h.op.Up()
		h.Advance(2 * discoveryPause)
		if !h.rp.Reachable(t.Context()) {
			t.Error("Reachable = false after the provider is back, want true")
		}
		h.Advance(reachableFor)
		h.op.Hang()
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		began := time.Now()
		if h.rp.Reachable(ctx) || !errors.Is(ctx.Err(), context.DeadlineExceeded) || time.Since(began) != 2*time.Second {
			t.Errorf("Reachable waited %s for a hanging provider, want false after 2s", time.Since(began))
		}
		h.op.Up()
		synctest.Wait()
	})
}
