package session

import (
	"context"
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
