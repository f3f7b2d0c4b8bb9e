package session

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

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
