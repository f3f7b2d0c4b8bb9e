// Session: one signed-in browser, its streams and transfers, and its end.

package session

import (
	"cmp"
	"slices"
	"sync"
	"sync/atomic"
	"time"
	"unique"
)

// Session is one signed-in browser. Memory holds one value per session, which
// all requests with its ticket share. All methods may be called concurrently.
type Session struct {
	// The fields that a lookup reads come first, close together.
	id      ID
	next    atomic.Pointer[Session] // in its chain of memory's table
	tail    [16]byte                // of the SHA-256 of the whole ticket, which begins with id
	created int64                   // Head.Created as a tick, which never changes
	expires int64                   // Head.Expires as a tick, which never changes
	used    atomic.Int64            // the tick of the last use
	written atomic.Int64            // the tick of the last use that is in storage or queued for it
	ended   atomic.Bool
	evicted atomic.Bool
	held    atomic.Int32 // len(holders), readable without mu
	slot    int32        // index in memory.sessions; guarded by memory.mu

	store    *Store
	key      [32]byte // seals the record; derived from the ticket
	record   atomic.Pointer[snapshot]
	signedIn int64                 // Head.Created in Unix nanoseconds
	node     unique.Handle[string] // Head.Node

	attachment atomic.Value

	foreign *sighting // of another process's intent, nil: none; guarded by Store.updates

	mu        sync.Mutex // guards the fields below, and writes of evicted, ended and held
	reason    string
	holders   []Holder
	first     [1]Holder // room for holders: most sessions never have two
	successor *Session  // the session that HandOver moved the holders to, or nil
}

// Holder is a stream or transfer in progress. Its type must be a pointer:
// holders are compared.
type Holder interface {
	// Abort ends the stream at once. It must not block.
	Abort()
}

// ID names the session in lists and logs.
func (s *Session) ID() ID { return s.id }

// Record returns the session's current content. The snapshot is shared with
// other requests: callers must not modify it, and use Store.Update instead.
func (s *Session) Record() *Record { return &s.record.Load().Record }

// Head returns the head of the session. It is made from the record, which has most
// of it: many sessions are in memory, and few are asked for their head.
func (s *Session) Head() *Head { return s.headOf(s.record.Load()) }

// headOf returns the head of the session with another record.
func (s *Session) headOf(record *snapshot) *Head {
	created := time.Unix(0, s.signedIn).UTC()
	lifetime := time.Duration(s.expires-s.created) * time.Second
	head := newHead(&record.Record, created.Add(lifetime), s.node.Value())
	head.Created = created
	return &head
}

// Ended reports whether the session has ended, as far as this node knows.
func (s *Session) Ended() bool {
	if s.ended.Load() {
		return true
	}
	// endLocal does not reach an evicted session.
	return s.evicted.Load() && s.store.memory.absent.contains(s.id, s.store.tick())
}

// EndReason returns why the session ended, ReasonElsewhere if no reason is known,
// "" if it has not ended.
func (s *Session) EndReason() string {
	if !s.Ended() {
		return ""
	}
	return cmp.Or(s.endReason(), ReasonElsewhere)
}

// endReason returns why the session ended, "" if it has not or if no reason is
// known.
func (s *Session) endReason() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.reason
}

// Attachment returns the value that the caller keeps with the session on this
// node, and calls create to make it on first use. If two requests call create
// at the same time, one result is discarded. The value is never stored, and is
// lost if memory evicts the session. All values have one type.
func (s *Session) Attachment(create func() any) any {
	if existing := s.attachment.Load(); existing != nil {
		return existing
	}
	s.attachment.CompareAndSwap(nil, create())
	return s.attachment.Load()
}

// Hold registers h, a stream or transfer of the session: it is aborted when the
// session ends, or at once if it already has. Until Release, the session stays in
// memory and counts as in use, with a precision of 16 seconds. The caller must call
// Release on the returned session: memory may have evicted this one and loaded it
// again.
func (s *Session) Hold(h Holder) *Session {
	for session := s; session != nil; session = s.store.memory.insert(s) {
		if session.hold(h) {
			return session
		}
		if session.ended.Load() || s.store.released.Load() {
			break
		}
	}
	h.Abort()
	return s
}

