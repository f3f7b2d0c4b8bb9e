package session

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestEndEndsAtOnceEverywhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		storage := newFakeStorage()
		a, b := newTestStore(storage), newTestStore(storage)
		start(t, a)
		start(t, b)
		ticket, here := create(t, a, "ada")
		there := mustOpen(t, b, ticket)
		var cancelled atomic.Int32
		hold(here, func() { cancelled.Add(1) })
		release := hold(there, func() { cancelled.Add(1) })

		if err := a.End(t.Context(), here.ID(), "sign_out"); err != nil {
			t.Fatal(err)
		}
		mustNot(t, a, ticket)
		if !here.Ended() || here.endReason() != "sign_out" || cancelled.Load() != 1 {
			t.Errorf("here: ended %v, reason %q, %d cancelled", here.Ended(), here.endReason(), cancelled.Load())
		}
		for _, folder := range []string{folderHeads, folderRecords, folderLastUses} {
			if n := len(storage.under(folder)); n != 0 {
				t.Errorf("%d values left in %s", n, folder)
			}
		}
		time.Sleep(pollEvery + time.Millisecond)
		synctest.Wait()
		mustNot(t, b, ticket)
		if !there.Ended() || there.endReason() != "sign_out" || cancelled.Load() != 2 {
			t.Errorf("there: ended %v, reason %q, %d cancelled", there.Ended(), there.endReason(), cancelled.Load())
		}
		release()
		release()
		hold(there, func() { cancelled.Add(1) })
		if cancelled.Load() != 3 {
			t.Error("holding an ended session did not cancel at once")
		}
		if err := a.End(t.Context(), here.ID(), "again"); err != nil {
			t.Errorf("End again: %v", err)
		}
		mustNot(t, newTestStore(storage), ticket)
	})
}

// A cookie is replayed after sign-out (CVE-2024-21492): no session, and after
// the first time no storage call.
func TestOldTicketAfterSignOut(t *testing.T) {
	storage := newFakeStorage()
	s := newTestStore(storage)
	ticket, session := create(t, s, "ada")
	_ = s.End(t.Context(), session.ID(), "sign_out")
	before := storage.calls.Load()
	for range 100 {
		mustNot(t, s, ticket)
	}
	if n := storage.calls.Load() - before; n != 0 {
		t.Errorf("%d storage calls", n)
	}
}

func TestEndWhileLoadingNeverRevives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		storage := newFakeStorage()
		ticket, first := create(t, newTestStore(storage), "ada")
		for _, at := range []int{0, 50, 150, 250, 350, 399} {
			s := newTestStore(storage)
			_, _ = s.Keyring(t.Context())
			storage.latency = 100 * time.Millisecond
			var got *Session
			var wait sync.WaitGroup
			wait.Go(func() { got, _ = s.Lookup(t.Context(), ticket) })
			time.Sleep(time.Duration(at) * time.Millisecond)
			s.endLocal(first.ID(), "x") // what End does first; storage still has all of it
			wait.Wait()
			if got != nil || s.Len() != 0 {
				t.Errorf("ended after %d ms of loading: %v", at, got)
			}
			mustNot(t, s, ticket)
			storage.latency = 0
		}
	})
}

// A node ends a session in storage while another one loads it: the tombstone
// is read last.
func TestEndElsewhereWhileLoading(t *testing.T) {
	storage := newFakeStorage()
	a, b := newTestStore(storage), newTestStore(storage)
	ticket, session := create(t, a, "ada")
	storage.before = func(operation, key string) error {
		if operation == "load" && strings.Contains(key, folderLastUses) {
			storage.before = nil
			return a.End(context.Background(), session.ID(), "sign_out")
		}
		return nil
	}
	mustNot(t, b, ticket)
}

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

