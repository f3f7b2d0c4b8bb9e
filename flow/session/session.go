package session

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Session is one signed-in browser. There is one value per session in memory,
// shared by all requests that carry its ticket; all methods may be called at once.
type Session struct {
	// What a lookup reads stands together.
	id      ID
	next    atomic.Pointer[Session] // in memory's table
	sum     [32]byte                // SHA-256 of the whole ticket
	created int64                   // Unix seconds, as is expires: Head.Created and Head.Expires never change
	expires int64
	used    atomic.Int64 // Unix seconds of the last use
	written atomic.Int64 // Unix seconds of the last use that storage has or is about to have
	ended   atomic.Bool
	evicted atomic.Bool
	held    atomic.Int32 // len(holders), to be read without mu

	store  *Store
	key    [32]byte // seals the record; derived from the ticket
	head   atomic.Pointer[Head]
	record atomic.Pointer[snapshot]

	attachment atomic.Pointer[any]

	slot int // place in memory's ring; guarded by memory.mu

	mu      sync.Mutex // guards what follows, and the writes of evicted, ended and held
	reason  string
	holders []Holder
	heir    *Session // whom they were handed over to; nil: nobody
}

// Holder is a stream or transfer in progress. It is a pointer: holders are compared.
type Holder interface {
	// Abort ends it at once. It must not block.
	Abort()
}

// ID names the session in lists and logs.
func (s *Session) ID() ID { return s.id }

// Record returns what the session holds now. It is a snapshot that other
// requests share: the caller never modifies it, Store.Update does.
func (s *Session) Record() *Record { return &s.record.Load().Record }

// Ended reports whether the session has ended, as far as this node knows.
func (s *Session) Ended() bool {
	if s.ended.Load() {
		return true
	}
	// What memory let go is not told when its session ends.
	return s.evicted.Load() && s.store.memory.absent.has(s.id, s.store.unix())
}

// Reason returns why the session ended, and "" while it has not or nobody said.
func (s *Session) Reason() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.reason
}

// Attachment returns what the caller keeps with the session in this process.
// create makes it at first need; if two requests call it at once one result is
// dropped. It is not stored, and begins anew when memory had let the session go.
func (s *Session) Attachment(create func() any) any {
	if kept := s.attachment.Load(); kept != nil {
		return *kept
	}
	made := create()
	s.attachment.CompareAndSwap(nil, &made)
	return *s.attachment.Load()
}

// Hold tells that h, a stream or transfer of the session, is in progress: it is
// aborted when the session ends, at once if it has. Until it is released the
// session counts as in use and stays in memory. The returned session is the
// one to release it at: memory may have let this one go and loaded it anew.
func (s *Session) Hold(h Holder) *Session {
	for session := s; session != nil; session = s.store.memory.insert(s) {
		if session.hold(h) {
			return session
		}
		if session.ended.Load() {
			break
		}
	}
	h.Abort()
	return s
}

// hold returns false when the session has ended or is no longer the one in memory.
func (s *Session) hold(h Holder) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended.Load() || s.evicted.Load() {
		return false
	}
	s.holders = append(s.holders, h)
	s.held.Store(int32(len(s.holders))) //nolint:gosec // as many as there are open streams
	return true
}

// Release tells that h is done. It may be called more than once, and after the end.
func (s *Session) Release(h Holder) {
	if heir := s.release(h); heir != nil {
		heir.Release(h)
	}
}

// release returns who may have h in its place.
func (s *Session) release(h Holder) (heir *Session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.Index(s.holders, h)
	if i < 0 {
		return s.heir
	}
	last := len(s.holders) - 1
	s.holders[i], s.holders[last] = s.holders[last], nil
	s.holders = s.holders[:last] // the room is kept: a session has many short requests
	s.held.Store(int32(last))    //nolint:gosec // as many as there are open streams
	s.touch(s.store.unix())
	return nil
}

// HandOver gives what s holds to heir, a newer session of the same user: what
// is in progress goes on, and ends with heir. It reports whether there was
// anything. The caller then ends s.
func (s *Session) HandOver(heir *Session) (underWay bool) {
	s.mu.Lock()
	defer s.mu.Unlock() // a Release meanwhile finds its holder here or there
	s.heir = heir
	for _, h := range s.holders {
		if !heir.hold(h) { // it ended already
			h.Abort()
		}
	}
	underWay = len(s.holders) > 0
	s.holders = nil
	s.held.Store(0)
	return underWay
}

// end ends the session in this process, aborts its holders, and reports
// whether there were any.
func (s *Session) end(reason string) (underWay bool) {
	s.mu.Lock()
	if s.ended.Load() {
		s.mu.Unlock()
		return false
	}
	s.reason = reason
	s.ended.Store(true)
	holders := s.holders
	s.holders = nil
	s.held.Store(0)
	s.mu.Unlock()
	for _, h := range holders {
		h.Abort()
	}
	return len(holders) > 0
}

// pinned reports whether the session may not leave memory: a held one has a
// stream that must end with it, and of an unsaved record there is no other copy.
func (s *Session) pinned() bool { return s.held.Load() > 0 || s.record.Load().unsaved }

// evict marks the session as no longer in memory, unless it is pinned.
func (s *Session) evict() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.pinned() {
		return false
	}
	s.evicted.Store(true)
	return true
}

// follow takes over what changed in the session that replaced this one in
// memory while a request still had it.
func (s *Session) follow(current *Session) {
	if s == current {
		return
	}
	s.record.Store(current.record.Load())
	if current.Ended() {
		s.end(current.Reason())
	}
}

// touch remembers a use.
func (s *Session) touch(now int64) {
	if s.used.Load() < now { // one write a second, however many requests share it
		s.used.Store(now)
	}
}

// idle reports whether the session went unused for too long.
func (s *Session) idle(now int64, limits Limits) bool {
	return s.held.Load() == 0 && now-s.used.Load() >= int64(limits.Idle/time.Second)
}

// expired reports whether the session has reached its lifetime.
func (s *Session) expired(now int64, limits Limits) bool {
	return now >= until(s.created, s.expires, limits)
}
