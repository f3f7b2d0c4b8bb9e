package session

import (
	"context"
	"fmt"

	"go.uber.org/zap"
)

// seenQueue is how many last uses may wait to be written. One that finds no
// room is written at a later use.
const seenQueue = 1024

// use marks a session used, and has storage told once in a while, off the
// request's way.
func (s *Store) use(session *Session, now int64, cfg *settings) {
	session.touch(now)
	written := session.written.Load()
	if now-written < cfg.grain || !session.written.CompareAndSwap(written, now) {
		return
	}
	select {
	case s.seen <- session:
	default:
		session.written.Store(written)
	}
}

// writeSeen writes the next last use that waits, one at a time.
func (s *Store) writeSeen(ctx context.Context) error {
	var session *Session
	select {
	case <-ctx.Done():
		return nil
	case session = <-s.seen:
	}
	if err := s.storeSeen(ctx, session); err != nil {
		session.written.Store(0) // the next use tries again
		s.logger.Debug("last use was not stored", zap.Stringer("session_id", session.id), zap.Error(err))
	}
	return nil
}

func (s *Store) storeSeen(ctx context.Context, session *Session) (err error) {
	defer recovered(&err)
	if session.Ended() {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, storeLimit)
	defer cancel()
	cfg, err := s.configured()
	if err != nil {
		return err
	}
	ring, err := s.Keyring(ctx)
	if err != nil {
		return err
	}
	key := s.key(folderSeen, session.id)
	if err := cfg.storage.Store(ctx, key, sealSeen(ring, session.id, session.used.Load())); err != nil {
		return fmt.Errorf("storing a last use: %w", err)
	}
	if session.Ended() { // meanwhile; what End removed came back
		return cfg.storage.Delete(ctx, key)
	}
	return nil
}

// tend goes over the sessions in memory: what holds a stream is in use until
// its lifetime is over, and what nobody used for long need not be kept.
func (s *Store) tend(context.Context) error {
	cfg, err := s.configured()
	if err != nil {
		return nil //nolint:nilerr // there is no session yet
	}
	now := s.unix()
	s.memory.each(func(session *Session) {
		switch {
		case session.expired(now, cfg.limits):
			s.endLocal(session.id, ReasonLifetime)
		case session.held.Load() > 0:
			s.use(session, now, cfg)
		case session.idle(now, cfg.limits):
			s.memory.release(session)
		}
	})
	return nil
}
