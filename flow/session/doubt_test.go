// How a node learns that the application's accounts changed on another one, and
// that access tokens were ended there.

package session

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// doubting returns a store that counts the doubts of other nodes.
func doubting(shared *fakeStorage) (*Store, *atomic.Int64) {
	s, n := newTestStore(shared), new(atomic.Int64)
	s.OnDoubt(func() { n.Add(1) })
	return s, n
}

// A change on one node is known on the others at their next poll, once, and costs
// the first node no doubt of its own.
func TestOtherNodesLearnOfAChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shared := newFakeStorage()
		a, own := doubting(shared)
		b, others := doubting(shared)
		_ = poll(t.Context(), a)
		_ = poll(t.Context(), b)
		if own.Load() != 1 || others.Load() != 1 {
			t.Fatalf("%d and %d doubts at the first poll, want 1 each: earlier ones may be gone", own.Load(), others.Load())
		}
		for range 3 {
			a.Doubt(t.Context())
			for range 2 {
				_ = poll(t.Context(), a)
				_ = poll(t.Context(), b)
				time.Sleep(pollEvery)
			}
		}
		if own.Load() != 1 || others.Load() != 4 {
			t.Errorf("%d doubts here and %d on the other node after three changes, want 1 and 4", own.Load(), others.Load())
		}
		time.Sleep(doubtLife)
		_ = poll(t.Context(), a)
		if n := len(shared.under(folderTombstones)); n != 0 {
			t.Errorf("%d markers are left after %s, want 0", n, doubtLife)
		}
	})
}

// A node that was cut off may have missed a marker that has already been removed.
func TestCutOffNodeDoubts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shared := newFakeStorage()
		cut := &cutStorage{fakeStorage: shared}
		a := newTestStore(shared)
		b, others := newTestStore(cut), new(atomic.Int64)
		b.OnDoubt(func() { others.Add(1) })
		_ = poll(t.Context(), b)
		cut.off.Store(true)
		a.Doubt(t.Context())
		time.Sleep(doubtLife)
		_ = poll(t.Context(), a)
		_ = poll(t.Context(), b)
		cut.off.Store(false)
		if _ = poll(t.Context(), b); others.Load() != 2 {
			t.Errorf("%d doubts after the node was cut off, want 2", others.Load())
		}
	})
}

// A client that changes its profile all the time must not fill storage, and each
// change is still told after it happened.
func TestFloodOfChangesIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shared := newFakeStorage()
		a := newTestStore(shared)
		for range 200 {
			go a.Doubt(t.Context())
		}
		synctest.Wait()
		time.Sleep(time.Second)
		synctest.Wait()
		if n := len(shared.under(folderTombstones)); n == 0 || n > 3 {
			t.Errorf("%d markers for 200 changes at once, want 1 to 3", n)
		}
		for range 1000 {
			a.Doubt(t.Context())
		}
		if n := len(shared.under(folderTombstones)); n > 1004 {
			t.Errorf("%d markers for 1000 changes in a row, want 1000 at most", n)
		}
		time.Sleep(doubtLife)
		for range 2 {
			_ = poll(t.Context(), a)
		}
		if n := len(shared.under(folderTombstones)); n != 0 {
			t.Errorf("%d markers are left, want 0", n)
		}
	})
}

// Storage is away when the accounts change. The others learn of it later.
func TestDoubtOutlivesItsStorage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shared := newFakeStorage()
		a := newTestStore(shared)
		b, others := doubting(shared)
		_ = poll(t.Context(), b)
		shared.before = func(operation, _ string) error {
			if operation == "store" {
				return errAway
			}
			return nil
		}
		a.Doubt(t.Context())
		shared.before = nil
		_ = poll(t.Context(), a)
		if _ = poll(t.Context(), b); others.Load() != 2 {
			t.Errorf("%d doubts after storage was away, want 2", others.Load())
		}
	})
}

// Without changes, a poll is one call of storage as before.
func TestRestCostsNoDoubt(t *testing.T) {
	shared := newFakeStorage()
	a := newTestStore(shared)
	before := shared.calls.Load()
	_ = a.followEnds(t.Context())
	_ = a.maintainDoubts(t.Context())
	if n := shared.calls.Load() - before; n > 2 { // an absent folder is listed together with its parent
		t.Errorf("%d calls, want 2 at most", n)
	}
}

// The access tokens of a user, or of all, end on every node, and the sweep keeps
// the end for as long as a token may live.
func TestTokensEndEverywhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shared := newFakeStorage()
		a := newTestStore(shared)
		b, others := doubting(shared)
		_ = poll(t.Context(), b)
		for _, key := range []string{"ada", ""} {
			if err := a.EndTokens(t.Context(), key, "operator"); err != nil {
				t.Fatal(err)
			}
			at := time.Now()
			time.Sleep(pollEvery)
			_ = poll(t.Context(), b)
			ended, err := b.TokensEnded(t.Context(), "ada")
			if err != nil || !ended.Equal(at) {
				t.Errorf("user key %q: ended at %v, %v, want %v", key, ended, err, at)
			}
		}
		if others.Load() != 3 {
			t.Errorf("the other node was told %d times, want 3", others.Load())
		}
		time.Sleep(2 * tombstoneLife)
		_ = a.Sweep(t.Context())
		if ended, err := b.TokensEnded(t.Context(), "bob"); err != nil || ended.IsZero() {
			t.Errorf("two days later: %v, %v, want the end of all", ended, err)
		}
		time.Sleep(tokenEndLife)
		_ = a.Sweep(t.Context())
		if n := len(shared.under(folderTombstones)); n != 0 {
			t.Errorf("%d values are left after %s, want 0", n, tokenEndLife)
		}
	})
}

// Storage does not take an end: this node still knows it, and retries.
func TestTokensEndWhileStorageIsAway(t *testing.T) {
	shared := newFakeStorage()
	a, b := newTestStore(shared), newTestStore(shared)
	shared.away.Store(true)
	if err := a.EndTokens(t.Context(), "ada", "operator"); !errors.Is(err, errAway) {
		t.Fatalf("EndTokens = %v, want %v", err, errAway)
	}
	if _, err := b.TokensEnded(context.Background(), "ada"); !errors.Is(err, errAway) {
		t.Errorf("another node cannot tell: %v, want %v", err, errAway)
	}
	shared.away.Store(false)
	if ended, err := a.TokensEnded(t.Context(), "ada"); err != nil || ended.IsZero() {
		t.Errorf("before the retry: %v, %v, want the end", ended, err)
	}
	_ = a.retry(t.Context())
	if ended, err := b.TokensEnded(t.Context(), "ada"); err != nil || ended.IsZero() {
		t.Errorf("another node after the retry: %v, %v, want the end", ended, err)
	}
}
