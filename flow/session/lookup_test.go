// Lookup: forged tickets, memory hits, concurrent loads, expiry.

package session

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// An attacker sends made-up tickets: none of them may cause a storage call.
func TestForgedTicketCostsNoIO(t *testing.T) {
	storage := newFakeStorage()
	s := newTestStore(storage)
	ticket, _ := create(t, s, "ada")
	before := storage.calls.Load()
	for i := range 1000 {
		forged, _ := parseTicket(ticket)
		forged[i%32] ^= byte(1 + i/32)
		mustNot(t, s, forged.String())
		mustNot(t, s, ticket[:i%43])
	}
	if n := storage.calls.Load() - before; n != 0 {
		t.Errorf("forged tickets caused %d storage calls, want 0", n)
	}
}

// A ticket opens nothing if only its ID matches: memory compares the whole hash
// of the ticket, not only the part that is the ID.
func TestWrongTicketWithRightIDOpensNothing(t *testing.T) {
	s := newTestStore(newFakeStorage())
	ticket, session := create(t, s, "ada")
	session.tail[15] ^= 1
	mustNot(t, s, ticket)
}

func TestHitCostsNoIO(t *testing.T) {
	storage := newFakeStorage()
	s := newTestStore(storage)
	ticket, session := create(t, s, "ada")
	before := storage.calls.Load()
	for range 100 {
		if mustOpen(t, s, ticket) != session {
			t.Fatal("Lookup returned a second Session for one ticket")
		}
	}
	if n := storage.calls.Load() - before; n != 0 {
		t.Errorf("%d storage calls, want 0", n)
	}
}

func TestOneSessionForManyRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		storage := newFakeStorage()
		ticket, _ := create(t, newTestStore(storage), "ada")
		s := newTestStore(storage)
		if _, err := s.Keyring(t.Context()); err != nil {
			t.Fatal(err)
		}
		storage.latency = 50 * time.Millisecond
		before := storage.count("load")
		var wait sync.WaitGroup
		sessions := make([]*Session, 200)
		for i := range sessions {
			wait.Go(func() { sessions[i], _ = s.Lookup(t.Context(), ticket) })
		}
		wait.Wait()
		for _, session := range sessions {
			if session == nil || session != sessions[0] {
				t.Fatalf("concurrent lookups of one ticket returned %p and %p", session, sessions[0])
			}
		}
		if n := storage.count("load") - before; n != 4 {
			t.Errorf("%d loads, want 4", n)
		}
		attachments := map[any]bool{}
		for _, session := range sessions {
			attachments[session.Attachment(func() any { return new(int) })] = true
		}
		if len(attachments) != 1 {
			t.Errorf("concurrent requests see %d attachments, want 1", len(attachments))
		}
	})
}

// Two users load pages at the same time; neither may ever get the other's
// session. CVE-2026-71326 was a single-flight key that two users shared.
func TestTwoUsersRacingAreNeverCrossed(t *testing.T) {
	storage := newFakeStorage()
	s := newTestStore(storage, func(o *Options) { o.Capacity = 1 }) // each lookup evicts the other session
	names := []string{"ada", "bob"}
	rounds := 125_000 // times eight workers: a million
	if testing.Short() {
		rounds = 2_000
	}
	tickets := make([]string, 0, len(names))
	for _, name := range names {
		ticket, _ := create(t, s, name)
		tickets = append(tickets, ticket)
	}
	var wait sync.WaitGroup
	for worker := range 8 {
		wait.Go(func() {
			name := names[worker%2]
			for i := range rounds {
				session, err := s.Lookup(t.Context(), tickets[worker%2])
				if err != nil || session == nil {
					t.Errorf("Lookup = %v, %v, want a session", session, err)
					return
				}
				if got := session.Record().Identity.Username; got != name {
					t.Errorf("%s got the session of %s", name, got)
					return
				}
				if i%200 == 0 {
					if err := s.Update(t.Context(), session, func(r *Record) { r.Upstream.ID = name + fmt.Sprint(i) }); err != nil {
						t.Errorf("Update: %v, want %v", err, ErrEnded)
						return
					}
				}
				if !strings.HasPrefix(session.Record().Upstream.ID, name) && !strings.HasSuffix(session.Record().Upstream.ID, name) {
					t.Errorf("%s got the upstream session %s", name, session.Record().Upstream.ID)
				}
			}
		})
	}
	wait.Wait()
}

