// A simulation of many sessions on a network storage; run it with make scale.

package session

import (
	"context"
	"flag"
	"fmt"
	"io/fs"
	"path"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

var scaleSessions = flag.Int("sessions", 2_000, "how many sessions TestScale simulates")

// simulated is a storage with network latency. A listing takes one round trip
// per 1000 keys, as with Redis or S3.
type simulated struct {
	latency time.Duration
	calls   atomic.Int64

	mu      sync.Mutex
	folders map[string]map[string][]byte
	locks   sync.Map // name -> chan struct{}
}

func (f *simulated) trip(n int) {
	f.calls.Add(int64(n))
	time.Sleep(time.Duration(n) * f.latency)
}

func (f *simulated) Lock(ctx context.Context, name string) error {
	f.trip(1)
	lock, _ := f.locks.LoadOrStore(name, make(chan struct{}, 1))
	select {
	case lock.(chan struct{}) <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (f *simulated) Unlock(_ context.Context, name string) error {
	f.trip(1)
	lock, _ := f.locks.Load(name)
	<-lock.(chan struct{})
	return nil
}

func (f *simulated) Store(_ context.Context, key string, value []byte) error {
	f.trip(1)
	f.put(key, value)
	return nil
}

func (f *simulated) put(key string, value []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	folder := path.Dir(key)
	if f.folders[folder] == nil {
		f.folders[folder] = map[string][]byte{}
	}
	f.folders[folder][path.Base(key)] = value
}

func (f *simulated) Load(_ context.Context, key string) ([]byte, error) {
	f.trip(1)
	f.mu.Lock()
	defer f.mu.Unlock()
	value, ok := f.folders[path.Dir(key)][path.Base(key)]
	if !ok {
		return nil, fs.ErrNotExist
	}
	return value, nil
}

func (f *simulated) Delete(_ context.Context, key string) error {
	f.trip(1)
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.folders[path.Dir(key)], path.Base(key))
	return nil
}

func (f *simulated) List(_ context.Context, folder string, _ bool) ([]string, error) {
	f.mu.Lock()
	keys := make([]string, 0, len(f.folders[folder]))
	for base := range f.folders[folder] {
		keys = append(keys, folder+"/"+base)
	}
	f.mu.Unlock()
	f.trip(1 + len(keys)/1000)
	return keys, nil
}

// cost returns the network time and the number of storage calls of work.
func (f *simulated) cost(work func()) (time.Duration, int64) {
	began, before := time.Now(), f.calls.Load()
	work()
	return time.Since(began), f.calls.Load() - before
}

// The cost of -sessions sessions; `make scale` runs it with a million. Time is
// virtual: it counts round trips to storage, not computing.
func TestScale(t *testing.T) {
	for _, backend := range []struct {
		name    string
		latency time.Duration
	}{{"Redis, 1 ms", time.Millisecond}, {"S3, 5 ms", 5 * time.Millisecond}} {
		t.Run(backend.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				scale(t, &simulated{latency: backend.latency, folders: map[string]map[string][]byte{}}, *scaleSessions)
			})
		})
	}
}

func scale(t *testing.T, storage *simulated, n int) {
	t.Helper()
	report := func(what string, took time.Duration, calls int64) { t.Logf("%-34s %14s %9d calls", what, took, calls) }
	maker := newTestStore(storage)
	seedHeads(t, maker, storage.put, n, time.Now())
	ticket, _ := create(t, maker, "ada")
	for range 3 {
		create(t, maker, "bob")
	}

	// A restart reads nothing until the first request.
	heap := heapInUse()
	s := newTestStore(storage)
	took, calls := storage.cost(func() { start(t, s); synctest.Wait() })
	report("restart", took, calls)
	took, calls = storage.cost(func() { mustOpen(t, s, ticket) })
	report("first request of a session", took, calls)
	if calls > 6 {
		t.Errorf("the first request caused %d storage calls, want at most 6", calls)
	}
	took, calls = storage.cost(func() { time.Sleep(10 * time.Minute); synctest.Wait() })
	t.Logf("%-34s %14s %9.2f calls a second", "a node at rest", took, float64(calls)/took.Seconds())
	if rest := float64(calls) / took.Seconds(); rest > 0.6 {
		t.Errorf("%.2f storage calls per second at rest, want at most 0.6", rest)
	}
	lastUseEvery := DefaultIdle / 20
	t.Logf("%-34s %14s %9.2f calls a second, on all nodes", "last uses, if all are in use", "", float64(n)/lastUseEvery.Seconds())
	t.Logf("%-34s %14d KiB", "memory of a node at rest", (heapInUse()-heap)/1024)

	took, calls = storage.cost(func() {
		entries, err := s.List(t.Context())
		if err != nil || len(entries) != n+4 {
			t.Errorf("List returned %d sessions, %v, want %d", len(entries), err, n+4)
		}
	})
	report("list of all", took, calls)
	took, calls = storage.cost(func() {
		if ended, err := s.EndUser(t.Context(), UserKey("https://auth.example.com", "sub-bob"), "revoked"); ended != 3 || err != nil {
			t.Errorf("EndUser = %d, %v, want 3", ended, err)
		}
	})
	report("end of all sessions of a user", took, calls)
	s.Close()

	// The worst case for a pass: all sessions expire at once.
	time.Sleep(DefaultLifetime + 2*sweepGrace)
	rounds := make([]time.Duration, 0, sweepRounds)
	before := storage.calls.Load()
	for range sweepRounds {
		took, _ := storage.cost(func() {
			if err := maker.Sweep(t.Context()); err != nil {
				t.Error(err)
			}
		})
		rounds = append(rounds, took)
		time.Sleep(sweepEvery)
	}
	left := len(storage.folders[sessionsPath(testGate)+"/"+folderHeads])
	report(fmt.Sprintf("sweep, the longest of %d rounds", len(rounds)), slices.Max(rounds), storage.calls.Load()-before)
	if left != 0 || slices.Max(rounds) > sweepLimit {
		t.Errorf("%d sessions left after a day, longest round %s, want 0 and at most %s", left, slices.Max(rounds), sweepLimit)
	}
}

func heapInUse() uint64 {
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return stats.HeapAlloc
}
