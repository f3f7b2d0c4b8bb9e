// Ends that storage could not take at first.

package session

import (
	"errors"
	"fmt"
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
			t.Fatalf("End while storage is away: %v, want %v", err, errAway)
		}
		mustNot(t, s, ticket)
		time.Sleep(time.Minute)
		if !s.Away() {
			t.Error("Away = false while storage is away")
		}
		mustNot(t, s, ticket)
		mustOpen(t, s, other)
		storage.away.Store(false)
		s.memory.absent = absentIDs{capacity: 1} // forget the negative cache; the queue still has the end
		mustNot(t, s, ticket)
		time.Sleep(pollEvery)
		synctest.Wait()
		if s.Away() {
			t.Error("Away = true after storage came back")
		}
		mustNot(t, newTestStore(storage), ticket)
		mustOpen(t, newTestStore(storage), other)
		if n := len(storage.under(folderTombstones)); n != 1 {
			t.Errorf("%d tombstones stored, want 1", n)
		}
		if len(s.retries.ends) != 0 {
			t.Error("the end is still queued after it was stored")
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
			t.Fatalf("EndAll while storage is away = %d, %v, want 1, %v", n, err, errAway)
		}
		mustNot(t, a, inA)
		mustOpen(t, b, inB) // which cannot learn of it
		time.Sleep(time.Minute)
		storage.away.Store(false)
		after, _ := create(t, b, "ada") // signs in before node a has stored the end
		time.Sleep(2*pollEvery + time.Millisecond)
		synctest.Wait()
		for _, s := range []*Store{a, b, newTestStore(storage)} {
			mustNot(t, s, inA)
			mustNot(t, s, inB)
			mustOpen(t, s, after)
		}
		if len(a.retries.selections) != 0 {
			t.Error("EndAll is still queued after it was stored")
		}
	})
}

// The tombstone is stored but the record cannot be deleted: the ticket opens
// nothing on any node, and the sweep deletes the rest later.
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
			t.Errorf("List = %v, %v, want no entries", entries, err)
		}
		storage.before = nil
		// node a stops here; a day later node b sweeps
		time.Sleep(tombstoneLife + time.Minute)
		if err := b.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n := len(storage.under(folderRecords)) + len(storage.under(folderHeads)) + len(storage.under(folderTombstones)); n != 0 {
			t.Errorf("%d values left in storage, want 0", n)
		}
	})
}

// A node could not store that it signed a user in to the application again. Before it
// tries once more, another node refreshes the tokens. The first node's record must not
// bring back the old ones: their refresh token is used, and a second use would have the
// provider revoke the whole family.
func TestUnsavedRecordBringsBackNoTokens(t *testing.T) {
	storage := newFakeStorage()
	a, b := newTestStore(storage), newTestStore(storage)
	ticket, atA := create(t, a, "ada")
	atB := mustOpen(t, b, ticket)
	for i, method := range []string{"lock", "store"} { // read-only, and full
		storage.before = func(operation, _ string) error {
			if operation == method {
				return errAway
			}
			return nil
		}
		for range 2 {
			if err := a.Update(t.Context(), atA, func(r *Record) { r.Upstream.ID += "'" }); !errors.Is(err, errAway) {
				t.Fatalf("%s fails: Update = %v, want %v", method, err, errAway)
			}
		}
		storage.before = nil
		fresh, upstream := fmt.Sprint("fresh", i), atA.Record().Upstream.ID
		for range 3 {
			err := b.UpdateOnce(t.Context(), atB, func(*Record) bool { return true }, func(r *Record) { r.Tokens.Access, r.Tokens.Refresh = fresh, fresh })
			if err != nil {
				t.Fatal(err)
			}
		}
		if err := a.retry(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := b.Update(t.Context(), atB, func(*Record) {}); err != nil {
			t.Fatal(err)
		}
		for name, r := range map[string]*Record{"memory": atA.Record(), "the other node": atB.Record(), "storage": mustOpen(t, newTestStore(storage), ticket).Record()} {
			if r.Tokens.Refresh != fresh || r.Upstream.ID != upstream {
				t.Errorf("%s fails: %s has the token %q and the session %q, want %q and %q", method, name, r.Tokens.Refresh, r.Upstream.ID, fresh, upstream)
			}
		}
	}
}
