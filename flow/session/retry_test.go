package session

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestEndWithStorageAwayIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		storage := newFakeStorage()
		s := newTestStore(storage)
		start(t, s)
		ticket, session := create(t, s, "ada")
		other, _ := create(t, s, "bob")
		storage.away.Store(true)
		if err := s.End(t.Context(), session.ID(), "sign_out"); !errors.Is(err, errAway) {
			t.Fatalf("End: %v", err)
		}
		mustNot(t, s, ticket)
		time.Sleep(time.Minute)
		if !s.Away() {
			t.Error("the store does not know that storage is away")
		}
		mustNot(t, s, ticket)
		mustOpen(t, s, other)
		storage.away.Store(false)
		s.memory.absent = absentIDs{capacity: 1} // forgotten, but due
		mustNot(t, s, ticket)
		time.Sleep(pollEvery)
		synctest.Wait()
		if s.Away() {
			t.Error("storage is back")
		}
		mustNot(t, newTestStore(storage), ticket)
		mustOpen(t, newTestStore(storage), other)
		if n := len(storage.under(folderTombstones)); n != 1 {
			t.Errorf("%d tombstones", n)
		}
		if len(s.retries.ends) != 0 {
			t.Error("the end is still due")
		}
	})
}

func TestEndAllWithStorageAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		storage := newFakeStorage()
		a, b := newTestStore(storage), newTestStore(storage)
		start(t, a)
		start(t, b)
		inA, _ := create(t, a, "ada")
		inB, _ := create(t, b, "bob")
		storage.away.Store(true)
		if n, err := a.EndAll(t.Context(), "x"); n != 1 || !errors.Is(err, errAway) {
			t.Fatalf("EndAll = %d, %v", n, err)
		}
		mustNot(t, a, inA)
		mustOpen(t, b, inB) // which cannot know
		time.Sleep(time.Minute)
		storage.away.Store(false)
		after, _ := create(t, b, "ada") // signs in again before a has told storage
		time.Sleep(2*pollEvery + time.Millisecond)
		synctest.Wait()
		for _, s := range []*Store{a, b, newTestStore(storage)} {
			mustNot(t, s, inA)
			mustNot(t, s, inB)
			mustOpen(t, s, after)
		}
		if len(a.retries.selections) != 0 {
			t.Error("the end of all is still due")
		}
	})
}

// The tombstone is written but the record cannot be removed: the ticket opens
// nothing on any node, and the rest is removed later.
func TestInterruptedEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		storage := newFakeStorage()
		a, b := newTestStore(storage), newTestStore(storage)
		ticket, session := create(t, a, "ada")
		storage.before = func(operation, _ string) error {
			if operation == "delete" {
				return errAway
			}
			return nil
		}
		if err := a.End(t.Context(), session.ID(), "sign_out"); !errors.Is(err, errAway) {
			t.Fatal(err)
		}
		mustNot(t, b, ticket)
		if entries, err := b.List(t.Context()); len(entries) != 0 || err != nil {
			t.Errorf("List = %v, %v", entries, err)
		}
		storage.before = nil
		// a dies here; a day later the sweep removes what is left
		time.Sleep(tombstoneLife + time.Minute)
		if err := b.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n := len(storage.under(folderRecords)) + len(storage.under(folderHeads)) + len(storage.under(folderTombstones)); n != 0 {
			t.Errorf("%d values are left", n)
		}
	})
}
