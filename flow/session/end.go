// Ending one session or many, on this node and in storage, those with a sign-in
// still in progress included.

package session

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"
)

// The reasons that the store itself gives to OnEnd, beside those that callers
// pass to End.
const (
	ReasonIdle      = "idle"      // unused for the idle timeout
	ReasonLifetime  = "lifetime"  // the session reached its lifetime
	ReasonElsewhere = "elsewhere" // ended on another node, for an unknown reason
	ReasonRemoved   = "removed"   // no longer in storage
)

// endLimit bounds the calls to storage for one end.
const endLimit = 10 * time.Second

// End ends the session with this ID: on this node at once, with all its
// streams, then in storage, so that other nodes follow within seconds. An error
// means that storage did not take the end; the store retries.
func (s *Store) End(ctx context.Context, id ID, reason string) error {
	s.endOne(ctx, id, reason)
	t := tombstone{Reason: reason, Ended: s.now().UTC()}
	err := s.persistEnd(ctx, id, t)
	if err != nil {
		if !s.retries.addEnd(id, t) {
			s.logger.Error("cannot persist session end: the session stays valid on other nodes, retry queue full", zap.Stringer("session_id", id), zap.Error(err))
		}
		s.Use() // so that it is tried again
	}
	return err
}

// EndUser ends all sessions of a user (see UserKey) and returns how many it
// ended. With an error it may have missed some; the store retries.
func (s *Store) EndUser(ctx context.Context, userKey, reason string) (int, error) {
	return s.endAll(ctx, reason, func(head *Head) bool { return head != nil && head.UserKey == userKey })
}

// EndSID ends the sessions that came from one session at the provider (see
// SIDKey). If its user is known (see UserKey, else ""), it also ends that user's
// sessions that came from an unknown session at the provider: it may be this one.
// It returns what EndUser does.
func (s *Store) EndSID(ctx context.Context, userKey, sidKey, reason string) (int, error) {
	if sidKey == "" { // the key of all sessions without a sid
		return 0, nil
	}
	return s.endAll(ctx, reason, func(head *Head) bool {
		return head != nil && (head.SID == sidKey || userKey != "" && head.SID == "" && head.UserKey == userKey)
	})
}

// EndNamed ends the sessions with this username, and those that belong to one
// of these users (see UserKey). It returns what EndUser does.
func (s *Store) EndNamed(ctx context.Context, username string, userKeys []string, reason string) (int, error) {
	return s.endAll(ctx, reason, func(head *Head) bool {
		return head != nil && (head.User == username || slices.Contains(userKeys, head.UserKey))
	})
}

// EndAll ends every session of the gate. It returns what EndUser does.
func (s *Store) EndAll(ctx context.Context, reason string) (int, error) {
	return s.endAll(ctx, reason, func(*Head) bool { return true })
}

func (s *Store) endAll(ctx context.Context, reason string, match func(*Head) bool) (int, error) {
	return s.endSelected(ctx, &selection{match: match, reason: reason, now: s.now})
}

// selection chooses sessions to end by their heads.
type selection struct {
	match  func(*Head) bool // called with nil for an unreadable head
	reason string
	until  time.Time // sessions created later are excluded; zero for no limit
	now    func() time.Time
}

func (sel *selection) includes(head *Head) bool {
	if head != nil && !sel.until.IsZero() && head.Created.After(sel.until) && !head.Created.After(sel.now()) {
		return false // a creation time in the future means that the clock was set back after it
	}
	return sel.match(head)
}

// endSelected ends the selected sessions in memory at once, then those that are
// only in storage. It queues what storage did not take.
func (s *Store) endSelected(ctx context.Context, sel *selection) (int, error) {
	requested := s.now().UTC()
	// Before the visit to memory: Create writes to memory, then
	// EndIfRevokedSince reads this list.
	s.revocations.add(requested, sel)
	var mu sync.Mutex
	selected := make(map[ID]struct{})
	endIfSelected := func(ctx context.Context, id ID, head *Head) {
		if sel.includes(head) {
			mu.Lock()
			selected[id] = struct{}{}
			mu.Unlock()
			s.endHere(ctx, id, head, sel.reason)
		}
	}
	s.memory.each(func(session *Session) { endIfSelected(ctx, session.id, session.Head()) })
	err := s.scan(ctx, func(ctx context.Context, id ID, head *Head) error {
		endIfSelected(ctx, id, head)
		return nil
	})
	if err == nil {
		err = s.persistEnds(ctx, selected, tombstone{Reason: sel.reason, Ended: requested})
	}
	if err != nil {
		if sel.until.IsZero() { // spare users who sign in again before storage is back
			sel.until = requested
		}
		if !s.retries.addSelection(sel) {
			s.logger.Error("cannot persist the end of many sessions: they stay valid on other nodes, retry queue full", zap.Error(err))
		}
		s.Use() // so that it is tried again
	}
	return len(selected), err
}

