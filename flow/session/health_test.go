// Health: what a store says of its storage.

package session

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
)

// loggedStore returns a store whose lines from level info on are observed.
func loggedStore(storage *fakeStorage) (*Store, *observer.ObservedLogs) {
	core, logs := observer.New(zapcore.InfoLevel)
	return newTestStore(storage, func(o *Options) { o.Logger = zap.New(core) }), logs
}

// failing makes storage fail these operations while the returned value is true.
func failing(storage *fakeStorage, operations ...string) *atomic.Bool {
	var broken atomic.Bool
	storage.before = func(called, _ string) error {
		if broken.Load() && slices.Contains(operations, called) {
			return errAway
		}
		return nil
	}
	return &broken
}

// Storage that is read-only or full: reads work, so sessions continue, and until
// the next sign-in no user notices. The operator does, once per change.
func TestStorageThatTakesNoValuesIsReported(t *testing.T) {
	for name, operations := range map[string][]string{
		"full":                   {"store"},
		"read-only":              {"lock", "store", "delete"},
		"takes no locks":         {"lock"},
		"takes values, no ends":  {"delete"},
		"cannot load":            {"load"},
		"gives no lists":         {"list"},
		"does not answer at all": {"lock", "store", "delete", "load", "list"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				storage := newFakeStorage()
				s, logs := loggedStore(storage)
				ticket, _ := create(t, s, "ada")
				_, ending := create(t, s, "bob")
				broken := failing(storage, operations...)
				start(t, s)
				time.Sleep(time.Second / 2) // at no time when the background tasks run
				for round := 1; round <= 2; round++ {
					broken.Store(true)
					switch operations[0] {
					case "delete":
						_ = s.End(t.Context(), ending.ID(), "sign_out")
					case "lock":
						_ = s.UpdateOnce(t.Context(), mustOpen(t, s, ticket), always, func(*Record) {})
					case "load":
						_, _ = newTestStore(storage).Lookup(t.Context(), ticket)
						_, _ = s.Find(t.Context(), ID{1})
					}
					for range 12 { // the session is in use
						time.Sleep(5 * time.Second)
						mustOpen(t, s, ticket)
					}
					if !s.Away() {
						t.Errorf("round %d: Away = false after a minute, want true", round)
					}
					broken.Store(false)
					for range 6 {
						time.Sleep(time.Second)
						mustOpen(t, s, ticket)
					}
					synctest.Wait()
					if s.Away() {
						t.Errorf("round %d: Away = true 6 s after storage works again, want false", round)
					}
				}
				warned, back := logs.FilterLevelExact(zap.WarnLevel).Len(), logs.FilterLevelExact(zap.InfoLevel).Len()
				kinds := 1
				if len(operations) == 5 { // reads and writes are said apart
					kinds = 2
				}
				if warned != 2*kinds || back != 2*kinds {
					t.Errorf("%d warnings, %d lines that it works again, want %d of each:", warned, back, 2*kinds)
					for _, line := range logs.All() {
						t.Log(line.Level, line.Message, line.ContextMap())
					}
				}
			})
		})
	}
}

// What is no failure of storage: a value that is absent, a lock that another
// node has, a caller that gave up.
func TestAnswersThatAreNoFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		storage := newFakeStorage()
		s, logs := loggedStore(storage)
		_, session := create(t, s, "ada")
		if _, err := s.Find(t.Context(), ID{1}); err != nil {
			t.Error(err)
		}
		key := storageKey(folderRecords, session.ID())
		_ = storage.Lock(t.Context(), key)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := s.Update(ctx, session, func(*Record) {}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Update without the lock: %v, want the deadline", err)
		}
		gone, cancel := context.WithCancel(t.Context())
		synctest.Wait() // the call for the lock goes on
		storage.before = func(string, string) error { cancel(); return context.Canceled }
		_, _ = s.Storage().Load(gone, key)
		if s.Away() || logs.Len() != 0 {
			t.Errorf("Away = %v, lines %v, want false and none", s.Away(), logs.All())
		}
	})
}

// A storage that only hangs on writes returns no error.
func TestWritesThatHangAreReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		storage := newFakeStorage()
		s, logs := loggedStore(storage)
		_, session := create(t, s, "ada")
		release := make(chan struct{})
		storage.before = func(operation, _ string) error {
			if operation == "store" {
				<-release
			}
			return nil
		}
		_ = s.End(t.Context(), session.ID(), "sign_out")
		time.Sleep(time.Second)
		if !s.Away() || logs.Len() != 1 {
			t.Errorf("Away = %v after a write that hangs, lines %v, want true and one", s.Away(), logs.All())
		}
		close(release)
		synctest.Wait()
		if s.Away() {
			t.Error("Away = true after the write was done, want false")
		}
	})
}

// A gate without users writes nothing: disks can sleep. One in use tries
// four times a minute, if it has nothing else to write.
func TestStorageIsTriedWhileInUse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		storage := newFakeStorage()
		s := newTestStore(storage)
		ticket, _ := create(t, s, "ada")
		start(t, s)
		time.Sleep(time.Minute)
		before := storage.count("store")
		time.Sleep(10 * time.Minute)
		if n := storage.count("store") - before; n != 0 {
			t.Errorf("%d writes in ten minutes without use, want none", n)
		}
		for range 10 * 60 {
			mustOpen(t, s, ticket)
			time.Sleep(time.Second)
		}
		if n := storage.count("store") - before; n < 30 || n > 41 {
			t.Errorf("%d writes in ten minutes of use, want about 40", n)
		}
	})
}
