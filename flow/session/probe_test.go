package session

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// Try finds out what a sign-in would, leaves nothing behind, and waits for no
// storage that hangs.
func TestTry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		storage := newFakeStorage()
		s := newTestStore(storage)
		for range 2 { // the lock is given back
			if err := s.Probe(t.Context()); err != nil || len(storage.values) != 0 {
				t.Fatalf("%v, %v", err, storage.values)
			}
		}
		for _, operation := range []string{"lock", "store", "delete"} {
			storage.before = func(asked, _ string) error {
				if asked == operation {
					return errAway
				}
				return nil
			}
			if err := s.Probe(t.Context()); !errors.Is(err, errAway) {
				t.Errorf("%s: %v", operation, err)
			}
		}
		storage.before, storage.latency = nil, time.Minute
		began := time.Now()
		if err := s.Probe(t.Context()); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) > probeLimit {
			t.Errorf("%v after %s", err, time.Since(began))
		}
		synctest.Wait()
		time.Sleep(time.Hour) // until storage has answered all the same
	})
}
