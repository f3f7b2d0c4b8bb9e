package session

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// watched is a stream that remembers being aborted.
type watched struct{ aborted atomic.Bool }

func (w *watched) Abort() { w.aborted.Store(true) }

// A renewed session goes on with the streams of the one before it: they end
// with the new one, or by themselves.
func TestHandOver(t *testing.T) {
	s := newTestStore(newFakeStorage())
	_, old := create(t, s, "ada")
	_, successor := create(t, s, "ada")
	done, open, late := &watched{}, &watched{}, &watched{}
	old.Hold(done)
	old.Hold(open)
	old.HandOver(successor)
	_ = s.End(t.Context(), old.ID(), "renewed")
	if done.aborted.Load() || open.aborted.Load() {
		t.Error("the end of the old session aborted what it had handed over")
	}
	old.Hold(late)
	if !late.aborted.Load() {
		t.Error("an ended session holds")
	}
	old.Release(done) // by the request, which knows only the old session
	if successor.held.Load() != 1 {
		t.Errorf("%d held", successor.held.Load())
	}
	_ = s.End(t.Context(), successor.ID(), "x")
	if done.aborted.Load() || !open.aborted.Load() {
		t.Error("not the open one was aborted")
	}
}

// A release that comes while the streams are handed over is not lost: the new
// session would count as in use for ever.
func TestHandOverAndRelease(t *testing.T) {
	s := newTestStore(newFakeStorage())
	for range 500 {
		_, old := create(t, s, "ada")
		_, successor := create(t, s, "ada")
		var wg sync.WaitGroup
		for range 4 {
			h := &watched{}
			old.Hold(h)
			wg.Go(func() { old.Release(h) })
		}
		wg.Go(func() { old.HandOver(successor) })
		wg.Wait()
		if old.held.Load() != 0 || successor.held.Load() != 0 {
			t.Fatalf("%d and %d held", old.held.Load(), successor.held.Load())
		}
	}
}

// To a session that ended meanwhile nothing is handed over.
func TestHandOverToAnEndedSession(t *testing.T) {
	s := newTestStore(newFakeStorage())
	_, old := create(t, s, "ada")
	_, successor := create(t, s, "ada")
	open := &watched{}
	old.Hold(open)
	_ = s.End(t.Context(), successor.ID(), "x")
	old.HandOver(successor)
	if !open.aborted.Load() || successor.held.Load() != 0 {
		t.Error("the stream goes on")
	}
}

// Whoever is told of ends hears of each once, by whatever way it came, with
// what the session held.
func TestOnEnd(t *testing.T) {
	storage := newFakeStorage()
	type end struct {
		user, reason string
		inProgress   bool
	}
	here, there := []end{}, []end{}
	s, other := newTestStore(storage), newTestStore(storage)
	collect := func(to *[]end) func(*Session, string, bool) {
		return func(session *Session, reason string, inProgress bool) {
			if !session.Ended() || session.endReason() != reason {
				t.Errorf("told of a session that lives, or died of %q", session.endReason())
			}
			*to = append(*to, end{session.Record().Identity.Username, reason, inProgress})
		}
	}
	s.OnEnd(collect(&here))
	other.OnEnd(collect(&there))
	ticket, ada := create(t, s, "ada")
	adaThere := mustOpen(t, other, ticket)
	_ = adaThere.Hold(&watched{})
	_, bob := create(t, s, "bob")
	for range 2 {
		_ = s.End(t.Context(), ada.ID(), "signed_out")
	}
	if _, err := s.EndUser(t.Context(), UserKey("https://auth.example.com", bob.Record().Identity.Subject), "by_admin"); err != nil {
		t.Fatal(err)
	}
	if err := poll(t.Context(), other); err != nil {
		t.Fatal(err)
	}
	if len(here) != 2 || here[0] != (end{"ada", "signed_out", false}) || here[1] != (end{"bob", "by_admin", false}) {
		t.Errorf("here %+v", here)
	}
	if len(there) != 1 || there[0] != (end{"ada", "signed_out", true}) {
		t.Errorf("there %+v", there)
	}
}

func TestHeld(t *testing.T) {
	s := newTestStore(newFakeStorage())
	create(t, s, "ada")
	_, bob := create(t, s, "bob")
	h := &watched{}
	bob.Hold(h)
	var held []string
	s.Held(func(session *Session) { held = append(held, session.Record().Identity.Username) })
	bob.Release(h)
	s.Held(func(*Session) { t.Error("released and held") })
	if len(held) != 1 || held[0] != "bob" {
		t.Errorf("held %v", held)
	}
}

// Without its lock a session's tokens are not touched: another node may.
func TestUpdateLockedWithoutStorage(t *testing.T) {
	storage := newFakeStorage()
	s := newTestStore(storage)
	ticket, session := create(t, s, "ada")
	storage.away.Store(true)
	err := s.UpdateLocked(t.Context(), session, func(*Record) { t.Error("changed without a lock") })
	if err == nil || session.Ended() {
		t.Errorf("got %v", err)
	}
	storage.away.Store(false)
	at := time.Date(2026, 11, 25, 6, 0, 0, 0, time.UTC)
	if err := s.UpdateLocked(t.Context(), session, func(r *Record) { r.UnprovenSince = at }); err != nil {
		t.Fatal(err)
	}
	if got := mustOpen(t, newTestStore(storage), ticket).Record().UnprovenSince; !got.Equal(at) {
		t.Errorf("stored %s", got)
	}
}
