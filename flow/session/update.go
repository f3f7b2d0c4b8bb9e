// Update: changing a session's record, one writer at a time across all nodes.

package session

import (
	"context"
	"errors"
	"fmt"

	"go.uber.org/zap"
)

// Update changes the record of a session, in memory and in storage. It takes
// the session's lock in storage and reads the record again, so that change sees
// what another node has written. change is called at most once, under the lock,
// and may use the network for as long as ctx allows. If it changes nothing,
// nothing is written.
//
// Update returns ErrEnded if the session has ended, without calling change if
// it knows before. If ctx ends while Update waits for the lock, change is not
// called. If storage is unreachable, Update still calls change, memory keeps
// the changed record, Update returns the error, and the store retries the write.
func (s *Store) Update(ctx context.Context, session *Session, change func(*Record)) error {
	return s.update(ctx, session, func(ctx context.Context, v *vault, current *Session, unreachable error) error {
		if errors.Is(unreachable, errNewer) {
			return fmt.Errorf("updating a session: %w", unreachable)
		}
		next := current.record.Load().revise(change)
		switch {
		case next == nil:
			return unreachable
		case current.Ended():
			return ErrEnded
		case unreachable != nil:
			return s.keepUnsaved(current, next, unreachable)
		}
		return s.commit(ctx, v, current, next)
	})
}

// update takes the session's locks and calls work with what memory has of it,
// read again from storage unless that is unreachable.
func (s *Store) update(ctx context.Context, session *Session,
	work func(ctx context.Context, v *vault, current *Session, unreachable error) error,
) error {
	unlock, err := s.updates.Lock(ctx, session.id)
	if err != nil {
		return fmt.Errorf("updating a session: %w", err)
	}
	defer unlock()
	current := s.memory.insert(session)
	s.Use()
	if current == nil || current.Ended() {
		session.end("")
		return ErrEnded
	}
	defer session.copyFrom(current)
	v, err := s.configured()
	if err != nil {
		return err
	}

	lock := v.key(folderRecords, session.id)
	unreachable := v.storage.Lock(ctx, lock)
	if unreachable == nil {
		defer s.unlockRecord(ctx, v, session.id)
		unreachable = s.reload(ctx, v, current)
	}
	if current.Ended() {
		return ErrEnded
	}
	if ctx.Err() != nil {
		// Another node may have the lock and be refreshing the same tokens.
		return fmt.Errorf("updating a session: %w", context.Cause(ctx))
	}
	return work(ctx, v, current, unreachable)
}

func (s *Store) unlockRecord(ctx context.Context, v *vault, id ID) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeLimit)
	defer cancel()
	if err := v.storage.Unlock(ctx, v.key(folderRecords, id)); err != nil {
		s.logger.Warn("session lock not released, updates wait until it expires", zap.Stringer("session_id", id), zap.Error(err))
	}
}

// reload updates memory from storage, and ends the session on this node if it
// has a tombstone or no record there.
func (s *Store) reload(ctx context.Context, v *vault, session *Session) error {
	reason, err := v.readEndReason(ctx, session.id)
	if err != nil {
		return err
	}
	if reason != "" {
		s.endLocal(session.id, reason)
		return nil
	}
	value, err := v.load(ctx, v.key(folderRecords, session.id))
	if err != nil {
		return fmt.Errorf("reading the record of session %s: %w", session.id, err)
	}
	if value == nil {
		switch lost, err := s.lost(ctx, v); {
		case err != nil:
			return fmt.Errorf("reading the record of session %s: %w", session.id, err)
		case lost:
			return s.storeAgain(ctx, v, session)
		}
		s.endHere(ctx, session.id, nil, ReasonRemoved)
		return nil
	}
	stored, err := openRecord(session.key, s.gate, session.id, value)
	if err != nil {
		v.logUnreadable(folderRecords, session.id, err)
		if errors.Is(err, errNewer) {
			return fmt.Errorf("reading the record of session %s: %w", session.id, err)
		}
		return nil // broken: memory has a good copy and writes it again
	}
	stored.anchor(s.now())
	switch known := session.record.Load(); {
	case known.unsaved && stored.Revision > known.base.Revision: // another node was there first
		session.record.Store(known.onto(stored))
	case stored.Revision > known.Revision:
		session.record.Store(stored)
	}
	return nil
}

// commit writes a changed record to storage and puts it in memory, even if the
// request ends: what change did at the provider cannot be repeated.
func (s *Store) commit(ctx context.Context, v *vault, session *Session, next *snapshot) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeLimit)
	defer cancel()
	if err := s.save(ctx, v, session, next); err != nil {
		return s.keepUnsaved(session, next, err)
	}
	session.record.Store(next)
	return s.removeIfEnded(ctx, v, session)
}

// keepUnsaved keeps in memory a record that storage could not take, and queues
// it for a retry.
func (s *Store) keepUnsaved(session *Session, next *snapshot, cause error) error {
	next.unsaved, next.base = true, session.record.Load()
	if next.base.unsaved {
		next.base = next.base.base
	}
	session.record.Store(next)
	s.retries.addRecord(session)
	return fmt.Errorf("storing session %s, memory has it: %w", session.id, cause)
}

// save writes a record, and before it the head if the record changes that.
func (s *Store) save(ctx context.Context, v *vault, session *Session, next *snapshot) error {
	stored := session.record.Load()
	if stored.unsaved {
		stored = stored.base
	}
	if newer := session.headOf(next); !newer.sameOwner(session.headOf(stored)) {
		keys, err := s.Keyring(ctx)
		if err != nil {
			return err
		}
		if err := (openVault{v, keys}).storeHead(ctx, session.id, newer); err != nil {
			return err
		}
	}
	return v.storeRecord(ctx, session, next)
}

// removeIfEnded removes a record that was written while its session ended.
func (s *Store) removeIfEnded(ctx context.Context, v *vault, session *Session) error {
	if reason, err := v.readEndReason(ctx, session.id); err == nil && reason != "" {
		s.endLocal(session.id, reason)
	}
	if !session.Ended() {
		return nil
	}
	if err := v.remove(ctx, session.id); err != nil {
		s.logger.Warn("record of an ended session not removed, the sweep will retry",
			zap.Stringer("session_id", session.id), zap.Error(err))
	}
	return ErrEnded
}
