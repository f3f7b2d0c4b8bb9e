// Run and Close.

package session

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestRunStopsAndSurvivesPanics(t *testing.T) {
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
			t.Error("Away = true: polling stopped after a panic")
		}
		s.Run(context.Background()) // a second Run returns at once
		s.Close()
		<-done
		s.Close()
		s.Run(context.Background()) // and so does one after Close
	})
}

func TestRunStopsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newTestStore(newFakeStorage())
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		s.Run(ctx)
		s.Close()
	})
}

func TestCloseRetriesOnceMore(t *testing.T) {
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

func TestCloseIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		storage := newFakeStorage()
		storage.latency = time.Hour // and ignores its context
		s := newTestStore(storage)
		go s.Run(t.Context())
		time.Sleep(pollEvery + time.Second)
		began := time.Now()
		s.Close()
		if waited := time.Since(began); waited > closeLimit {
			t.Errorf("Close took %v, want at most %v", waited, closeLimit)
		}
		time.Sleep(10 * time.Hour)
	})
}

// Work of the gate that is not the store's runs at its interval, not while the gate
// rests, and at once after that.
func TestWorkOfTheGate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var ran atomic.Int32
		s := newTestStore(newFakeStorage())
		s.Every(time.Minute, "test", func(context.Context) error { ran.Add(1); return nil })
		start(t, s)
		time.Sleep(time.Hour)
		synctest.Wait()
		if n := ran.Load(); n != int32(restAfter/time.Minute) {
			t.Errorf("it ran %d times until the rest, want %d", n, restAfter/time.Minute)
		}
		s.Use()
		synctest.Wait()
		if n := ran.Load(); n != int32(restAfter/time.Minute)+1 {
			t.Errorf("it ran %d times, want once more at the end of the rest", n)
		}
	})
}
