// A storage that is slow: a second for each call.

package session

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// While a node delivers many ends that storage did not take before, it still follows
// those of other nodes.
func TestSlowRetriesDelayNoEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		storage := newFakeStorage()
		a, b := newTestStore(storage), newTestStore(storage)
		queued := make([]ID, 0, 60)
		for range 60 {
			_, session := create(t, a, "ada")
			queued = append(queued, session.ID())
		}
		ticket, session := create(t, b, "bob")
		there := mustOpen(t, a, ticket)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		storage.away.Store(true)
		for _, id := range queued {
			_ = a.End(t.Context(), id, "sign_out")
		}
		storage.away.Store(false)
		storage.latency = time.Second
		go a.Run(ctx)
		time.Sleep(10 * time.Second)
		_ = b.End(t.Context(), session.ID(), "sign_out")
		began := time.Now()
		for !there.Ended() && time.Since(began) < time.Hour {
			time.Sleep(time.Second)
		}
		if took := time.Since(began); took > 20*time.Second {
			t.Errorf("the end on another node was followed after %s, want 20 s at most", took)
		}
		time.Sleep(20 * time.Minute)
		if n := a.Unpersisted(); n != 0 {
			t.Errorf("%d ends are not delivered, want none", n)
		}
		a.Close()
		cancel()
		time.Sleep(time.Minute) // until the last calls to the slow storage have returned
	})
}

// An operator ends all sessions on one node. The others end theirs within seconds,
// and not one after the other.
func TestManyEndsFromASlowStorage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		storage := newFakeStorage()
		a, b := newTestStore(storage), newTestStore(storage)
		there := make([]*Session, 0, 300)
		for range 300 {
			ticket, _ := create(t, a, "ada")
			there = append(there, mustOpen(t, b, ticket))
		}
		if _, err := a.EndAll(t.Context(), "operator"); err != nil {
			t.Fatal(err)
		}
		storage.latency = time.Second
		began := time.Now()
		if err := b.followEnds(t.Context()); err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took > 15*time.Second {
			t.Errorf("following 300 ends took %s, want 15 s at most", took)
		}
		for _, session := range there {
			if !session.Ended() || session.endReason() != "operator" {
				t.Fatalf("a session has ended: %v, for %q, want true, for operator", session.Ended(), session.endReason())
			}
		}
	})
}
