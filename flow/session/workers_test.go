package session

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// After kill -9 every session opens with its ticket, last used at most Idle/20
// before it was.
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
			t.Errorf("%d writes in five hours at one an hour", n)
		}
		restarted := newTestStore(storage)
		restarted.Configure(storage, limits)
		entries, err := restarted.List(t.Context())
		if err != nil || len(entries) != 1 {
			t.Fatalf("List = %v, %v", entries, err)
		}
		if stale := last.Sub(entries[0].LastSeen); stale < 0 || stale > limits.Idle/20 {
			t.Errorf("the last use is %v behind", stale)
		}
		time.Sleep(limits.Idle - limits.Idle/20 - time.Second)
		if got := mustOpen(t, restarted, ticket); got.ID() != session.ID() {
			t.Error("another id after the restart")
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
		mustOpen(t, other, ticket) // another node knows it is in use
		if err := other.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		mustOpen(t, s, ticket)
		time.Sleep(time.Hour + memoryEvery)
		synctest.Wait()
		select {
		case <-cancelled:
		default:
			t.Error("a stream goes on after the session's lifetime")
		}
		if session.endReason() != ReasonLifetime {
			t.Errorf("reason %q", session.endReason())
		}
	})
}

func TestHeldSessionIsNotIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		storage := newFakeStorage()
		s := newTestStore(storage)
		s.Configure(storage, Limits{Idle: time.Hour, Lifetime: DefaultLifetime})
		ticket, session := create(t, s, "ada")
		hold(session, func() { t.Error("the stream was cut") })
		time.Sleep(2 * time.Hour) // without workers that would magic the use
		if entries, err := s.List(t.Context()); len(entries) != 1 || err != nil {
			t.Errorf("List = %v, %v", entries, err)
		}
		if mustOpen(t, s, ticket) != session {
			t.Error("the held session was replaced")
		}
	})
}

func TestReleaseIsUse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		storage := newFakeStorage()
		s := newTestStore(storage)
		s.Configure(storage, Limits{Idle: time.Hour, Lifetime: DefaultLifetime})
		ticket, session := create(t, s, "ada")
		release := hold(session, func() {})
		time.Sleep(50 * time.Minute)
		release()
		time.Sleep(50 * time.Minute)
		mustOpen(t, s, ticket)
	})
}

func TestTendLetsTheUnusedGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		storage := newFakeStorage()
		s := newTestStore(storage)
		s.Configure(storage, Limits{Idle: time.Hour, Lifetime: DefaultLifetime})
		create(t, s, "ada")
		time.Sleep(2 * time.Hour)
		if err := s.maintainMemory(t.Context()); err != nil || s.Len() != 0 {
			t.Errorf("tend: %v, %d in memory", err, s.Len())
		}
	})
}

// A slow or absent storage must not slow the requests that magic a session used.
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
		t.Error("a last use that found no room counts as written")
	}
	<-s.lastUses
	mustOpen(t, s, ticket)
	if session.written.Load() == 0 || len(s.lastUses) != cap(s.lastUses) {
		t.Error("the next use was not queued")
	}
	storage.away.Store(true)
	if err := s.writeLastUse(t.Context()); err != nil || session.written.Load() != 0 {
		t.Error("a last use that could not be stored counts as written")
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
		t.Errorf("storeLastUse: %v, left %v", err, storage.under(folderLastUses))
	}
}

func TestSweepRemovesWhatExpired(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		storage := newFakeStorage()
		s := newTestStore(storage)
		s.Configure(storage, Limits{Idle: 10 * time.Hour, Lifetime: 100 * time.Hour})
		pass := func(hours int) { // workers would poll 1800 times an hour
			for range hours {
				time.Sleep(time.Hour)
				for len(s.lastUses) > 0 {
					_ = s.writeLastUse(t.Context())
				}
				if err := s.Sweep(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
		}
		used, session := create(t, s, "used")
		create(t, s, "idle")
		_, ended := create(t, s, "ended")
		_ = s.End(t.Context(), ended.ID(), "x")
		for range 14 {
			pass(1)
			mustOpen(t, s, used)
		}
		if n := len(storage.under(folderHeads)); n != 1 || len(storage.under(folderRecords)) != 1 {
			t.Errorf("%d heads after the idle time", n)
		}
		if len(storage.under(folderTombstones)) != 1 {
			t.Error("the tombstone was swept within a day")
		}
		for range 12 {
			pass(1)
			mustOpen(t, s, used)
		}
		if len(storage.under(folderTombstones)) != 0 {
			t.Error("the tombstone was not swept after a day")
		}
		pass(10)
		if session.Ended() || len(storage.under(folderHeads)) != 1 {
			t.Error("an idle session was ended while another node may still have a use to tell")
		}
		pass(100)
		for _, folder := range []string{folderHeads, folderRecords, folderLastUses, folderTombstones} {
			if left := storage.under(folder); len(left) != 0 {
				t.Errorf("left %v", left)
			}
		}
	})
}

