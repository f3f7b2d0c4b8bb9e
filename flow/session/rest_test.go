// Rest: what a gate that is not used does not do, and what it knows when it is used again.

package session

import (
	"context"
	"encoding/json"
	"maps"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/flow/keyring"
)

// rested returns a store that had a session, which ended, and rests.
func rested(t *testing.T, storage keyring.Storage) *Store {
	t.Helper()
	s := newTestStore(storage)
	start(t, s)
	_, session := create(t, s, "ada")
	if err := s.End(t.Context(), session.ID(), "sign_out"); err != nil {
		t.Fatal(err)
	}
	time.Sleep(restAfter + 2*pollEvery)
	synctest.Wait()
	if s.Resting() == nil {
		t.Fatal("the gate does not rest after its last session has ended")
	}
	return s
}

// A gate without sessions calls the storage once an hour, for the sweep: no user
// would notice if it stopped, but what has expired would stay.
func TestIdleGateCallsTheStorageForTheSweepOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		storage := newFakeStorage()
		rested(t, storage)
		storage.takeCounts()
		time.Sleep(50 * time.Minute)
		synctest.Wait()
		if counts := storage.takeCounts(); len(counts) != 0 {
			t.Errorf("storage calls of an idle gate: %v, want none", counts)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		want := map[string]int{
			"lock": 1, "store": 1, // of the sweep's marker
			"load": 3, // that marker, the keyring, and the tombstone of the session
			"list": 3, // the heads, which the fake storage has no folder for, and the tombstones
		}
		if counts := storage.takeCounts(); !maps.Equal(counts, want) {
			t.Errorf("storage calls in an idle hour: %v, want %v", counts, want)
		}
	})
}

func TestIdleGateTakesOneGoroutine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		before := runtime.NumGoroutine()
		for range 20 {
			rested(t, newFakeStorage())
		}
		// Each has another one of the test, which waits for Run.
		if n := runtime.NumGoroutine() - before; n > 2*20+10 { // the process has some others
			t.Errorf("%d goroutines for 20 idle gates, want 40", n)
		}
	})
}

// What keeps a gate from resting, and what it does when that is over.
func TestGateWithSomethingToDoDoesNotRest(t *testing.T) {
	for name, begin := range map[string]func(t *testing.T, s *Store, storage *fakeStorage) (over func()){
		"a session": func(t *testing.T, s *Store, _ *fakeStorage) func() {
			t.Helper()
			_, session := create(t, s, "bob")
			return func() { _ = s.End(t.Context(), session.ID(), "sign_out") }
		},
		"a storage that is away": func(t *testing.T, s *Store, storage *fakeStorage) func() {
			t.Helper()
			storage.away.Store(true)
			_, _ = s.List(t.Context())
			return func() { storage.away.Store(false) }
		},
		"an end that storage did not take": func(t *testing.T, s *Store, storage *fakeStorage) func() {
			t.Helper()
			_, session := create(t, newTestStore(storage), "bob")
			storage.full.Store(true)
			_ = s.End(t.Context(), session.ID(), "sign_out")
			return func() { storage.full.Store(false) }
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				storage := newFakeStorage()
				s := rested(t, storage)
				over := begin(t, s, storage)
				time.Sleep(10 * time.Minute)
				synctest.Wait()
				if s.Resting() != nil {
					t.Error("the gate rests")
				}
				over()
				time.Sleep(10 * time.Minute)
				synctest.Wait()
				if s.Resting() == nil || s.Away() || s.Unpersisted() > 0 {
					t.Errorf("ten minutes later: resting %t, away %t, %d ends not stored, want true, false, 0", s.Resting() != nil, s.Away(), s.Unpersisted())
				}
			})
		})
	}
}

// Nothing uses the gate, and the sweep finds the storage away. The gate tries until it
// answers, so that the metric and the log say so.
func TestRestedGateFindsOutThatTheStorageAnswersAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		storage := newFakeStorage()
		s := rested(t, storage)
		storage.away.Store(true)
		time.Sleep(time.Hour)
		synctest.Wait()
		if !s.Away() {
			t.Error("Away = false after an hour")
		}
		storage.away.Store(false)
		time.Sleep(2 * pollEvery)
		synctest.Wait()
		if s.Away() {
			t.Error("Away = true although the storage answers")
		}
	})
}

// The caller of an end leaves before the storage takes it. The gate stores it.
func TestRestedGateStoresAnEndAlthoughItsCallerLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		storage := newFakeStorage()
		s := rested(t, storage)
		_, session := create(t, newTestStore(storage), "bob")
		left, cancel := context.WithCancel(t.Context())
		cancel()
		if err := s.End(left, session.ID(), "sign_out"); err == nil {
			t.Fatal("End: no error")
		}
		time.Sleep(2 * pollEvery)
		synctest.Wait()
		if n := s.Unpersisted(); n != 0 {
			t.Errorf("%d ends are not stored, want none", n)
		}
	})
}

