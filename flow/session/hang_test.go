// Storage that hangs, and a disk that is full.

package session

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// hung makes storage answer nothing and ignore contexts, as a network file
// system does when its server is gone, until release is called.
func hung(storage *fakeStorage) (release func()) {
	gate := make(chan struct{})
	storage.before = func(string, string) error { <-gate; return nil }
	return func() { close(gate) }
}

// While storage hangs, sessions in memory continue and all other requests get an
// error in bounded time. When storage answers again, no end is lost.
func TestStorageHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		storage := newFakeStorage()
		s, other := newTestStore(storage), newTestStore(storage)
		ticket, session := create(t, s, "ada")
		if _, err := other.Keyring(t.Context()); err != nil {
			t.Fatal(err)
		}
		left, _ := create(t, s, "bob")
		release := hung(storage)
		start(t, s)

		bounded := func(what string, limit time.Duration, work func() error) {
			t.Helper()
			began := time.Now()
			if err := work(); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%s: %v, want a deadline error", what, err)
			}
			if took := time.Since(began); took > limit {
				t.Errorf("%s took %s, want at most %s", what, took, limit)
			}
		}
		bounded("a lookup", loadLimit, func() error { _, err := other.Lookup(t.Context(), ticket); return err })
		bounded("a sign-in", 2*storeLimit, func() error { _, _, err := s.Create(t.Context(), recordOf("eve")); return err })
		bounded("the first keyring", keyringCreateLimit, func() error { _, err := newTestStore(storage).Keyring(t.Context()); return err })
		bounded("a sign-out", endLimit, func() error { return s.End(t.Context(), session.ID(), "sign_out") })
		began := time.Now()
		mustNot(t, s, ticket)
		mustOpen(t, s, left)
		if time.Since(began) > 0 {
			t.Error("a request waited for storage")
		}
		time.Sleep(endLimit + 2*pollEvery)
		if !s.Away() {
			t.Error("Away = false while storage hangs")
		}
		release()
		time.Sleep(time.Minute)
		synctest.Wait()
		if s.Away() {
			t.Error("Away = true after storage answered again")
		}
		mustOpen(t, other, left)
		mustNot(t, newTestStore(storage), ticket) // the end came through
	})
}

// A full disk takes neither new sessions nor ends. Existing sessions continue, and
// the ends are retried.
func TestFullDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		full := errors.New("no space left on device")
		storage := newFakeStorage()
		s := newTestStore(storage)
		ticket, _ := create(t, s, "ada")
		_, ending := create(t, s, "bob")
		var filled atomic.Bool
		storage.before = func(operation, _ string) error {
			if operation == "store" && filled.Load() {
				return full
			}
			return nil
		}
		start(t, s)
		filled.Store(true)
		if _, _, err := s.Create(t.Context(), recordOf("eve")); !errors.Is(err, full) {
			t.Errorf("Create on a full disk: %v, want %v", err, full)
		}
		if err := s.End(t.Context(), ending.ID(), "sign_out"); !errors.Is(err, full) || !ending.Ended() {
			t.Errorf("End on a full disk: %v, ended %v, want %v, true", err, ending.Ended(), full)
		}
		if err := s.Rotate(t.Context()); !errors.Is(err, full) {
			t.Errorf("Rotate on a full disk: %v, want %v", err, full)
		}
		time.Sleep(time.Hour)
		mustOpen(t, newTestStore(storage), ticket)
		filled.Store(false)
		time.Sleep(time.Minute)
		synctest.Wait()
		if len(storage.under(folderHeads)) != 1 || len(storage.under(folderTombstones)) != 1 {
			t.Errorf("heads %v, tombstones %v, want one each", storage.under(folderHeads), storage.under(folderTombstones))
		}
	})
}

// Other parts of the gate use the storage, too: links, signing keys, the health of
// the admin API. None of them waits longer than it means to, and a lock that was
// granted too late is released.
func TestHungStorageKeepsNoCallerWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := newFakeStorage()
		s := newTestStore(fake)
		storage, release := s.Storage(), hung(fake)
		for what, call := range map[string]func(context.Context) error{
			"Lock":   func(ctx context.Context) error { return storage.Lock(ctx, "x") },
			"Store":  func(ctx context.Context) error { return storage.Store(ctx, "x", nil) },
			"Load":   func(ctx context.Context) error { _, err := storage.Load(ctx, "x"); return err },
			"Delete": func(ctx context.Context) error { return storage.Delete(ctx, "x") },
			"List":   func(ctx context.Context) error { _, err := storage.List(ctx, "x", false); return err },
		} {
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
			began := time.Now()
			if err := call(ctx); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) > 3*time.Second {
				t.Errorf("%s: %v after %s, want a deadline error after 3 s", what, err, time.Since(began))
			}
			cancel()
		}
		time.Sleep(stuckAfter)
		if !s.Away() {
			t.Error("Away = false while storage hangs")
		}
		release()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := storage.Lock(ctx, "x"); err != nil {
			t.Errorf("the lock that was granted too late is still held: %v", err)
		}
		defer hung(fake)()
		began := time.Now()
		_ = storage.Unlock(context.WithoutCancel(ctx), "x")
		if took := time.Since(began); took > storeLimit {
			t.Errorf("Unlock took %s, want %s at most", took, storeLimit)
		}
	})
}
