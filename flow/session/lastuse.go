// Last uses: kept in memory at each request, written to storage once in a while.

package session

import (
	"context"

	"go.uber.org/zap"
)

// lastUseQueue bounds how many sessions wait for their last use to be written.
// If the queue is full, a later use tries again.
const lastUseQueue = 1024

// markUsed marks a session as used now, and queues the last use for storage if
// the one there is older than v.lastUseEvery. It never blocks.
func (s *Store) markUsed(session *Session, now int64, v *vault) {
	session.touch(now)
	if !s.inUse.Load() { // a write that all cores would wait for, only where it changes something
		s.inUse.Store(true)
	}
	written := session.written.Load()
	if now-written < v.lastUseEvery || !session.written.CompareAndSwap(written, now) {
		return
	}
	select {
	case s.lastUses <- session:
	default:
		session.written.Store(written)
	}
}

// writeLastUses writes the queued last uses.
func (s *Store) writeLastUses(ctx context.Context) error {
	for ctx.Err() == nil {
		select {
		case session := <-s.lastUses:
			if err := s.storeLastUse(ctx, session); err != nil {
				session.written.Store(0) // the next use queues it again
				s.logger.Debug("last use not persisted, will retry at next use", zap.Stringer("session_id", session.id), zap.Error(err))
			}
		default:
			return nil
		}
	}
	return nil
}

func (s *Store) storeLastUse(ctx context.Context, session *Session) (err error) {
	defer recovered(&err)
	if session.Ended() {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, storeLimit)
	defer cancel()
	v, err := s.openVault(ctx)
	if err != nil {
		return err
	}
	if err := v.storeLastUse(ctx, session.id, s.unixOf(session.used.Load())); err != nil {
		return err
	}
	if session.Ended() { // during the write, which brought back a value that End had deleted
		return v.storage.Delete(ctx, v.key(folderLastUses, session.id))
	}
	return nil
}

// lastUse returns the latest use of a session that this node knows of, in Unix
// seconds, and whether a stream holds it right now.
func (s *Store) lastUse(ctx context.Context, v openVault, id ID, head *Head) (used int64, held bool, err error) {
	used, err = v.readLastUse(ctx, id)
	if err != nil {
		return 0, false, err
	}
	used = max(used, head.Created.Unix())
	if session := s.memory.get(id); session != nil {
		used, held = max(used, s.unixOf(session.used.Load())), session.held.Load() > 0
	}
	return min(used, s.unix()), held, nil // a use in the future counts as now
}

// maintainMemory visits the sessions in memory: it ends those that have reached
// their lifetime, marks those with an open stream as used, and evicts idle ones.
func (s *Store) maintainMemory(ctx context.Context) error {
	v := s.vault.Load()
	if v == nil {
		return nil // not configured, so there are no sessions
	}
	now := s.tick()
	s.memory.each(func(session *Session) {
		switch {
		case session.expired(now, v.limits):
			s.endHere(ctx, session.id, nil, ReasonLifetime)
		case session.held.Load() > 0:
			s.markUsed(session, now, v)
		case session.idle(now, v.limits):
			s.memory.evict(session)
		}
	})
	return nil
}