func TestSweepIsByOneNodeAndInParts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		storage := newFakeStorage()
		a, b := newTestStore(storage), newTestStore(storage)
		const sessions = sweepMinRound*2 + 500
		for i := range sessions {
			create(t, a, fmt.Sprint("user", i))
		}
		time.Sleep(DefaultLifetime + 2*sweepGrace)
		for round, want := range []int{sessions - sweepMinRound, sessions - 2*sweepMinRound, 0} {
			for _, s := range []*Store{a, b} { // b finds that a just did
				if err := s.Sweep(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			if n := len(storage.under(folderHeads)); n != want {
				t.Errorf("round %d: %d heads, want %d", round, n, want)
			}
			time.Sleep(sweepEvery)
		}
		create(t, a, "last")
		time.Sleep(DefaultLifetime + 2*sweepGrace)
		_ = storage.Lock(t.Context(), sessionsPath(testGate)+"/sweep.json") // another node is sweeping
		if err := b.Sweep(t.Context()); err != nil || len(storage.under(folderHeads)) != 1 {
			t.Errorf("sweep under another's lock: %v", err)
		}
	})
}

// However many sessions there are, all are read within a day, and each round
// ends in time on a slow storage and is followed by the next part.
func TestSweepPassesInADay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		storage := newFakeStorage()
		s := newTestStore(storage)
		const sessions = sweepRounds*sweepMinRound + 2*sweepRounds
		seedHeads(t, s, storage.put, sessions, time.Now())
		time.Sleep(DefaultLifetime + 2*sweepGrace)
		for range sweepRounds {
			if err := s.Sweep(t.Context()); err != nil {
				t.Fatal(err)
			}
			time.Sleep(sweepEvery)
		}
		if left := len(storage.under(folderHeads)); left != 0 {
			t.Errorf("%d of %d are left after a day", left, sessions)
		}

		const slow = 4000
		seedHeads(t, s, storage.put, slow, time.Now().Add(-DefaultLifetime-2*sweepGrace))
		storage.latency = time.Second // and it ignores its context
		rounds := 0
		for left := slow; left > slow/2; rounds++ {
			began := time.Now()
			if err := s.Sweep(t.Context()); err != nil && !errors.Is(err, context.DeadlineExceeded) {
				t.Fatal(err)
			}
			if took := time.Since(began); took > sweepLimit+time.Minute {
				t.Fatalf("a round took %s", took)
			}
			after := len(storage.under(folderHeads))
			if after >= left {
				t.Fatalf("round %d removed nothing, %d are left", rounds, after)
			}
			left = after
			time.Sleep(sweepEvery)
		}
	})
}

// seedHeads stores heads of sessions that were made at a time, and whose
// records nobody needs.
func seedHeads(t *testing.T, s *Store, put func(string, []byte), n int, created time.Time) {
	t.Helper()
	keys, err := s.Keyring(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	rec := recordOf("ada")
	rec.Created = created
	head := newHead(&rec, created.Add(DefaultLifetime), s.node)
	for i := range n {
		var id ID
		binary.BigEndian.PutUint64(id[:], uint64(i)*0x9E3779B97F4A7C15) // spread, as hashes are
		binary.BigEndian.PutUint64(id[8:], uint64(i))
		value, err := sealHead(keys, id, &head)
		if err != nil {
			t.Fatal(err)
		}
		put(storageKey(folderHeads, id), value)
	}
}

// A node that cannot list must not keep the others from sweeping.
func TestSweepOfABlindNodeDoesNotCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		storage := newFakeStorage()
		blind := &cutStorage{fakeStorage: storage}
		blind.off.Store(true)
		a, b := newTestStore(storage), newTestStore(blind)
		create(t, a, "ada")
		time.Sleep(DefaultLifetime + 2*sweepGrace)
		if err := b.Sweep(t.Context()); !errors.Is(err, errAway) {
			t.Errorf("sweep: %v", err)
		}
		if err := a.Sweep(t.Context()); err != nil || len(storage.under(folderHeads)) != 0 {
			t.Errorf("sweep: %v, left %v", err, storage.under(folderHeads))
		}
	})
}

func TestSweepRewritesABrokenTombstone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		storage := newFakeStorage()
		s := newTestStore(storage)
		ticket, session := create(t, s, "ada")
		storage.put(storageKey(folderTombstones, session.ID()), []byte("{"))
		for range 3 {
			if err := s.Sweep(t.Context()); err != nil {
				t.Fatal(err)
			}
			mustNot(t, newTestStore(storage), ticket)
			time.Sleep(tombstoneLife)
		}
		if len(storage.under(folderTombstones)) != 0 {
			t.Error("it stays for ever")
		}
	})
}

func TestPart(t *testing.T) {
	ids := func(n int) (ids []ID) {
		for i := range n {
			ids = append(ids, ID{byte(i >> 8), byte(i)})
		}
		return ids
	}
	got, next := nextPart(ids(sweepMinRound+5), "", sweepMinRound)
	if len(got) != sweepMinRound || next != got[sweepMinRound-1].String() {
		t.Errorf("%d ids, next %q", len(got), next)
	}
	if got, next = nextPart(ids(sweepMinRound+5), next, sweepMinRound); len(got) != 5 || next != "" {
		t.Errorf("%d ids, next %q", len(got), next)
	}
	if got, next = nextPart(ids(3), ID{0xff}.String(), sweepMinRound); len(got) != 0 || next != "" {
		t.Errorf("%d ids, next %q", len(got), next)
	}
	if got, _ = nextPart(ids(3), "not an id", sweepMinRound); len(got) != 3 {
		t.Errorf("%d ids", len(got))
	}
}

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
