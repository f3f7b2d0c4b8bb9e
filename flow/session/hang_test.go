package session

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// hung is a storage that answers nothing and does not care for contexts, as a
// network file system whose server is gone, until it is released.
func hung(storage *fakeStorage) (release func()) {
	gate := make(chan struct{})
	storage.before = func(string, string) error { <-gate; return nil }
	return func() { close(gate) }
}

// Storage hangs: what is in memory goes on, everybody else gets an error in
// time, and when it answers again nothing is lost.
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
				t.Errorf("%s: %v", what, err)
			}
			if took := time.Since(began); took > limit {
				t.Errorf("%s took %s", what, took)
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
			t.Error("nobody is told that storage is away")
		}
		release()
		time.Sleep(time.Minute)
		synctest.Wait()
		if s.Away() {
			t.Error("still away")
		}
		mustOpen(t, other, left)
		mustNot(t, newTestStore(storage), ticket) // the end came through
	})
}

// A disk that is full takes no new session and no end, and loses none.
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
			t.Errorf("Create: %v", err)
		}
		if err := s.End(t.Context(), ending.ID(), "sign_out"); !errors.Is(err, full) || !ending.Ended() {
			t.Errorf("End: %v", err)
		}
		if err := s.Rotate(t.Context()); !errors.Is(err, full) {
			t.Errorf("Rotate: %v", err)
		}
		time.Sleep(time.Hour)
		mustOpen(t, newTestStore(storage), ticket)
		filled.Store(false)
		time.Sleep(time.Minute)
		synctest.Wait()
		if len(storage.under(folderHeads)) != 1 || len(storage.under(folderTombstones)) != 1 {
			t.Errorf("left %v, ends %v", storage.under(folderHeads), storage.under(folderTombstones))
		}
	})
}
