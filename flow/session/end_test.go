// Revocation, on this node and others, during loads and sign-ins.

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
			t.Errorf("on this node: ended %v, reason %q, %d streams aborted, want true, %q, 1", here.Ended(), here.endReason(), cancelled.Load(), "sign_out")
		}
		for _, folder := range []string{folderHeads, folderRecords, folderLastUses} {
			if n := len(storage.under(folder)); n != 0 {
				t.Errorf("%d values left in %s, want 0", n, folder)
			}
		}
		time.Sleep(pollEvery + time.Millisecond)
		synctest.Wait()
		mustNot(t, b, ticket)
		if !there.Ended() || there.endReason() != "sign_out" || cancelled.Load() != 2 {
			t.Errorf("on the other node: ended %v, reason %q, %d streams aborted, want true, %q, 2", there.Ended(), there.endReason(), cancelled.Load(), "sign_out")
		}
		release()
		release()
		hold(there, func() { cancelled.Add(1) })
		if cancelled.Load() != 3 {
			t.Error("Hold on an ended session did not abort the stream")
		}
		if err := a.End(t.Context(), here.ID(), "again"); err != nil {
			t.Errorf("second End: %v, want nil", err)
		}
		mustNot(t, newTestStore(storage), ticket)
	})
}

// An attacker replays a cookie after sign-out (CVE-2024-21492): it opens
// nothing, and causes no storage call.
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
		t.Errorf("%d storage calls, want 0", n)
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
			s.endLocal(first.ID(), "x") // the first step of End; storage still has the session
			wait.Wait()
			if got != nil || s.Len() != 0 {
				t.Errorf("ended after %d ms of loading: Lookup = %v, %d in memory, want nil, 0", at, got, s.Len())
			}
			mustNot(t, s, ticket)
			storage.latency = 0
		}
	})
}

func TestEndsOfAUser(t *testing.T) {
	for name, c := range map[string]struct {
		end   func(*Store) (int, error)
		ended string
		want  int
	}{
		"user": {func(s *Store) (int, error) {
			return s.EndUser(context.Background(), UserKey("https://auth.example.com", "sub-ada"), "x")
		}, "ada", 2},
		"sid": {func(s *Store) (int, error) {
			return s.EndSID(context.Background(), "", SIDKey("https://auth.example.com", "sid-ada"), "x")
		}, "ada", 2},
		"concatenation of issuer and subject": {func(s *Store) (int, error) {
			return s.EndUser(context.Background(), UserKey("https://auth.example.co", "msub-ada"), "x")
		}, "", 0},
		"empty user key": {func(s *Store) (int, error) { return s.EndUser(context.Background(), "", "x") }, "", 0},
		"empty sid": {func(s *Store) (int, error) {
			return s.EndSID(context.Background(), "", SIDKey("https://auth.example.com", ""), "x")
		}, "", 0},
		"all": {func(s *Store) (int, error) { return s.EndAll(context.Background(), "x") }, "ada bob", 3},
	} {
		t.Run(name, func(t *testing.T) {
			storage := newFakeStorage()
			a, b := newTestStore(storage), newTestStore(storage)
			inA, _ := create(t, a, "ada")
			inB, _ := create(t, b, "ada")
			bob, _ := create(t, b, "bob")
			storage.vanish.Store(2) // the next two listings fail
			n, err := c.end(a)
			if n != c.want || err != nil {
				t.Errorf("ended %d, %v, want %d", n, err, c.want)
			}
			_ = poll(t.Context(), b)
			for _, s := range []*Store{a, b, newTestStore(storage)} {
				for ticket, user := range map[string]string{inA: "ada", inB: "ada", bob: "bob"} {
					if strings.Contains(c.ended, user) {
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
	if n, err := s.EndSID(t.Context(), "", "", "x"); n != 0 || err != nil {
		t.Errorf("EndSID without a sid = %d, %v, want 0", n, err)
	}
	mustOpen(t, s, ticket)
}

// An operator signs a user out everywhere while that user signs in. The new
// session is in no list yet and must end too. A later sign-in must succeed.
func TestRevocationDuringSignIn(t *testing.T) {
	for name, c := range map[string]struct {
		revoke func(context.Context, *Store) (int, error)
		ends   bool
	}{
		"that user": {func(ctx context.Context, s *Store) (int, error) {
			return s.EndUser(ctx, UserKey("https://auth.example.com", "sub-ada"), "operator")
		}, true},
		"the provider's session": {func(ctx context.Context, s *Store) (int, error) {
			return s.EndSID(ctx, "", SIDKey("https://auth.example.com", "sid-ada"), "operator")
		}, true},
		"all":          {func(ctx context.Context, s *Store) (int, error) { return s.EndAll(ctx, "operator") }, true},
		"another user": {func(ctx context.Context, s *Store) (int, error) { return s.EndUser(ctx, "x", "operator") }, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newTestStore(newFakeStorage())
				began := time.Now()
				time.Sleep(time.Second)
				if n, err := c.revoke(t.Context(), s); n != 0 || err != nil {
					t.Fatal(n, err)
				}
				time.Sleep(time.Second)
				ticket, made := create(t, s, "ada")
				if ended, err := s.EndIfRevokedSince(t.Context(), made, began); ended != c.ends || err != nil {
					t.Errorf("EndIfRevokedSince = %v, %v, want %v", ended, err, c.ends)
				}
				if made.Ended() != c.ends || c.ends && made.endReason() != "operator" {
					t.Errorf("ended %v with reason %q, want %v", made.Ended(), made.endReason(), c.ends)
				}
				if c.ends {
					mustNot(t, s, ticket)
				}
				later, second := create(t, s, "ada")
				if ended, err := s.EndIfRevokedSince(t.Context(), second, time.Now()); ended || err != nil || second.Ended() {
					t.Errorf("EndIfRevokedSince of a later sign-in = %v, %v, want false", ended, err)
				}
				mustOpen(t, s, later)
			})
		})
	}
}

// Revocations without limit do not fill the memory.
func TestRevocationsAreBounded(t *testing.T) {
	t.Parallel()
	var e revocations
	now := time.Now()
	for range maxRevocations + 10 {
		e.add(now, &selection{})
	}
	if len(e.recent) != maxRevocations {
		t.Errorf("%d revocations remembered, want %d", len(e.recent), maxRevocations)
	}
	if e.add(now.Add(maxSignIn+time.Second), &selection{}); len(e.recent) != 1 {
		t.Errorf("%d revocations remembered after %s, want 1", len(e.recent), maxSignIn)
	}
}
