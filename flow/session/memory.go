// The sessions in memory, and a negative cache of IDs that open nothing.

package session

import (
	"crypto/subtle"
	"encoding/binary"
	"math"
	"math/bits"
	"slices"
	"sync"
	"sync/atomic"
)

const (
	// evictionSample is how many sessions are compared to find one to evict.
	// The least recently used of a small sample comes close to the least
	// recently used of all, at a cost that does not grow with memory.
	evictionSample = 16

	// minAbsentCapacity is the least number of IDs in a generation of
	// absentIDs, about 1 MiB. The capacity is twice that of memory if that is
	// more, so that an end of all sessions fits.
	minAbsentCapacity = 1 << 15
)

// memory holds sessions. It is a hash table of fixed size with chains that
// readers follow without a lock; IDs are hashes already. mu guards changes and
// is taken only when a session is inserted or removed.
type memory struct {
	capacity int
	table    []atomic.Pointer[Session] // its length is a power of two above capacity
	absent   absentIDs

	mu       sync.Mutex
	sessions []*Session // every session of the table, in no order
	hand     int        // index in sessions at which the next search for one to evict begins
}

func newMemory(capacity int) memory {
	return memory{
		capacity: capacity,
		table:    make([]atomic.Pointer[Session], 1<<bits.Len(uint(capacity))),
		absent:   absentIDs{capacity: max(minAbsentCapacity, 2*capacity)},
	}
}

// find returns the session with this ID and ticket hash. known reports whether
// there is a session with this ID, even if the hash differs.
func (m *memory) find(id ID, sum *[32]byte) (session *Session, known bool) {
	session = m.get(id)
	if session == nil {
		return nil, false
	}
	if subtle.ConstantTimeCompare(session.tail[:], sum[len(id):]) != 1 {
		return nil, true
	}
	return session, true
}

func (m *memory) get(id ID) *Session {
	for s := m.bucket(id).Load(); s != nil; s = s.next.Load() {
		if s.id == id {
			return s
		}
	}
	return nil
}

func (m *memory) bucket(id ID) *atomic.Pointer[Session] {
	return &m.table[int(binary.NativeEndian.Uint32(id[:]))&(len(m.table)-1)]
}

// insert puts a session in memory and returns the one that is there now: this
// one or one that was inserted before. It returns nil if the session has ended:
// a load in progress must not revive it.
func (m *memory) insert(s *Session) *Session {
	m.mu.Lock()
	defer m.mu.Unlock()
	if existing := m.get(s.id); existing != nil {
		return existing
	}
	if s.ended.Load() || m.absent.contains(s.id, s.store.tick()) {
		return nil
	}
	s.slot = int32(len(m.sessions)) //nolint:gosec // G115: memory never has that many
	m.sessions = append(m.sessions, s)
	bucket := m.bucket(s.id)
	s.next.Store(bucket.Load())
	bucket.Store(s)
	s.evicted.Store(false)
	for range 2 { // two, so that memory shrinks again after many sessions were held
		if len(m.sessions) > m.capacity {
			m.evictOne(s)
		}
	}
	return s
}

// remove takes the session with this ID, which has ended, out of memory.
func (m *memory) remove(id ID) *Session {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.get(id)
	if s != nil {
		m.unlink(s)
	}
	return s
}

// evict takes a session out of memory unless it is pinned.
func (m *memory) evict(s *Session) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.get(s.id) == s && s.markEvicted() {
		m.unlink(s)
	}
}

// evictOne evicts the least recently used session of a sample, except keep. It
// tries more samples while all sessions in them are pinned.
func (m *memory) evictOne(keep *Session) {
	for range 4 {
		var oldest *Session
		for range min(evictionSample, len(m.sessions)) {
			m.hand = (m.hand + 1) % len(m.sessions)
			s := m.sessions[m.hand]
			if s != keep && !s.pinned() && (oldest == nil || s.used.Load() < oldest.used.Load()) {
				oldest = s
			}
		}
		if oldest != nil && oldest.markEvicted() {
			m.unlink(oldest)
			return
		}
	}
}

func (m *memory) unlink(s *Session) {
	last := m.sessions[len(m.sessions)-1]
	m.sessions[s.slot] = last
	last.slot = s.slot
	m.sessions[len(m.sessions)-1] = nil
	m.sessions = m.sessions[:len(m.sessions)-1]
	// A reader that is at s right now can continue, because s keeps its next.
	link := m.bucket(s.id)
	for link.Load() != s {
		link = &link.Load().next
	}
	link.Store(s.next.Load())
}

// each calls visit for the sessions in memory. It may miss sessions that are
// inserted or removed during the call.
func (m *memory) each(visit func(*Session)) {
	for i := range m.table {
		for s := m.table[i].Load(); s != nil; s = s.next.Load() {
			visit(s)
		}
	}
}

// some returns up to n of the sessions.
func (m *memory) some(n int) []*Session {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.sessions[:min(n, len(m.sessions))])
}

func (m *memory) size() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.sessions)
}

// absentIDs is a negative cache of IDs that open nothing, so that a browser
// with an old ticket does not cause storage calls at each request. IDs are
// never reused: a forgotten entry costs one load, and an entry can hide no
// other session. There are two generations; the older one is dropped when the
// younger one is full.
type absentIDs struct {
	capacity       int // per generation
	mu             sync.Mutex
	younger, older map[ID]int64 // when the entry expires, see Store.tick
}

const forGood = math.MaxInt64

// add returns false if the ID was absent for good before.
func (a *absentIDs) add(id ID, expires int64) (news bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.younger) >= a.capacity || a.younger == nil {
		a.older, a.younger = a.younger, make(map[ID]int64)
	}
	known := max(a.younger[id], a.older[id])
	a.younger[id] = max(expires, known)
	return known < forGood
}

func (a *absentIDs) contains(id ID, now int64) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return now < max(a.younger[id], a.older[id])
}
