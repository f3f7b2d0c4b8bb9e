package session

import (
	"crypto/subtle"
	"encoding/binary"
	"math"
	"math/bits"
	"sync"
	"sync/atomic"
)

const (
	// evictionSample is how many sessions are compared to find one that was
	// not used for long. Looking at a few in turn comes close to the least
	// recently used of all, at a cost that does not grow with memory.
	evictionSample = 16

	// goneCapacity is the least number of ids in a generation of gone; about
	// 1 MiB. It is twice memory's capacity if that is more, so that the end of
	// all sessions is remembered.
	goneCapacity = 1 << 15
)

// memory keeps sessions at hand. It is a hash table of a fixed size whose
// chains readers follow without a lock, as an id is a hash already; mu guards
// what changes, and is taken only when a session comes or goes.
type memory struct {
	capacity int
	table    []atomic.Pointer[Session] // a power of two, no fewer than capacity
	absent   absentIDs

	mu   sync.Mutex
	ring []*Session // every session of the table, in no order
	hand int        // where the next search for one to evict begins
}

func newMemory(capacity int) memory {
	return memory{
		capacity: capacity,
		table:    make([]atomic.Pointer[Session], 1<<bits.Len(uint(capacity))),
		absent:   absentIDs{capacity: max(goneCapacity, 2*capacity)},
	}
}

// find returns the session of a ticket with this sum, and whether the id is
// taken at all.
func (m *memory) find(id ID, sum *[32]byte) (session *Session, taken bool) {
	session = m.get(id)
	if session == nil {
		return nil, false
	}
	if subtle.ConstantTimeCompare(session.sum[:], sum[:]) != 1 {
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
// one, one that came before it, or nil if the session has ended, because then
// a load that was under way would revive it.
func (m *memory) insert(s *Session) *Session {
	m.mu.Lock()
	defer m.mu.Unlock()
	if there := m.get(s.id); there != nil {
		return there
	}
	if s.ended.Load() || m.absent.has(s.id, s.store.unix()) {
		return nil
	}
	s.slot = len(m.ring)
	m.ring = append(m.ring, s)
	bucket := m.bucket(s.id)
	s.next.Store(bucket.Load())
	bucket.Store(s)
	s.evicted.Store(false)
	for range 2 { // two, so that memory shrinks again after many were held
		if len(m.ring) > m.capacity {
			m.evictOne(s)
		}
	}
	return s
}

// remove takes the session of an id out of memory.
func (m *memory) remove(id ID) *Session {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.get(id)
	if s != nil {
		m.drop(s)
	}
	return s
}

// release takes a session out of memory, if it may leave.
func (m *memory) release(s *Session) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.get(s.id) == s && s.evict() {
		m.drop(s)
	}
}

// evictOne lets the least recently used of a few sessions go, never keep. It
// looks further while all of them are held.
func (m *memory) evictOne(keep *Session) {
	for range 4 {
		var oldest *Session
		for range min(evictionSample, len(m.ring)) {
			m.hand = (m.hand + 1) % len(m.ring)
			s := m.ring[m.hand]
			if s != keep && !s.pinned() && (oldest == nil || s.used.Load() < oldest.used.Load()) {
				oldest = s
			}
		}
		if oldest != nil && oldest.evict() {
			m.drop(oldest)
			return
		}
	}
}

func (m *memory) drop(s *Session) {
	last := m.ring[len(m.ring)-1]
	m.ring[s.slot] = last
	last.slot = s.slot
	m.ring[len(m.ring)-1] = nil
	m.ring = m.ring[:len(m.ring)-1]
	// A reader that stands on s finds its way on: s keeps its next.
	link := m.bucket(s.id)
	for link.Load() != s {
		link = &link.Load().next
	}
	link.Store(s.next.Load())
}

// each calls visit for the sessions in memory; what comes or goes meanwhile
// may be missed.
func (m *memory) each(visit func(*Session)) {
	for i := range m.table {
		for s := m.table[i].Load(); s != nil; s = s.next.Load() {
			visit(s)
		}
	}
}

func (m *memory) size() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.ring)
}

// absentIDs remembers ids that open nothing, so that a browser with an old ticket
// costs no storage call each time. Ids are never used again, so forgetting
// one costs a call, and remembering one can hide no other session. It holds
// two generations and drops the older one when the younger is full.
type absentIDs struct {
	capacity     int // per generation
	mu           sync.Mutex
	young, older map[ID]int64 // until when, Unix seconds
}

const forGood = math.MaxInt64

func (g *absentIDs) add(id ID, until int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.young) >= g.capacity || g.young == nil {
		g.older, g.young = g.young, make(map[ID]int64)
	}
	g.young[id] = max(until, g.young[id], g.older[id])
}

func (g *absentIDs) has(id ID, now int64) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return now < max(g.young[id], g.older[id])
}
