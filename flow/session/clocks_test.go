// Sessions while the wall clock is set, forth and back.

package session

import (
	"sync/atomic"
	"testing"
	"time"
	"unsafe"
)

// wallClock is a wall clock that a test sets. Its monotonic readings are real.
type wallClock struct{ ahead atomic.Int64 } // seconds

// now returns time.Now with the wall clock's part changed, as after settimeofday.
func (c *wallClock) now() time.Time {
	now := time.Now()
	*(*uint64)(unsafe.Pointer(&now)) += uint64(c.ahead.Load()) << 30 // see the fields of time.Time
	return now
}

func (c *wallClock) set(ahead time.Duration) { c.ahead.Store(int64(ahead / time.Second)) }

// A wall clock that is wrong for a while, in either direction, ends no session
// in use, keeps none out that it seemed to have ended, and leaves no use in the
// future behind.
func TestClockIsSetForthAndBack(t *testing.T) {
	t.Parallel()
	for _, ahead := range []time.Duration{time.Hour, -time.Hour, 15 * 24 * time.Hour, -15 * 24 * time.Hour, 400 * 24 * time.Hour} {
		t.Run(ahead.String(), func(t *testing.T) {
			t.Parallel()
			clock, storage := new(wallClock), newFakeStorage()
			s := newTestStore(storage, func(o *Options) { o.Now = clock.now })
			ticket, session, err := s.Create(t.Context(), recordOf("alice"))
			if err != nil {
				t.Fatal(err)
			}
			if read := clock.now(); read.Sub(read.Add(-time.Second)) != time.Second {
				t.Fatal("the clock has no monotonic reading")
			}
			for _, set := range []time.Duration{ahead, 0} {
				clock.set(set)
				if open := mustOpen(t, s, ticket); open != session {
					t.Errorf("with the clock %s ahead, memory has lost the session", set)
				}
				if err := s.maintainMemory(t.Context()); err != nil {
					t.Fatal(err)
				}
				if err := s.Sweep(t.Context()); err != nil {
					t.Fatal(err)
				}
				mustOpen(t, s, ticket)
			}
			// Another node, or this one after a restart, reads what was stored during that time.
			session.used.Store(s.tick())
			clock.set(ahead)
			if err := s.storeLastUse(t.Context(), session); err != nil {
				t.Fatal(err)
			}
			clock.set(0)
			mustNotBeLater(t, s, session.id)
			if ahead > 0 {
				mustOpen(t, newTestStore(storage, func(o *Options) { o.Now = clock.now }), ticket)
			}
		})
	}
}

// mustNotBeLater fails if a list shows a last use in the future.
func mustNotBeLater(t *testing.T, s *Store, id ID) {
	t.Helper()
	entries, err := s.List(t.Context())
	if err != nil || len(entries) != 1 || entries[0].ID != id {
		t.Fatalf("List = %v, %v, want the session", entries, err)
	}
	if entries[0].LastSeen.After(time.Now()) {
		t.Errorf("the last use is at %s, want none in the future", entries[0].LastSeen)
	}
}
