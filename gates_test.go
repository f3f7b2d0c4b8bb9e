// What a gate costs that is not used.

package rommoidc

import (
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/flow/keyring/keyringtest"
	"github.com/romm-oidc/caddy-romm-oidc/flow/session"
)

// Twenty gates that are not used take two goroutines each, which wait, and do not
// call their storage: from one sweep to the next, no timer of theirs fires.
func TestIdleGatesCostNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 20
		storage, before := keyringtest.New(), runtime.NumGoroutine()
		all := make([]*pooledGate, n)
		for i := range all {
			g := &pooledGate{id: string(rune('a' + i))}
			g.start()
			g.sessions.Configure(storage, session.Limits{Idle: time.Hour, Lifetime: time.Hour, Rotate: 24 * time.Hour})
			// It has been in use: its keys are in memory.
			if _, err := g.signing.SigningKey(t.Context()); err != nil {
				t.Fatal(err)
			}
			all[i] = g
		}
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		if per := float64(runtime.NumGoroutine()-before) / n; per > 2.5 { // the process has some others
			t.Errorf("%.1f goroutines an idle gate, want at most 2", per)
		}
		methods := []string{"Lock", "Unlock", "Store", "Load", "Delete", "List"}
		calls := storage.Calls(methods...)
		time.Sleep(50 * time.Minute)
		synctest.Wait()
		if more := storage.Calls(methods...) - calls; more != 0 {
			t.Errorf("%d calls to the storage in 50 idle minutes, want none", more)
		}
		for _, g := range all {
			if err := g.Destruct(); err != nil {
				t.Error(err)
			}
		}
	})
}
