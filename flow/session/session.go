package session

import (
	"context"
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
	holders map[*holder]struct{}
}

// holder is a stream or transfer in progress.
type holder struct{ cancel context.CancelFunc }

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
	return s.evicted.Load() && s.store.memory.gone.has(s.id, s.store.unix())
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

// Hold tells that a stream or transfer of the session is in progress: cancel
// is called when the session ends, at once if it has. Until release is called
// the session counts as in use and stays in memory. release may be called more
// than once, also after the end.
func (s *Session) Hold(cancel context.CancelFunc) (release func()) {
	h := &holder{cancel: cancel}
	for session := s; session != nil; session = s.store.memory.insert(s) {
		if session.hold(h) {
			return func() { session.release(h) }
		}
		if session.ended.Load() {
			break
		}
	}
	cancel()
	return func() {}
}

// hold returns false when the session has ended or is no longer the one in memory.
func (s *Session) hold(h *holder) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended.Load() || s.evicted.Load() {
		return false
	}
	if s.holders == nil {
		s.holders = make(map[*holder]struct{}, 1)
	}
	s.holders[h] = struct{}{}
	s.held.Store(int32(len(s.holders))) //nolint:gosec // as many as there are open streams
	return true
}

func (s *Session) release(h *holder) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, found := s.holders[h]; !found {
		return
	}
	delete(s.holders, h)
	s.held.Store(int32(len(s.holders))) //nolint:gosec // as many as there are open streams
	if len(s.holders) == 0 {
		s.holders = nil
	}
	s.touch(s.store.unix())
}

// end ends the session in this process and cancels its holders.
func (s *Session) end(reason string) {
	s.mu.Lock()
	if s.ended.Load() {
		s.mu.Unlock()
		return
	}
	s.reason = reason
	s.ended.Store(true)
	holders := s.holders
	s.holders = nil
	s.held.Store(0)
	s.mu.Unlock()
	for h := range holders {
		h.cancel()
	}
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
