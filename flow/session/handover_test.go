// Streams: hand-over to a newer session, the OnEnd callback, Held, UpdateOnce.

package session

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// watched is a Holder that records whether it was aborted.
type watched struct{ aborted atomic.Bool }

func (w *watched) Abort() { w.aborted.Store(true) }

// A session that replaces another takes over its streams: they end with the
// new session, or on their own.
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
		t.Error("the end of the old session aborted streams that it had handed over")
	}
	old.Hold(late)
	if !late.aborted.Load() {
		t.Error("Hold on an ended session did not abort the stream")
	}
	old.Release(done) // by a request that knows only the old session
	if successor.held.Load() != 1 {
		t.Errorf("the new session holds %d streams after a release, want 1", successor.held.Load())
	}
	_ = s.End(t.Context(), successor.ID(), "x")
	if done.aborted.Load() || !open.aborted.Load() {
		t.Errorf("the end aborted released: %v, open: %v, want only the open stream", done.aborted.Load(), open.aborted.Load())
	}
}

// A release during the hand-over must not be lost: the new session would count
// as in use until its lifetime ends.
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
			t.Fatalf("the old session holds %d streams, the new one %d, want 0 and 0", old.held.Load(), successor.held.Load())
		}
	}
}

// If the new session has already ended, the streams end instead.
func TestHandOverToAnEndedSession(t *testing.T) {
	s := newTestStore(newFakeStorage())
	_, old := create(t, s, "ada")
	_, successor := create(t, s, "ada")
	open := &watched{}
	old.Hold(open)
	_ = s.End(t.Context(), successor.ID(), "x")
	old.HandOver(successor)
	if !open.aborted.Load() || successor.held.Load() != 0 {
		t.Error("the stream was not aborted")
	}
}

// OnEnd is called once per session and node, whichever node ended it, and is
// told whether the session had a stream.
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
				t.Errorf("OnEnd called with reason %q; session ended %v with reason %q", reason, session.Ended(), session.endReason())
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
		t.Errorf("OnEnd calls on the node of both ends: %+v, want ada signed_out, bob by_admin", here)
	}
	if len(there) != 1 || there[0] != (end{"ada", "signed_out", true}) {
		t.Errorf("OnEnd calls on the other node: %+v, want ada signed_out with a stream in progress", there)
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
	s.Held(func(*Session) { t.Error("Held visited a session after its release") })
	if len(held) != 1 || held[0] != "bob" {
		t.Errorf("Held visited %v, want bob", held)
	}
}

// Without the lock, tokens are not touched: another node may be refreshing them.
func TestUpdateOnceWithoutStorage(t *testing.T) {
	storage := newFakeStorage()
	s := newTestStore(storage)
	ticket, session := create(t, s, "ada")
	storage.away.Store(true)
	err := s.UpdateOnce(t.Context(), session, always, func(*Record) { t.Error("change was called without the lock") })
	if err == nil || session.Ended() {
		t.Errorf("UpdateOnce = %v, session ended %v, want an error and a session that continues", err, session.Ended())
	}
	storage.away.Store(false)
	at := time.Date(2026, 11, 25, 6, 0, 0, 0, time.UTC)
	if err := s.UpdateOnce(t.Context(), session, always, func(r *Record) { r.UnprovenSince = at }); err != nil {
		t.Fatal(err)
	}
	if got := mustOpen(t, newTestStore(storage), ticket).Record().UnprovenSince; !got.Equal(at) {
		t.Errorf("stored UnprovenSince %s, want %s", got, at)
	}
}
