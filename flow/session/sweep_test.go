// The sweep: what it deletes, in parts, on one node at a time.

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

func TestSweepRemovesExpiredSessions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		storage := newFakeStorage()
		s := newTestStore(storage)
		s.Configure(storage, Limits{Idle: 10 * time.Hour, Lifetime: 100 * time.Hour})
		pass := func(hours int) { // Run would poll 1800 times an hour
			for range hours {
				time.Sleep(time.Hour)
				for len(s.lastUses) > 0 {
					_ = s.writeLastUses(t.Context())
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
			t.Errorf("after the idle timeout: %d heads, %d records, want 1, 1", n, len(storage.under(folderRecords)))
		}
		if len(storage.under(folderTombstones)) != 1 {
			t.Errorf("%d tombstones within a day, want 1", len(storage.under(folderTombstones)))
		}
		for range 12 {
			pass(1)
			mustOpen(t, s, used)
		}
		if len(storage.under(folderTombstones)) != 0 {
			t.Errorf("%d tombstones after a day, want 0", len(storage.under(folderTombstones)))
		}
		pass(10)
		if session.Ended() || len(storage.under(folderHeads)) != 1 {
			t.Error("an idle session was swept while another node may have yet to write a later use")
		}
		pass(100)
		for _, folder := range []string{folderHeads, folderRecords, folderLastUses, folderTombstones} {
			if left := storage.under(folder); len(left) != 0 {
				t.Errorf("left in %s: %v, want nothing", folder, left)
			}
		}
	})
}

func TestSweepRunsOnOneNodeInParts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		storage := newFakeStorage()
		a, b := newTestStore(storage), newTestStore(storage)
		const sessions = sweepMinRound*2 + 500
		for i := range sessions {
			create(t, a, fmt.Sprint("user", i))
		}
		time.Sleep(DefaultLifetime + 2*sweepGrace)
		for round, want := range []int{sessions - sweepMinRound, sessions - 2*sweepMinRound, 0} {
			for _, s := range []*Store{a, b} { // b finds that a has just done it
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
			t.Errorf("Sweep while another node has the lock: %v, %d heads, want nil, 1", err, len(storage.under(folderHeads)))
		}
	})
}

// All sessions are read within a day, however many there are. On a slow storage
// each round ends in time, and the next one continues where it stopped.
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
			t.Errorf("%d of %d sessions left after a day, want 0", left, sessions)
		}

		const slow = 4000
		seedHeads(t, s, storage.put, slow, time.Now().Add(-DefaultLifetime-2*sweepGrace))
		storage.latency = time.Second // and ignores its context
		rounds := 0
		for left := slow; left > slow/2; rounds++ {
			began := time.Now()
			if err := s.Sweep(t.Context()); err != nil && !errors.Is(err, context.DeadlineExceeded) {
				t.Fatal(err)
			}
			if took := time.Since(began); took > sweepLimit+time.Minute {
				t.Fatalf("a round took %s, want at most %s", took, sweepLimit+time.Minute)
			}
			after := len(storage.under(folderHeads))
			if after >= left {
				t.Fatalf("round %d removed nothing, %d sessions left", rounds, after)
			}
			left = after
			time.Sleep(sweepEvery)
		}
	})
}

// seedHeads stores n heads without records, created at the given time.
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

// A node that cannot list storage must not keep other nodes from sweeping.
func TestSweepWithoutListingDoesNotCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		storage := newFakeStorage()
		unlisted := &cutStorage{fakeStorage: storage}
		unlisted.off.Store(true)
		a, b := newTestStore(storage), newTestStore(unlisted)
		create(t, a, "ada")
		time.Sleep(DefaultLifetime + 2*sweepGrace)
		if err := b.Sweep(t.Context()); !errors.Is(err, errAway) {
			t.Errorf("Sweep without listing: %v, want %v", err, errAway)
		}
		if err := a.Sweep(t.Context()); err != nil || len(storage.under(folderHeads)) != 0 {
			t.Errorf("Sweep on the other node: %v, heads %v, want nil and none", err, storage.under(folderHeads))
		}
	})
}

func TestSweepRewritesUnreadableTombstones(t *testing.T) {
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
			t.Error("the unreadable tombstone was never removed")
		}
	})
}

func TestNextPart(t *testing.T) {
	ids := func(n int) (ids []ID) {
		for i := range n {
			ids = append(ids, ID{byte(i >> 8), byte(i)})
		}
		return ids
	}
	got, next := nextPart(ids(sweepMinRound+5), "", sweepMinRound)
	if len(got) != sweepMinRound || next != got[sweepMinRound-1].String() {
		t.Errorf("nextPart = %d IDs, next %q", len(got), next)
	}
	if got, next = nextPart(ids(sweepMinRound+5), next, sweepMinRound); len(got) != 5 || next != "" {
		t.Errorf("nextPart = %d IDs, next %q", len(got), next)
	}
	if got, next = nextPart(ids(3), ID{0xff}.String(), sweepMinRound); len(got) != 0 || next != "" {
		t.Errorf("nextPart = %d IDs, next %q", len(got), next)
	}
	if got, _ = nextPart(ids(3), "not an id", sweepMinRound); len(got) != 3 {
		t.Errorf("nextPart after text that is no ID = %d IDs, want 3", len(got))
	}
}