// The marker of a doubt is removed after half a minute, by a gate that rested, too.
func TestRestedGateRemovesItsMarker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		storage := newFakeStorage()
		s := rested(t, storage)
		s.Doubt(t.Context())
		with := len(storage.under(folderTombstones))
		time.Sleep(2 * doubtLife)
		synctest.Wait()
		if n := len(storage.under(folderTombstones)); n != with-1 {
			t.Errorf("%d tombstones and markers, want %d", n, with-1)
		}
	})
}

// The operator deleted the keyring and restarted the other node, which has made a new
// one. The first ticket of that node opens here, too: a gate that believed its old
// keyring would take the ticket for a forged one, and both nodes would send the
// browser to the provider in turn.
func TestRestedGateReadsTheKeyringFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		storage := newFakeStorage()
		s := rested(t, storage)
		_ = storage.Delete(t.Context(), keyring.Path(testGate))
		ticket, _ := create(t, newTestStore(storage), "bob")
		mustOpen(t, s, ticket)
	})
}

// The keyring is damaged while the gate rests. The gate has it in memory, and no
// session in storage is lost.
func TestRestedGateRepairsTheKeyring(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		storage := newFakeStorage()
		ticket, _ := create(t, newTestStore(storage), "bob")
		s := rested(t, storage)
		storage.put(keyring.Path(testGate), []byte("{"))
		mustOpen(t, s, ticket)
		if !json.Valid(storage.get(keyring.Path(testGate))) {
			t.Error("the keyring in storage is still damaged")
		}
	})
}

// The storage is away when a gate is used again. What it has in memory is used, and
// requests after the first do not wait for storage.
func TestRestedGateTrustsItsMemoryWhileTheStorageIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		storage := newFakeStorage()
		s := rested(t, storage)
		storage.away.Store(true)
		if _, err := s.Keyring(t.Context()); err != nil {
			t.Fatalf("Keyring: %v, want the one in memory", err)
		}
		loads := storage.count("load")
		if _, err := s.Keyring(t.Context()); err != nil || storage.count("load") != loads {
			t.Errorf("Keyring: %v after %d more loads, want nil, none", err, storage.count("load")-loads)
		}
	})
}

// A client that leaves while the keyring is read does not make the gate believe the
// old one.
func TestRestedGateReadsTheKeyringAlthoughAClientLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		storage := newFakeStorage()
		s := rested(t, storage)
		_ = storage.Delete(t.Context(), keyring.Path(testGate))
		ticket, _ := create(t, newTestStore(storage), "bob")
		storage.latency = time.Second
		left, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		_, _ = s.Keyring(left)
		mustOpen(t, s, ticket)
		s.Close()
		time.Sleep(time.Minute) // until the last call is over
	})
}

// A session that a rested gate opens ends within seconds when it ends elsewhere.
func TestRestedGateFollowsEndsAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		storage := newFakeStorage()
		s := rested(t, storage)
		other := newTestStore(storage)
		ticket, session := create(t, other, "bob")
		mustOpen(t, s, ticket)
		if err := other.End(t.Context(), session.ID(), "sign_out"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * pollEvery)
		synctest.Wait()
		mustNot(t, s, ticket)
	})
}

// While a gate rests, another node changes accounts, and again right after it is used.
// What it learns in between is doubted, whether or not the marker is still there.
func TestRestedGateHearsOfDoubts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		storage := newFakeStorage()
		other := newTestStore(storage)
		var heard atomic.Int32
		s := newTestStore(storage)
		s.OnDoubt(func() { heard.Add(1) })
		start(t, s)
		time.Sleep(time.Hour)
		synctest.Wait()
		if s.Resting() == nil {
			t.Fatal("the gate does not rest")
		}
		heard.Store(0)
		s.Use()
		synctest.Wait()
		if heard.Load() != 1 {
			t.Errorf("%d doubts when the gate is used again, want 1: it may have missed some", heard.Load())
		}
		other.Doubt(t.Context())
		time.Sleep(pollEvery)
		synctest.Wait()
		if heard.Load() != 2 {
			t.Errorf("%d doubts after a change on another node, want 2", heard.Load())
		}
	})
}

// The gate is used, or gets something to do, at the moment when it lies down.
func TestUseWhileTheGateLiesDown(t *testing.T) {
	for name, use := range map[string]func(*Store){
		"before": (*Store).Use,
		"busy":   func(s *Store) { create(t, s, "ada"); s.rest.used.Store(false) },
	} {
		t.Run(name, func(t *testing.T) {
			s := newTestStore(newFakeStorage())
			s.rest.used.Store(false)
			use(s)
			if over := s.lieDown(); s.Resting() != nil {
				t.Error("the gate rests")
			} else {
				<-over
			}
		})
	}
}