func TestEndsOfAUser(t *testing.T) {
	for name, c := range map[string]struct {
		end  func(*Store) (int, error)
		gone string
		want int
	}{
		"user": {func(s *Store) (int, error) {
			return s.EndUser(context.Background(), UserKey("https://auth.example.com", "sub-ada"), "x")
		}, "ada", 2},
		"sid": {func(s *Store) (int, error) {
			return s.EndSID(context.Background(), SIDKey("https://auth.example.com", "sid-ada"), "x")
		}, "ada", 2},
		"nobody": {func(s *Store) (int, error) {
			return s.EndUser(context.Background(), UserKey("https://auth.example.co", "msub-ada"), "x")
		}, "", 0},
		"no user": {func(s *Store) (int, error) { return s.EndUser(context.Background(), "", "x") }, "", 0},
		"no sid": {func(s *Store) (int, error) {
			return s.EndSID(context.Background(), SIDKey("https://auth.example.com", ""), "x")
		}, "", 0},
		"everyone": {func(s *Store) (int, error) { return s.EndAll(context.Background(), "x") }, "ada bob", 3},
	} {
		t.Run(name, func(t *testing.T) {
			storage := newFakeStorage()
			a, b := newTestStore(storage), newTestStore(storage)
			inA, _ := create(t, a, "ada")
			inB, _ := create(t, b, "ada")
			bob, _ := create(t, b, "bob")
			storage.vanish.Store(2) // two listings fail on the way
			n, err := c.end(a)
			if n != c.want || err != nil {
				t.Errorf("ended %d, %v, want %d", n, err, c.want)
			}
			_ = poll(t.Context(), b)
			for _, s := range []*Store{a, b, newTestStore(storage)} {
				for ticket, user := range map[string]string{inA: "ada", inB: "ada", bob: "bob"} {
					if strings.Contains(c.gone, user) {
						mustNot(t, s, ticket)
					} else {
						mustOpen(t, s, ticket)
					}
				}
			}
		})
	}
}

func TestUnnamedProviderSessionIsNotEnded(t *testing.T) {
	s := newTestStore(newFakeStorage())
	rec := recordOf("ada")
	rec.Tokens.SID = ""
	ticket, _, err := s.Create(t.Context(), rec)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := s.EndSID(t.Context(), "", "x"); n != 0 || err != nil {
		t.Errorf("EndSID = %d, %v", n, err)
	}
	mustOpen(t, s, ticket)
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

// A node that was cut off for longer than tombstones live must still learn of ends.
func TestLongAwayNodeCatchesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shared := newFakeStorage()
		cut := &cutStorage{fakeStorage: shared}
		a, b := newTestStore(shared), newTestStore(cut)
		ended, session := create(t, a, "ada")
		alive, _ := create(t, a, "bob")
		mustOpen(t, b, ended)
		mustOpen(t, b, alive)
		_ = poll(t.Context(), b)
		cut.off.Store(true)
		_ = a.End(t.Context(), session.ID(), "sign_out")
		time.Sleep(2 * tombstoneLife)
		_ = a.Sweep(t.Context())
		if n := len(shared.under(folderTombstones)); n != 0 {
			t.Fatalf("%d tombstones", n)
		}
		_ = poll(t.Context(), b)
		mustOpen(t, b, ended)
		cut.off.Store(false)
		_ = poll(t.Context(), b)
		mustNot(t, b, ended)
		mustOpen(t, b, alive)
	})
}

// cutStorage is one node's way to a storage that others still reach.
type cutStorage struct {
	*fakeStorage
	off atomic.Bool
}

func (c *cutStorage) List(ctx context.Context, path string, recursive bool) ([]string, error) {
	if c.off.Load() {
		return nil, errAway
	}
	return c.fakeStorage.List(ctx, path, recursive)
}