func TestStorageAwayIsAnErrorNotAnEnd(t *testing.T) {
	storage := newFakeStorage()
	ticket, _ := create(t, newTestStore(storage), "ada")
	s := newTestStore(storage)
	storage.away.Store(true)
	if _, err := s.Lookup(t.Context(), ticket); !errors.Is(err, errAway) {
		t.Fatalf("Lookup while the keyring cannot be read: %v, want %v", err, errAway)
	}
	storage.away.Store(false)
	session := mustOpen(t, s, ticket)
	storage.away.Store(true)
	if mustOpen(t, s, ticket) != session {
		t.Error("Lookup loaded the session again while storage is away")
	}
	s.memory.evict(session)
	if got, err := s.Lookup(t.Context(), ticket); got != nil || !errors.Is(err, errAway) {
		t.Fatalf("Lookup while storage is away = %v, %v, want %v", got, err, errAway)
	}
	storage.away.Store(false)
	mustOpen(t, s, ticket)
	for _, operation := range []string{folderHeads, folderRecords, folderLastUses, folderTombstones} {
		storage.before = func(_, key string) error {
			if strings.Contains(key, "/"+operation+"/") {
				return errAway
			}
			return nil
		}
		s := newTestStore(storage)
		if got, err := s.Lookup(t.Context(), ticket); got != nil || !errors.Is(err, errAway) {
			t.Errorf("Lookup without %s = %v, %v, want %v", operation, got, err, errAway)
		}
		storage.before = nil
		mustOpen(t, s, ticket)
	}
}

func TestLifetimeAndIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		storage := newFakeStorage()
		s := newTestStore(storage)
		s.Configure(storage, Limits{Idle: time.Hour, Lifetime: 10 * time.Hour})
		unused, _ := create(t, s, "ada")
		used, session := create(t, s, "bob")
		cancelled := false
		for range 19 {
			time.Sleep(30 * time.Minute)
			mustOpen(t, s, used)
		}
		mustNot(t, s, unused)
		hold(session, func() { cancelled = true })
		time.Sleep(30 * time.Minute)
		mustNot(t, s, used)
		if !cancelled || !session.Ended() || session.endReason() != ReasonLifetime {
			t.Errorf("session ended %v, stream aborted %v, reason %q, want %q after both", session.Ended(), cancelled, session.endReason(), ReasonLifetime)
		}
		mustNot(t, newTestStore(storage), used)
	})
}

func TestShorterLifetimeHoldsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		storage := newFakeStorage()
		s := newTestStore(storage)
		ticket, _ := create(t, s, "ada")
		time.Sleep(2 * time.Hour)
		mustOpen(t, s, ticket)
		s.Configure(storage, Limits{Idle: DefaultIdle, Lifetime: time.Hour})
		mustNot(t, s, ticket)
	})
}

func TestIdleHereButUsedElsewhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		storage := newFakeStorage()
		a, b := newTestStore(storage), newTestStore(storage)
		start(t, b)
		for _, s := range []*Store{a, b} {
			s.Configure(storage, Limits{Idle: time.Hour, Lifetime: DefaultLifetime})
		}
		ticket, _ := create(t, a, "ada")
		for range 4 {
			time.Sleep(20 * time.Minute)
			mustOpen(t, b, ticket)
			synctest.Wait()
		}
		mustOpen(t, a, ticket)
	})
}

func TestAbsentIsRememberedForAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		storage := newFakeStorage()
		a, b := newTestStore(storage), newTestStore(storage)
		ticket, session := create(t, a, "ada")
		head := storage.get(storageKey(folderHeads, session.ID()))
		_ = storage.Delete(t.Context(), storageKey(folderHeads, session.ID())) // not visible to b yet
		mustNot(t, b, ticket)
		before := storage.calls.Load()
		for range 50 {
			mustNot(t, b, ticket)
		}
		if n := storage.calls.Load() - before; n != 0 {
			t.Errorf("a ticket known to open nothing caused %d storage calls, want 0", n)
		}
		storage.put(storageKey(folderHeads, session.ID()), head)
		time.Sleep(absentSeconds * time.Second)
		mustOpen(t, b, ticket)
	})
}
