// Update: snapshots, locks across nodes, storage that is away.

package session

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestUpdateIsASnapshotAndDurable(t *testing.T) {
	storage := newFakeStorage()
	s := newTestStore(storage)
	ticket, session := create(t, s, "ada")
	before := session.Record()
	err := s.Update(t.Context(), session, func(r *Record) {
		r.Identity.Groups[0] = "changed"
		r.Upstream.ID = "romm-2"
		r.Created = time.Time{}
	})
	if err != nil {
		t.Fatal(err)
	}
	if before.Identity.Groups[0] != "users" || before.Upstream.ID != "romm-ada" {
		t.Errorf("Update changed another request's snapshot: %+v", before)
	}
	for _, r := range []*Record{session.Record(), mustOpen(t, newTestStore(storage), ticket).Record()} {
		if r.Upstream.ID != "romm-2" || r.Identity.Groups[0] != "changed" || !r.Created.Equal(before.Created) {
			t.Errorf("record %+v, want the changed one with its creation time", r)
		}
	}
	stores := storage.count("store")
	if err := s.Update(t.Context(), session, func(*Record) {}); err != nil || storage.count("store") != stores {
		t.Errorf("an update that changes nothing: %v, %d writes, want nil, 0", err, storage.count("store")-stores)
	}
}

func TestUpdateRewritesTheHead(t *testing.T) {
	for _, away := range []bool{false, true} {
		storage := newFakeStorage()
		s := newTestStore(storage)
		_, session := create(t, s, "ada")
		storage.away.Store(away)
		err := s.Update(t.Context(), session, func(r *Record) { r.Tokens.SID, r.Identity.Username = "sid-2", "ada2" })
		if away {
			storage.away.Store(false)
			err = s.retry(t.Context())
		}
		if err != nil {
			t.Fatal(err)
		}
		other := newTestStore(storage)
		if entries, err := other.List(t.Context()); err != nil || entries[0].User != "ada2" {
			t.Errorf("storage away at first: %v: List = %+v, %v, want ada2", away, entries, err)
		}
		if n, _ := other.EndSID(t.Context(), "", SIDKey("https://auth.example.com", "sid-2"), "x"); n != 1 {
			t.Errorf("storage away at first: %v: EndSID ended %d sessions, want 1", away, n)
		}
	}
}

// Authelia rotates refresh tokens without a grace period. If two nodes refresh at
// the same time, the second one must see the new token and not send the old one,
// which would revoke all tokens of the session.
func TestUpdateSeesWhatAnotherNodeWrote(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		storage := newFakeStorage()
		a, b := newTestStore(storage), newTestStore(storage)
		ticket, inA := create(t, a, "ada")
		inB := mustOpen(t, b, ticket)
		valid := "authelia_rt_ada" // at the provider
		refreshes := 0
		refresh := func(s *Store, session *Session) error {
			old := session.Record().Tokens.Refresh
			return s.Update(t.Context(), session, func(r *Record) {
				if r.Tokens.Refresh != old {
					return // another request has refreshed
				}
				time.Sleep(2 * time.Second)
				if r.Tokens.Refresh != valid {
					t.Errorf("refresh with %s, but %s is the valid token", r.Tokens.Refresh, valid)
				}
				refreshes++
				valid = fmt.Sprint("authelia_rt_", refreshes)
				r.Tokens.Refresh = valid
			})
		}
		var wait sync.WaitGroup
		for range 5 {
			wait.Go(func() {
				if err := refresh(a, inA); err != nil {
					t.Error(err)
				}
			})
			wait.Go(func() {
				if err := refresh(b, inB); err != nil {
					t.Error(err)
				}
			})
		}
		wait.Wait()
		if refreshes != 1 || inA.Record().Tokens.Refresh != valid || inB.Record().Tokens.Refresh != valid {
			t.Errorf("%d refreshes, node a has %s, node b has %s, want 1 and %s on both", refreshes, inA.Record().Tokens.Refresh, inB.Record().Tokens.Refresh, valid)
		}
	})
}

func TestUpdateWaitsNoLongerThanItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		storage := newFakeStorage()
		s := newTestStore(storage)
		_, session := create(t, s, "ada")
		for name, hold := range map[string]func() func(){
			"another node": func() func() {
				key := storageKey(folderRecords, session.ID())
				_ = storage.Lock(t.Context(), key)
				return func() { _ = storage.Unlock(t.Context(), key) }
			},
			"this process": func() func() {
				free, _ := s.updates.Lock(t.Context(), session.ID())
				return free
			},
		} {
			free := hold()
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			err := s.Update(ctx, session, func(*Record) { t.Errorf("change was called while %s has the lock", name) })
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("Update while %s has the lock: %v, want a deadline error", name, err)
			}
			cancel()
			free()
		}
	})
}

// The client disconnects after the refresh and before the new tokens are stored.
// They must be stored, because the old ones are no longer valid.
func TestUpdateIsStoredWhenTheRequestIsGone(t *testing.T) {
	storage := newFakeStorage()
	s := newTestStore(storage)
	ticket, session := create(t, s, "ada")
	ctx, cancel := context.WithCancel(t.Context())
	strict := &strictStorage{storage}
	s.Configure(strict, defaultLimits)
	if err := s.Update(ctx, session, func(r *Record) { r.Tokens.Refresh = "new"; cancel() }); err != nil {
		t.Fatal(err)
	}
	if r := mustOpen(t, newTestStore(storage), ticket).Record(); r.Tokens.Refresh != "new" {
		t.Errorf("stored refresh token %q, want %q", r.Tokens.Refresh, "new")
	}
}

// strictStorage refuses a context that has ended, as network clients do.
type strictStorage struct{ *fakeStorage }

func (s *strictStorage) Store(ctx context.Context, key string, value []byte) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return s.fakeStorage.Store(ctx, key, value)
}

func TestUpdateWithStorageAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		storage := newFakeStorage()
		s := newTestStore(storage, func(o *Options) { o.Capacity = 1 })
		start(t, s)
		ticket, session := create(t, s, "ada")
		storage.away.Store(true)
		err := s.Update(t.Context(), session, func(r *Record) { r.Tokens.Refresh = "new" })
		if !errors.Is(err, errAway) || session.Record().Tokens.Refresh != "new" {
			t.Fatalf("Update: %v, memory has %q, want %v, %q", err, session.Record().Tokens.Refresh, errAway, "new")
		}
		storage.away.Store(false)
		// memory must keep the only copy, even beyond its capacity
		create(t, s, "bob")
		create(t, s, "eve")
		if mustOpen(t, s, ticket) != session {
			t.Error("the unsaved session was evicted")
		}
		if err := s.Update(t.Context(), session, func(r *Record) {
			if r.Tokens.Refresh != "new" {
				t.Errorf("change sees refresh token %q from storage, want the newer one of memory", r.Tokens.Refresh)
			}
		}); err != nil {
			t.Error(err)
		}
		storage.away.Store(true)
		_ = s.Update(t.Context(), session, func(r *Record) { r.Tokens.Refresh = "newer" })
		storage.away.Store(false)
		time.Sleep(2 * pollEvery)
		synctest.Wait()
		if r := mustOpen(t, newTestStore(storage), ticket).Record(); r.Tokens.Refresh != "newer" {
			t.Errorf("storage has %q after it came back, want %q", r.Tokens.Refresh, "newer")
		}
		if len(s.retries.records) != 0 || session.pinned() {
			t.Error("the record is still queued or pinned after it was stored")
		}
	})
}

func TestUpdateReplacesBrokenRecordsButNotNewerOnes(t *testing.T) {
	storage := newFakeStorage()
	s := newTestStore(storage)
	ticket, session := create(t, s, "ada")
	key := storageKey(folderRecords, session.ID())
	storage.put(key, []byte("romm"))
	if err := s.Update(t.Context(), session, func(r *Record) { r.Upstream.ID = "repaired" }); err != nil {
		t.Fatal(err)
	}
	if r := mustOpen(t, newTestStore(storage), ticket).Record(); r.Upstream.ID != "repaired" {
		t.Errorf("record %+v, want the repaired one", r)
	}
	newer := slices.Clone(storage.get(key))
	newer[len(magic)]++
	storage.put(key, newer)
	err := s.Update(t.Context(), session, func(*Record) { t.Error("change was called") })
	if !errors.Is(err, errNewer) || !slices.Equal(storage.get(key), newer) {
		t.Errorf("Update over a record of a newer version: %v, want %v and the record unchanged", err, errNewer)
	}
}
