package keyring

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// A lock keeps out callers with the same key only, until it is released or their
// context ends. Locks that no caller holds take no memory.
func TestLocks(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var locks Locks[string]
		unlock, err := locks.Lock(t.Context(), "ada")
		if err != nil {
			t.Fatal(err)
		}
		other, err := locks.Lock(t.Context(), "bob")
		if err != nil {
			t.Fatalf("another key: %v, want its lock", err)
		}
		other()
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := locks.Lock(short, "ada"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the same key: %v, want the end of the context", err)
		}
		granted := false
		go func() {
			unlock, err := locks.Lock(t.Context(), "ada")
			if granted = err == nil; granted {
				unlock()
			}
		}()
		synctest.Wait()
		if granted {
			t.Error("two callers have the lock of one key")
		}
		unlock()
		synctest.Wait()
		if !granted || len(locks.held) != 0 {
			t.Errorf("after the unlock, the next caller has the lock: %t, want true; %d locks left, want 0", granted, len(locks.held))
		}
	})
}