// endLocal ends a session on this node. The ID is marked absent first, so that
// a load in progress cannot revive the session. It returns the session, nil if it
// was not in memory; news is false if this node knew already that it has ended.
func (s *Store) endLocal(id ID, reason string) (session *Session, news bool) {
	news = s.memory.absent.add(id, forGood)
	session = s.memory.remove(id)
	if session == nil {
		return nil, news
	}
	inProgress := session.end(reason)
	if s.onEnd != nil {
		s.onEnd(session, reason, inProgress)
	}
	return session, news
}

// OnEnd sets a callback for every session that ends while this node has it in
// memory, whatever the reason and whichever node ended it. inProgress says that
// the session had a stream or transfer, which may last a moment longer. ended
// must not block. Call OnEnd before the store is used.
func (s *Store) OnEnd(ended func(session *Session, reason string, inProgress bool)) { s.onEnd = ended }

// The work of the store that OnWork hears of.
const (
	WorkTombstone = "tombstone" // the end of a session in storage
	WorkSweep     = "sweep"     // see Store.Sweep
)

// OnWork sets a callback for the outcome of each piece of work that no request
// waits for. done must not block. Call OnWork before the store is used.
func (s *Store) OnWork(done func(work string, err error)) { s.onWork = done }

func (s *Store) workDone(work string, err error) {
	if s.onWork != nil {
		s.onWork(work, err)
	}
}

// Unpersisted returns how many ends, and requests to end many sessions, storage
// has yet to take.
func (s *Store) Unpersisted() int { return s.retries.waiting() }

// persistEnd ends a session in storage. It may be repeated at any time.
func (s *Store) persistEnd(ctx context.Context, id ID, t tombstone) error {
	v, err := s.configured()
	if err != nil {
		return err
	}
	err = within(ctx, endLimit, func(ctx context.Context) error {
		// The tombstone first: an Update in progress looks for it after its write.
		if err := v.storeTombstone(ctx, id, t); err != nil {
			return err
		}
		return v.remove(ctx, id)
	})
	s.workDone(WorkTombstone, err)
	if err != nil {
		return fmt.Errorf("ending session %s: %w", id, err)
	}
	return nil
}

func (s *Store) persistEnds(ctx context.Context, ids map[ID]struct{}, t tombstone) error {
	workers, ctx := errgroup.WithContext(ctx)
	workers.SetLimit(scanWorkers)
	for id := range ids {
		workers.Go(func() error {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			return s.persistEnd(ctx, id, t)
		})
	}
	return workers.Wait()
}

const (
	// maxSignIn is how far back EndIfRevokedSince looks. No sign-in takes longer.
	maxSignIn = 2 * time.Minute
	// maxRevocations bounds how many revocations are remembered.
	maxRevocations = 10_000
)

// revocations are the recent calls of endSelected, in order. They did not find
// a session that was being created at the time.
type revocations struct {
	mu     sync.Mutex
	recent []revocation
}

type revocation struct {
	at        time.Time
	selection *selection
}

func (r *revocations) add(now time.Time, sel *selection) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for len(r.recent) > 0 && (len(r.recent) >= maxRevocations || now.Sub(r.recent[0].at) > maxSignIn) {
		r.recent = r.recent[1:]
	}
	r.recent = append(r.recent, revocation{now, sel})
}

// since returns the first selection that matches head and was added at or after
// began, or nil.
func (r *revocations) since(began time.Time, head *Head) *selection {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, revoked := range r.recent {
		if !revoked.at.Before(began) && revoked.selection.match(head) {
			return revoked.selection
		}
	}
	return nil
}

// EndIfRevokedSince ends a session that Create just made, and returns true, if
// EndUser, EndSID, EndNamed or EndAll was called for it on this node since its
// sign-in began, at most two minutes ago. Those calls could not find the
// session yet. An error is that of End.
func (s *Store) EndIfRevokedSince(ctx context.Context, session *Session, began time.Time) (bool, error) {
	sel := s.revocations.since(began, session.Head())
	if sel == nil {
		return false, nil
	}
	return true, s.End(ctx, session.id, sel.reason)
}
