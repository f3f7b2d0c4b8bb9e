// Eviction, holds of evicted sessions, and the negative cache.

package session

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestEvictionTakesTheLeastRecentlyUsed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		storage := newFakeStorage()
		s := newTestStore(storage, func(o *Options) { o.Capacity = 4 })
		tickets := map[string]string{}
		release := func() {}
		for _, name := range []string{"held", "ada", "bob", "eve"} {
			ticket, session := create(t, s, name)
			tickets[name] = ticket
			if name == "held" { // the least recently used session
				release = hold(session, func() {})
			}
			time.Sleep(time.Minute)
		}
		mustOpen(t, s, tickets["ada"])
		time.Sleep(time.Minute)
		create(t, s, "new")
		if s.Len() != 4 {
			t.Fatalf("%d sessions in memory, want 4", s.Len())
		}
		for name, want := range map[string]bool{"held": true, "ada": true, "bob": false, "eve": true} {
			ticket, _ := parseTicket(tickets[name])
			if got := s.memory.get(idOf(ticket.sum())) != nil; got != want {
				t.Errorf("%s in memory: %v, want %v", name, got, want)
			}
		}
		mustOpen(t, s, tickets["bob"]) // loaded from storage
		release()
	})
}

func TestMemoryOfHeldSessionsGrowsAndShrinks(t *testing.T) {
	s := newTestStore(newFakeStorage(), func(o *Options) { o.Capacity = 10 })
	releases := make([]func(), 0, 40)
	var ended atomic.Int32
	for i := range 40 {
		_, session := create(t, s, fmt.Sprint("user", i))
		releases = append(releases, hold(session, func() { ended.Add(1) }))
	}
	if s.Len() != 40 {
		t.Errorf("%d held sessions in memory, want 40", s.Len())
	}
	for _, release := range releases {
		release()
	}
	for i := range 40 {
		create(t, s, fmt.Sprint("other", i))
	}
	if s.Len() != 10 {
		t.Errorf("%d sessions in memory after the streams ended, want 10", s.Len())
	}
	if ended.Load() != 0 {
		t.Errorf("eviction aborted %d streams, want 0", ended.Load())
	}
}

// A request looked up a session, memory evicted it, and then the request opens a
// stream: the stream must still end with the session.
func TestHoldOfAnEvictedSession(t *testing.T) {
	evicted := func(t *testing.T) (*Store, string, *Session) {
		t.Helper()
		s := newTestStore(newFakeStorage())
		ticket, session := create(t, s, "ada")
		s.memory.evict(session)
		if s.Len() != 0 {
			t.Fatal("the session was not evicted")
		}
		return s, ticket, session
	}
	t.Run("inserted again by Hold", func(t *testing.T) {
		s, ticket, session := evicted(t)
		cancelled := false
		hold(session, func() { cancelled = true })
		if mustOpen(t, s, ticket) != session {
			t.Error("Lookup returned a second Session for one ticket")
		}
		_ = s.End(t.Context(), session.ID(), "x")
		if !cancelled {
			t.Error("the stream was not aborted")
		}
	})
	t.Run("loaded again by a lookup", func(t *testing.T) {
		s, ticket, session := evicted(t)
		current := mustOpen(t, s, ticket)
		if current == session {
			t.Fatal("Lookup returned the evicted Session, want a new one")
		}
		cancelled := false
		hold(session, func() { cancelled = true })
		if err := s.Update(t.Context(), session, func(r *Record) { r.Upstream.ID = "x" }); err != nil {
			t.Fatal(err)
		}
		if current.Record().Upstream.ID != "x" || session.Record().Upstream.ID != "x" {
			t.Error("the update reached only one of the two Session values")
		}
		_ = s.End(t.Context(), session.ID(), "x")
		if !cancelled || !session.Ended() {
			t.Error("the stream was not aborted")
		}
	})
	t.Run("ended after the eviction", func(t *testing.T) {
		s, _, session := evicted(t)
		_ = s.End(t.Context(), session.ID(), "x")
		cancelled := false
		hold(session, func() { cancelled = true })
		if !cancelled || !session.Ended() {
			t.Error("the stream was not aborted")
		}
	})
}

func TestHoldRacesWithEverything(t *testing.T) {
	s := newTestStore(newFakeStorage(), func(o *Options) { o.Capacity = 2 })
	var open atomic.Int32
	var wait sync.WaitGroup
	for i := range 8 {
		ticket, session := create(t, s, fmt.Sprint("user", i))
		for range 4 {
			wait.Go(func() {
				for range 200 {
					current, err := s.Lookup(t.Context(), ticket)
					if err != nil || current == nil {
						break
					}
					open.Add(1)
					var once sync.Once
					release := hold(current, func() { once.Do(func() { open.Add(-1) }) })
					if i%2 == 0 {
						release()
						once.Do(func() { open.Add(-1) })
					}
				}
			})
		}
		wait.Go(func() {
			time.Sleep(time.Duration(i) * time.Millisecond)
			_ = s.End(t.Context(), session.ID(), "x")
		})
	}
	wait.Wait()
	if n := open.Load(); n != 0 {
		t.Errorf("%d streams of ended sessions were not aborted", n)
	}
	if s.Len() != 0 {
		t.Errorf("%d sessions in memory, want 0", s.Len())
	}
}

func TestAbsentIDsAreBounded(t *testing.T) {
	absent := absentIDs{capacity: 100}
	for i := range 10_000 {
		id := ID{byte(i), byte(i >> 8)}
		absent.add(id, forGood)
		if !absent.contains(id, 1) {
			t.Fatal("contains = false right after add")
		}
	}
	if n := len(absent.younger) + len(absent.older); n > 200 {
		t.Errorf("%d IDs remembered, want at most 200", n)
	}
	absent.add(ID{255, 255}, 10)
	if !absent.contains(ID{255, 255}, 9) || absent.contains(ID{255, 255}, 10) {
		t.Error("the entry did not expire at its time")
	}
	absent.add(ID{255, 255}, forGood)
	absent.add(ID{255, 255}, 10)
	if !absent.contains(ID{255, 255}, 11) {
		t.Error("a permanent entry was shortened by a later one")
	}
}
