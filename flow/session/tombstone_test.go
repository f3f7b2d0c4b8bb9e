// How a node learns of ends on other nodes.

package session

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// One node ends a session while another one loads it: the load reads the
// tombstone last, so it notices.
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

// A node that was cut off for longer than the life of tombstones must still learn
// of the ends in that time.
func TestLongAwayNodeCatchesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shared := newFakeStorage()
		cut := &cutStorage{fakeStorage: shared}
		a, b := newTestStore(shared), newTestStore(cut)
		ended, session := create(t, a, "ada")
		other, _ := create(t, a, "bob")
		mustOpen(t, b, ended)
		mustOpen(t, b, other)
		_ = poll(t.Context(), b)
		cut.off.Store(true)
		_ = a.End(t.Context(), session.ID(), "sign_out")
		time.Sleep(2 * tombstoneLife)
		_ = a.Sweep(t.Context())
		if n := len(shared.under(folderTombstones)); n != 0 {
			t.Fatalf("%d tombstones after two days, want 0", n)
		}
		_ = poll(t.Context(), b)
		mustOpen(t, b, ended)
		cut.off.Store(false)
		_ = poll(t.Context(), b)
		mustNot(t, b, ended)
		mustOpen(t, b, other)
	})
}

// cutStorage is a storage that one node cannot list and others can.
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

func TestPollIsOneStorageCall(t *testing.T) {
	storage := newFakeStorage()
	s := newTestStore(storage)
	for i := range 200 {
		create(t, s, fmt.Sprint("user", i))
	}
	_, one := create(t, newTestStore(storage), "ada")
	_ = newTestStore(storage).End(t.Context(), one.ID(), "x") // the tombstone of a session that is not in memory
	if err := poll(t.Context(), s); err != nil {              // the first one reads the keyring, too
		t.Fatal(err)
	}
	before := storage.calls.Load()
	if err := poll(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	if n := storage.calls.Load() - before; n != 1 {
		t.Errorf("%d storage calls, want 1", n)
	}
}