// hold returns false if the session has ended or was evicted.
func (s *Session) hold(h Holder) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended.Load() || s.evicted.Load() || s.store.released.Load() {
		return false
	}
	if s.holders == nil {
		s.holders = s.first[:0]
	}
	s.holders = append(s.holders, h)
	s.held.Add(1)
	return true
}

// Release unregisters h. It may be called more than once, and after the end.
func (s *Session) Release(h Holder) {
	if successor := s.release(h); successor != nil {
		successor.Release(h)
	}
}

// release returns the session that may hold h instead, or nil.
func (s *Session) release(h Holder) (successor *Session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.Index(s.holders, h)
	if i < 0 {
		return s.successor
	}
	last := len(s.holders) - 1
	s.holders[i], s.holders[last] = s.holders[last], nil
	s.holders = s.holders[:last] // keeps its capacity: a session has many short requests
	s.held.Add(-1)
	return nil
}

// HandOver moves the streams and transfers of s to successor, a newer session
// of the same user, so that they continue and end with it. It reports whether
// there were any. The caller then ends s.
func (s *Session) HandOver(successor *Session) (inProgress bool) {
	s.mu.Lock()
	defer s.mu.Unlock() // a concurrent Release finds its holder in s or in successor
	s.successor = successor
	for _, h := range s.holders {
		if !successor.hold(h) { // successor has already ended
			h.Abort()
		}
	}
	inProgress = len(s.holders) > 0
	s.holders = nil
	s.held.Store(0)
	return inProgress
}

// end ends the session on this node, aborts its holders, and reports whether
// there were any.
func (s *Session) end(reason string) (inProgress bool) {
	s.mu.Lock()
	if s.ended.Load() {
		s.mu.Unlock()
		return false
	}
	s.reason = reason
	s.ended.Store(true)
	s.mu.Unlock()
	return s.abortHolders()
}

// abortHolders aborts the streams and transfers of the session, and reports
// whether there were any.
func (s *Session) abortHolders() (inProgress bool) {
	s.mu.Lock()
	holders := s.holders
	s.holders = nil
	s.held.Store(0)
	s.mu.Unlock()
	for _, h := range holders {
		h.Abort()
	}
	return len(holders) > 0
}

// AbortHolders aborts those streams and transfers that match selects. The session
// continues.
func (s *Session) AbortHolders(match func(Holder) bool) {
	s.mu.Lock()
	selected := slices.DeleteFunc(slices.Clone(s.holders), func(h Holder) bool { return !match(h) })
	s.mu.Unlock()
	for _, h := range selected {
		h.Abort()
	}
}

// HasHolder reports whether the session has a stream or transfer that match selects.
func (s *Session) HasHolder(match func(Holder) bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.ContainsFunc(s.holders, match)
}

// pinned reports whether the session must stay in memory: because it has a
// stream that must end with it, or because its record is not in storage yet.
func (s *Session) pinned() bool { return s.held.Load() > 0 || s.record.Load().unsaved }

// markEvicted marks the session as evicted from memory. It returns false if the
// session is pinned.
func (s *Session) markEvicted() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.pinned() {
		return false
	}
	s.evicted.Store(true)
	return true
}

// copyFrom takes over the state of current, which replaced this session in
// memory while a request still used this one.
func (s *Session) copyFrom(current *Session) {
	if s == current {
		return
	}
	s.record.Store(current.record.Load())
	if current.Ended() {
		s.end(current.endReason())
	}
}

// touch sets the last use.
func (s *Session) touch(now int64) {
	if s.used.Load() < now { // at most one write a second, however many requests share the session
		s.used.Store(now)
	}
}

// idle reports whether the session was unused for the idle timeout.
func (s *Session) idle(now int64, limits Limits) bool {
	return s.held.Load() == 0 && now-s.used.Load() >= int64(limits.Idle/time.Second)
}

// expired reports whether the session has reached its lifetime.
func (s *Session) expired(now int64, limits Limits) bool {
	return now >= endsAt(s.created, s.expires, limits)
}
