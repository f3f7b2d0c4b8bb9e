package flow

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/tests/authelia"
)

// Metadata that are still good for a sign-in do not say that the provider is there.
func TestAnswers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		for range 2 {
			if !w.rp.Reachable(t.Context()) {
				t.Error("it does not answer")
			}
		}
		w.calls(authelia.EndpointDiscovery, 1)
		w.op.Down()
		w.Advance(reachableFor)
		for range 2 {
			if w.rp.Reachable(t.Context()) {
				t.Error("it answers while it is down")
			}
		}
		w.calls(authelia.EndpointDiscovery, 2) // a failure holds for a moment too
		if _, err := w.rp.metadata(t.Context()); err != nil {
			t.Errorf("its metadata are lost: %v", err)
		}
		w.op.Up()
		w.Advance(2 * discoveryPause)
		if !w.rp.Reachable(t.Context()) {
			t.Error("it does not answer though it is back")
		}
		w.Advance(reachableFor)
		w.op.Hang()
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		began := time.Now()
		if w.rp.Reachable(ctx) || !errors.Is(ctx.Err(), context.DeadlineExceeded) || time.Since(began) != 2*time.Second {
			t.Errorf("hanging: waited %s", time.Since(began))
		}
		w.op.Up()
		synctest.Wait()
	})
}
