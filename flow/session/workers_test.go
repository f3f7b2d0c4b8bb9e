package session

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestRunEndsAndRecovers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		storage := newFakeStorage()
		var bad atomic.Bool
		storage.before = func(string, string) error {
			if bad.Load() {
				panic("bad module")
			}
			return nil
		}
		s := newTestStore(storage)
		done := make(chan struct{})
		go func() { defer close(done); s.Run(context.Background()) }()
		_, session := create(t, s, "ada")
		bad.Store(true)
		s.lastUses <- session
		time.Sleep(time.Hour)
		bad.Store(false)
		time.Sleep(time.Minute)
		if s.Away() {
			t.Error("the poll did not go on after a panic")
		}
		s.Run(context.Background()) // a second one returns at once
		s.Close()
		<-done
		s.Close()
		s.Run(context.Background()) // after Close too
	})
}

func TestRunEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newTestStore(newFakeStorage())
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		s.Run(ctx)
		s.Close()
	})
}

func TestCloseBringsStorageWhatIsDue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		storage := newFakeStorage()
		s := newTestStore(storage)
		ticket, session := create(t, s, "ada")
		go s.Run(context.Background())
		synctest.Wait()
		storage.away.Store(true)
		_ = s.End(t.Context(), session.ID(), "sign_out")
		storage.away.Store(false)
		s.Close()
		mustNot(t, newTestStore(storage), ticket)
	})
}

func TestCloseDoesNotWaitForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		storage := newFakeStorage()
		storage.latency = time.Hour // and it ignores its context
		s := newTestStore(storage)
		go s.Run(t.Context())
		time.Sleep(pollEvery + time.Second)
		began := time.Now()
		s.Close()
		if waited := time.Since(began); waited > closeLimit {
			t.Errorf("Close took %v", waited)
		}
		time.Sleep(10 * time.Hour)
	})
}
