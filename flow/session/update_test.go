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
		r.UpstreamSession = "romm-2"
		r.Created = time.Time{}
	})
	if err != nil {
		t.Fatal(err)
	}
	if before.Identity.Groups[0] != "users" || before.UpstreamSession != "romm-ada" {
		t.Errorf("the snapshot of another request changed: %+v", before)
	}
	for _, r := range []*Record{session.Record(), mustOpen(t, newTestStore(storage), ticket).Record()} {
		if r.UpstreamSession != "romm-2" || r.Identity.Groups[0] != "changed" || !r.Created.Equal(before.Created) {
			t.Errorf("record %+v", r)
		}
	}
	stores := storage.count("store")
	if err := s.Update(t.Context(), session, func(*Record) {}); err != nil || storage.count("store") != stores {
		t.Errorf("an update that changes nothing: %v, %d stores", err, storage.count("store")-stores)
	}
}

func TestUpdateRewritesTheHead(t *testing.T) {
	storage := newFakeStorage()
	s := newTestStore(storage)
	_, session := create(t, s, "ada")
	if err := s.Update(t.Context(), session, func(r *Record) { r.Tokens.SID, r.Identity.Username = "sid-2", "ada2" }); err != nil {
		t.Fatal(err)
	}
	other := newTestStore(storage)
	if entries, err := other.List(t.Context()); err != nil || entries[0].User != "ada2" {
		t.Errorf("List = %+v, %v", entries, err)
	}
	if n, _ := other.EndSID(t.Context(), SIDKey("https://auth.example.com", "sid-2"), "x"); n != 1 {
		t.Errorf("EndSID ended %d", n)
	}
}

// Refresh tokens rotate without grace: of two nodes that refresh at once, the
// second must see what the first got, and not send the old token.
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
					return // another one did
				}
				time.Sleep(2 * time.Second)
				if r.Tokens.Refresh != valid {
					t.Errorf("%s was sent, %s is valid: the family dies", r.Tokens.Refresh, valid)
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
			t.Errorf("%d refreshes, a has %s, b has %s", refreshes, inA.Record().Tokens.Refresh, inB.Record().Tokens.Refresh)
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
				free, _ := s.updates.lock(t.Context(), session.ID())
				return free
			},
		} {
			free := hold()
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			err := s.Update(ctx, session, func(*Record) { t.Errorf("%s has the lock, and change was called", name) })
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%s: %v", name, err)
			}
			cancel()
			free()
		}
		if len(s.updates.locks) != 0 {
			t.Error("turns are left")
		}
	})
}

// The request that refreshed is gone before its tokens are stored: they are
// stored all the same, the old ones are dead.
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
		t.Errorf("stored %q", r.Tokens.Refresh)
	}
}

// strictStorage refuses a context that has ended, as a network client does.
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
			t.Fatalf("Update: %v, memory has %q", err, session.Record().Tokens.Refresh)
		}
		storage.away.Store(false)
		// memory must not lose the only copy, however full it is
		create(t, s, "bob")
		create(t, s, "eve")
		if mustOpen(t, s, ticket) != session {
			t.Error("the unsaved session was evicted")
		}
		if err := s.Update(t.Context(), session, func(r *Record) {
			if r.Tokens.Refresh != "new" {
				t.Errorf("change sees the older %q of storage", r.Tokens.Refresh)
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
			t.Errorf("storage has %q after it came back", r.Tokens.Refresh)
		}
		if len(s.retries.records) != 0 || session.pinned() {
			t.Error("the record is still due")
		}
	})
}

func TestUpdateHealsABrokenRecordAndSparesANewerOne(t *testing.T) {
	storage := newFakeStorage()
	s := newTestStore(storage)
	ticket, session := create(t, s, "ada")
	key := storageKey(folderRecords, session.ID())
	storage.put(key, []byte("romm"))
	if err := s.Update(t.Context(), session, func(r *Record) { r.UpstreamSession = "healed" }); err != nil {
		t.Fatal(err)
	}
	if r := mustOpen(t, newTestStore(storage), ticket).Record(); r.UpstreamSession != "healed" {
		t.Errorf("record %+v", r)
	}
	newer := slices.Clone(storage.get(key))
	newer[len(magic)]++
	storage.put(key, newer)
	err := s.Update(t.Context(), session, func(*Record) { t.Error("change was called") })
	if !errors.Is(err, errNewer) || !slices.Equal(storage.get(key), newer) {
		t.Errorf("Update over a newer record: %v", err)
	}
}
