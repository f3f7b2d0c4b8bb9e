// Last uses: what counts as use, and what survives a crash.

package session

import (
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// After kill -9, every session opens with its ticket, and its last use is at
// most Idle/20 too old.
func TestKilledAndRestarted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		storage := newFakeStorage()
		var writes atomic.Int32
		storage.before = func(operation, key string) error {
			if operation == "store" && strings.Contains(key, "/"+folderLastUses+"/") {
				writes.Add(1)
			}
			return nil
		}
		s := newTestStore(storage)
		start(t, s)
		limits := Limits{Idle: 20 * time.Hour, Lifetime: DefaultLifetime}
		s.Configure(storage, limits)
		ticket, session := create(t, s, "ada")
		var last time.Time
		for range 300 { // five hours
			time.Sleep(time.Minute)
			last = time.Now()
			mustOpen(t, s, ticket)
			synctest.Wait()
		}
		if n := writes.Load(); n < 4 || n > 5 {
			t.Errorf("%d writes of the last use in five hours, want 4 or 5", n)
		}
		restarted := newTestStore(storage)
		restarted.Configure(storage, limits)
		entries, err := restarted.List(t.Context())
		if err != nil || len(entries) != 1 {
			t.Fatalf("List = %v, %v", entries, err)
		}
		if stale := last.Sub(entries[0].LastSeen); stale < 0 || stale > limits.Idle/20 {
			t.Errorf("the last use is %v too old, want at most %v", stale, limits.Idle/20)
		}
		time.Sleep(limits.Idle - limits.Idle/20 - time.Second)
		if got := mustOpen(t, restarted, ticket); got.ID() != session.ID() {
			t.Errorf("session ID %s after the restart, want %s", got.ID(), session.ID())
		}
	})
}

func TestHeldSessionIsInUse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		storage := newFakeStorage()
		s, other := newTestStore(storage), newTestStore(storage)
		limits := Limits{Idle: time.Hour, Lifetime: 10 * time.Hour}
		s.Configure(storage, limits)
		other.Configure(storage, limits)
		start(t, s)
		ticket, session := create(t, s, "ada")
		cancelled := make(chan struct{})
		hold(session, func() { close(cancelled) })
		time.Sleep(9 * time.Hour)
		synctest.Wait()
		mustOpen(t, other, ticket) // the other node read the last use
		if err := other.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		mustOpen(t, s, ticket)
		time.Sleep(time.Hour + memoryEvery)
		synctest.Wait()
		select {
		case <-cancelled:
		default:
			t.Error("the stream was not aborted at the end of the session's lifetime")
		}
		if session.endReason() != ReasonLifetime {
			t.Errorf("reason %q, want %q", session.endReason(), ReasonLifetime)
		}
	})
}

func TestHeldSessionIsNotIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		storage := newFakeStorage()
		s := newTestStore(storage)
		s.Configure(storage, Limits{Idle: time.Hour, Lifetime: DefaultLifetime})
		ticket, session := create(t, s, "ada")
		hold(session, func() { t.Error("the stream was aborted") })
		time.Sleep(2 * time.Hour) // without Run, which would mark the use
		if entries, err := s.List(t.Context()); len(entries) != 1 || err != nil {
			t.Errorf("List = %v, %v, want one entry", entries, err)
		}
		if mustOpen(t, s, ticket) != session {
			t.Error("the held session was evicted and loaded again")
		}
	})
}

// What is held counts as use, to within the interval at which memory is looked
// through.
func TestHeldIsUse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		storage := newFakeStorage()
		s := newTestStore(storage)
		s.Configure(storage, Limits{Idle: time.Hour, Lifetime: DefaultLifetime})
		ticket, session := create(t, s, "ada")
		start(t, s)
		release := hold(session, func() {})
		time.Sleep(50 * time.Minute)
		release()
		time.Sleep(time.Hour - memoryEvery - time.Second)
		mustOpen(t, s, ticket)
	})
}

func TestIdleSessionsAreEvicted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		storage := newFakeStorage()
		s := newTestStore(storage)
		s.Configure(storage, Limits{Idle: time.Hour, Lifetime: DefaultLifetime})
		create(t, s, "ada")
		time.Sleep(2 * time.Hour)
		if err := s.maintainMemory(t.Context()); err != nil || s.Len() != 0 {
			t.Errorf("maintainMemory: %v, %d sessions in memory, want nil, 0", err, s.Len())
		}
	})
}

// A slow or unreachable storage must not slow down requests, which queue last
// uses.
func TestLastUseQueueIsBounded(t *testing.T) {
	storage := newFakeStorage()
	s := newTestStore(storage)
	ticket, session := create(t, s, "ada")
	for len(s.lastUses) < cap(s.lastUses) {
		s.lastUses <- session
	}
	session.written.Store(0)
	mustOpen(t, s, ticket)
	if session.written.Load() != 0 {
		t.Error("the queue was full, but the last use counts as written")
	}
	<-s.lastUses
	mustOpen(t, s, ticket)
	if session.written.Load() == 0 || len(s.lastUses) != cap(s.lastUses) {
		t.Error("the next use was not queued after room was made")
	}
	storage.away.Store(true)
	if err := s.writeLastUses(t.Context()); err != nil || session.written.Load() != 0 {
		t.Error("storage failed, but the last use counts as written")
	}
}

func TestLastUseOfAnEndedSessionIsNotLeft(t *testing.T) {
	storage := newFakeStorage()
	s := newTestStore(storage)
	_, session := create(t, s, "ada")
	storage.before = func(operation, key string) error {
		if operation == "store" && strings.Contains(key, folderLastUses) {
			s.endLocal(session.ID(), "x")
		}
		return nil
	}
	if err := s.storeLastUse(t.Context(), session); err != nil || len(storage.under(folderLastUses)) != 0 {
		t.Errorf("storeLastUse: %v, stored last uses %v, want nil and none", err, storage.under(folderLastUses))
	}
}
