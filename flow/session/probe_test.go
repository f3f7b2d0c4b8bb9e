// The write probe.

package session

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// Probe fails where a sign-in would, leaves no value or lock behind, and does
// not wait for a storage that hangs.
func TestProbe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		storage := newFakeStorage()
		s := newTestStore(storage)
		for range 2 { // the second call needs the lock
			if err := s.Probe(t.Context()); err != nil || len(storage.values) != 0 {
				t.Fatalf("Probe = %v, stored values %v, want nil and none", err, storage.values)
			}
		}
		for _, operation := range []string{"lock", "store", "delete"} {
			storage.before = func(called, _ string) error {
				if called == operation {
					return errAway
				}
				return nil
			}
			if err := s.Probe(t.Context()); !errors.Is(err, errAway) {
				t.Errorf("Probe without %s: %v, want %v", operation, err, errAway)
			}
		}
		storage.before, storage.latency = nil, time.Minute
		began := time.Now()
		if err := s.Probe(t.Context()); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) > probeLimit {
			t.Errorf("Probe = %v after %s, want a deadline error within %s", err, time.Since(began), probeLimit)
		}
		synctest.Wait()
		time.Sleep(time.Hour) // until the calls in progress return
	})
}
