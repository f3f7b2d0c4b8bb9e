package session

import (
	"context"
	"errors"
	"fmt"

	"go.uber.org/zap"
)

// Update changes what a session holds, here and in storage. It takes the
// session's storage lock and reads the record again, so change sees what
// another node may have written; it is called once, under the lock, and may
// use the network there for as long as the caller's contract allows (a refresh
// of tokens). If it changes nothing, nothing is written.
//
// Update returns ErrEnded, without calling change where it can know before,
// when the session has ended. When ctx ends while it waits for the lock,
// change is not called. When storage is away, memory keeps the changed record,
// the error is returned, and the record is written when storage is back.
func (s *Store) Update(ctx context.Context, session *Session, change func(*Record)) error {
	return s.update(ctx, session, change, false)
}

// UpdateLocked is Update for what two nodes must never do at once: while
// storage is away, and with it the lock, change is not called.
func (s *Store) UpdateLocked(ctx context.Context, session *Session, change func(*Record)) error {
	return s.update(ctx, session, change, true)
}

func (s *Store) update(ctx context.Context, session *Session, change func(*Record), locked bool) error {
	free, err := s.locks.lock(ctx, session.id)
	if err != nil {
		return fmt.Errorf("updating a session: %w", err)
	}
	defer free()
	current := s.memory.insert(session)
	if current == nil || current.Ended() {
		session.end("")
		return ErrEnded
	}
	defer session.follow(current)
	cfg, err := s.configured()
	if err != nil {
		return err
	}

	lock := s.key(folderRecords, session.id)
	unreachable := cfg.storage.Lock(ctx, lock)
	if unreachable == nil {
		defer func() {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeLimit)
			defer cancel()
			if err := cfg.storage.Unlock(ctx, lock); err != nil {
				s.logger.Warn("session lock was not released", zap.Stringer("session_id", session.id), zap.Error(err))
			}
		}()
		unreachable = s.reread(ctx, cfg, current)
	}
	if current.Ended() {
		return ErrEnded
	}
	if unreachable != nil && (locked || errors.Is(unreachable, errNewer)) {
		return fmt.Errorf("updating a session: %w", unreachable)
	}
	if ctx.Err() != nil {
		// Another node may hold the lock and be changing the same tokens.
		return fmt.Errorf("updating a session: %w", context.Cause(ctx))
	}
	return s.apply(ctx, cfg, current, change, unreachable)
}

// reread brings memory up to what storage has, and ends the session here if
// storage has it no more.
func (s *Store) reread(ctx context.Context, cfg *settings, session *Session) error {
	tombstone, err := load(ctx, cfg, s.key(folderEnds, session.id))
	if err != nil {
		return fmt.Errorf("reading the end of session %s: %w", session.id, err)
	}
	if tombstone != nil {
		s.endLocal(session.id, reasonIn(tombstone))
		return nil
	}
	value, err := load(ctx, cfg, s.key(folderRecords, session.id))
	if err != nil {
		return fmt.Errorf("reading the record of session %s: %w", session.id, err)
	}
	if value == nil {
		s.endLocal(session.id, ReasonRemoved)
		return nil
	}
	stored, err := openRecord(session.key, s.gate, session.id, value)
	if err != nil {
		s.unreadable(folderRecords, session.id, err)
		if errors.Is(err, errNewer) {
			return fmt.Errorf("reading the record of session %s: %w", session.id, err)
		}
		return nil // broken: memory has a good one, and writes it again
	}
	if stored.Revision > session.record.Load().Revision {
		session.record.Store(stored)
	}
	return nil
}

// apply calls change and stores what it made, unless unreachable says that
// there is no use in trying.
func (s *Store) apply(ctx context.Context, cfg *settings, session *Session, change func(*Record), unreachable error) error {
	before := session.record.Load()
	after := &snapshot{Revision: before.Revision + 1, Record: before.Record.clone()}
	change(&after.Record)
	after.Record.Created = before.Record.Created
	after.Record = after.Record.clone() // change may have kept a slice
	if !before.unsaved && sameStored(&before.Record, &after.Record) {
		return unreachable
	}
	if session.Ended() {
		return ErrEnded
	}
	// What change did at the provider cannot be done again: write it even if
	// the request is gone.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeLimit)
	defer cancel()
	if unreachable == nil {
		unreachable = s.save(ctx, cfg, session, after)
	}
	after.unsaved = unreachable != nil
	session.record.Store(after)
	if after.unsaved {
		s.retries.record(session)
		return fmt.Errorf("storing session %s, memory has it: %w", session.id, unreachable)
	}
	return s.recheck(ctx, cfg, session)
}

// save writes a record, and the head before it if the record changes it.
func (s *Store) save(ctx context.Context, cfg *settings, session *Session, record *snapshot) error {
	head := session.head.Load()
	if next := headOf(&record.Record, head.Expires, head.Node); !next.same(head) {
		ring, err := s.Keyring(ctx)
		if err != nil {
			return err
		}
		if err := s.storeHead(ctx, cfg, ring, session.id, &next); err != nil {
			return err
		}
		session.head.Store(&next)
	}
	return s.storeRecord(ctx, cfg, session, record)
}

// recheck takes a record back that was written while its session ended.
func (s *Store) recheck(ctx context.Context, cfg *settings, session *Session) error {
	tombstone, err := load(ctx, cfg, s.key(folderEnds, session.id))
	if err == nil && tombstone != nil {
		s.endLocal(session.id, reasonIn(tombstone))
	}
	if !session.Ended() {
		return nil
	}
	if err := s.remove(ctx, cfg, session.id); err != nil {
		s.logger.Warn("record of an ended session was not removed, the sweep will",
			zap.Stringer("session_id", session.id), zap.Error(err))
	}
	return ErrEnded
}