func TestPollIsOneCallHoweverManySessions(t *testing.T) {
	storage := newFakeStorage()
	s := newTestStore(storage)
	for i := range 200 {
		create(t, s, fmt.Sprint("user", i))
	}
	_, one := create(t, newTestStore(storage), "ada")
	_ = newTestStore(storage).End(t.Context(), one.ID(), "x") // one tombstone of a session not here
	before := storage.calls.Load()
	if err := poll(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	if n := storage.calls.Load() - before; n != 1 {
		t.Errorf("%d storage calls", n)
	}
}

func TestListShowsTheLiving(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		storage := newFakeStorage()
		a, b := newTestStore(storage), newTestStore(storage, func(o *Options) { o.Node = "b" })
		for _, s := range []*Store{a, b} {
			s.Configure(storage, Limits{Idle: time.Hour, Lifetime: 10 * time.Hour})
		}
		create(t, a, "idle")
		time.Sleep(50 * time.Minute)
		create(t, a, "ada")
		_, ended := create(t, a, "ended")
		_ = a.End(t.Context(), ended.ID(), "x")
		time.Sleep(20 * time.Minute)
		ticket, bob := create(t, b, "bob")
		time.Sleep(20 * time.Minute)
		mustOpen(t, b, ticket)
		entries, err := b.List(t.Context())
		if err != nil || len(entries) != 2 {
			t.Fatalf("List = %+v, %v", entries, err)
		}
		if e := entries[0]; e.User != "bob" || e.ID != bob.ID() || e.Node != "b" || time.Since(e.LastSeen) > time.Second ||
			e.Expires.Sub(e.Created) != 10*time.Hour {
			t.Errorf("first entry %+v", e)
		}
		if entries[1].User != "ada" {
			t.Errorf("second entry %+v", entries[1])
		}
		for _, s := range []string{fmt.Sprintf("%+v", entries), fmt.Sprintf("%#v", entries)} {
			if strings.Contains(s, "authelia") || strings.Contains(s, ticket) {
				t.Error("a list holds a secret")
			}
		}
		storage.away.Store(true)
		if _, err := b.List(t.Context()); !errors.Is(err, errAway) {
			t.Errorf("List: %v", err)
		}
	})
}

func TestListWhileFilesVanish(t *testing.T) {
	storage := newFakeStorage()
	s := newTestStore(storage)
	create(t, s, "ada")
	storage.vanish.Store(listTries - 1)
	if entries, err := s.List(t.Context()); len(entries) != 1 || err != nil {
		t.Errorf("List = %v, %v", entries, err)
	}
	storage.vanish.Store(1000)
	if _, err := s.List(t.Context()); err == nil {
		t.Error("a folder that could not be read counts as empty")
	}
}

// Somebody is signed out everywhere while they sign in: their new session is in
// no list yet, and ends all the same. One that began later does not.
func TestEndsMeantForWhoSignsIn(t *testing.T) {
	for name, end := range map[string]struct {
		ask   func(context.Context, *Store) (int, error)
		meant bool
	}{
		"the user": {func(ctx context.Context, s *Store) (int, error) {
			return s.EndUser(ctx, UserKey("https://auth.example.com", "sub-ada"), "operator")
		}, true},
		"the provider's session": {func(ctx context.Context, s *Store) (int, error) {
			return s.EndSID(ctx, SIDKey("https://auth.example.com", "sid-ada"), "operator")
		}, true},
		"everybody":    {func(ctx context.Context, s *Store) (int, error) { return s.EndAll(ctx, "operator") }, true},
		"another user": {func(ctx context.Context, s *Store) (int, error) { return s.EndUser(ctx, "x", "operator") }, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newTestStore(newFakeStorage())
				began := time.Now()
				time.Sleep(time.Second)
				if n, err := end.ask(t.Context(), s); n != 0 || err != nil {
					t.Fatal(n, err)
				}
				time.Sleep(time.Second)
				ticket, made := create(t, s, "ada")
				if meant, err := s.EndIfRevokedSince(t.Context(), made, began); meant != end.meant || err != nil {
					t.Errorf("meant %v, %v", meant, err)
				}
				if made.Ended() != end.meant || end.meant && made.endReason() != "operator" {
					t.Errorf("ended %v, %s", made.Ended(), made.endReason())
				}
				if end.meant {
					mustNot(t, s, ticket)
				}
				later, lives := create(t, s, "ada")
				if meant, err := s.EndIfRevokedSince(t.Context(), lives, time.Now()); meant || err != nil || lives.Ended() {
					t.Errorf("a later sign-in: %v, %v", meant, err)
				}
				mustOpen(t, s, later)
			})
		})
	}
}

// Ends that are asked for without end do not fill the memory.
func TestEndsRememberedAreBounded(t *testing.T) {
	t.Parallel()
	var e revocations
	now := time.Now()
	for range maxRevocations + 10 {
		e.add(now, &selection{})
	}
	if len(e.recent) != maxRevocations {
		t.Errorf("%d are kept", len(e.recent))
	}
	if e.add(now.Add(maxSignIn+time.Second), &selection{}); len(e.recent) != 1 {
		t.Errorf("%d are kept for too long", len(e.recent))
	}
}
