// Update of sessions that have ended or are ending.

package session

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
)

func TestUpdateOfAnEndedSession(t *testing.T) {
	unwanted := func(t *testing.T) func(*Record) {
		t.Helper()
		return func(*Record) { t.Error("change was called") }
	}
	t.Run("on this node", func(t *testing.T) {
		s := newTestStore(newFakeStorage())
		_, session := create(t, s, "ada")
		_ = s.End(t.Context(), session.ID(), "x")
		if err := s.Update(t.Context(), session, unwanted(t)); !errors.Is(err, ErrEnded) {
			t.Errorf("Update: %v, want %v", err, ErrEnded)
		}
	})
	t.Run("on another node", func(t *testing.T) {
		storage := newFakeStorage()
		a, b := newTestStore(storage), newTestStore(storage)
		ticket, session := create(t, a, "ada")
		there := mustOpen(t, b, ticket)
		_ = a.End(t.Context(), session.ID(), "sign_out")
		if err := b.Update(t.Context(), there, unwanted(t)); !errors.Is(err, ErrEnded) || there.endReason() != "sign_out" {
			t.Errorf("Update: %v, reason %q, want %v, %q", err, there.endReason(), ErrEnded, "sign_out")
		}
		mustNot(t, b, ticket)
	})
	t.Run("unreadable tombstone", func(t *testing.T) {
		storage := newFakeStorage()
		s := newTestStore(storage)
		_, session := create(t, s, "ada")
		storage.put(storageKey(folderTombstones, session.ID()), nil) // empty
		if err := s.Update(t.Context(), session, unwanted(t)); !errors.Is(err, ErrEnded) || session.endReason() != ReasonElsewhere {
			t.Errorf("Update: %v, reason %q, want %v, %q", err, session.endReason(), ErrEnded, ReasonElsewhere)
		}
	})
	t.Run("removed from storage", func(t *testing.T) {
		storage := newFakeStorage()
		s := newTestStore(storage)
		_, session := create(t, s, "ada")
		v, _ := s.configured()
		_ = v.remove(t.Context(), session.ID())
		if err := s.Update(t.Context(), session, unwanted(t)); !errors.Is(err, ErrEnded) || session.endReason() != ReasonRemoved {
			t.Errorf("Update: %v, reason %q, want %v, %q", err, session.endReason(), ErrEnded, ReasonRemoved)
		}
		if len(storage.under(folderRecords)) != 0 {
			t.Error("Update stored the removed record again")
		}
	})
	t.Run("during change", func(t *testing.T) {
		storage := newFakeStorage()
		s := newTestStore(storage)
		_, session := create(t, s, "ada")
		err := s.Update(t.Context(), session, func(r *Record) {
			r.Upstream.ID = "x"
			_ = s.End(t.Context(), session.ID(), "x")
		})
		if !errors.Is(err, ErrEnded) || len(storage.under(folderRecords)) != 0 {
			t.Errorf("Update: %v, records %v, want %v and none", err, storage.under(folderRecords), ErrEnded)
		}
	})
	t.Run("on another node during change", func(t *testing.T) {
		storage := newFakeStorage()
		a, b := newTestStore(storage), newTestStore(storage)
		ticket, session := create(t, a, "ada")
		there := mustOpen(t, b, ticket)
		err := b.Update(t.Context(), there, func(r *Record) {
			r.Upstream.ID = "x"
			_ = a.End(t.Context(), session.ID(), "sign_out")
		})
		if !errors.Is(err, ErrEnded) || len(storage.under(folderRecords)) != 0 || !there.Ended() {
			t.Errorf("Update: %v, records %v, want %v and none", err, storage.under(folderRecords), ErrEnded)
		}
	})
}

// In whatever order updates and an end run, afterwards no node opens the session
// and no record is left.
func TestUpdateAndEndRace(t *testing.T) {
	storage := newFakeStorage()
	a, b := newTestStore(storage), newTestStore(storage)
	for i := range 300 {
		ticket, session := create(t, a, fmt.Sprint("user", i))
		there := mustOpen(t, b, ticket)
		var wait sync.WaitGroup
		for _, s := range []*Store{a, b} {
			wait.Go(func() {
				mine := session
				if s == b {
					mine = there
				}
				for range 3 {
					err := s.Update(t.Context(), mine, func(r *Record) { r.Upstream.ID += "+" })
					if err != nil && !errors.Is(err, ErrEnded) {
						t.Error(err)
					}
				}
			})
		}
		wait.Go(func() { _ = a.End(t.Context(), session.ID(), "x") })
		wait.Go(func() { _, _ = b.Lookup(t.Context(), ticket) })
		wait.Wait()
		_ = poll(t.Context(), b)
		for _, s := range []*Store{a, b, newTestStore(storage)} {
			mustNot(t, s, ticket)
		}
		if left := storage.under(folderRecords); len(left) != 0 {
			t.Fatalf("round %d left records: %s", i, strings.Join(left, " "))
		}
	}
}
