package session

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"
)

// Reasons that the store itself gives; Session.Reason returns them beside those
// that callers of End chose.
const (
	ReasonIdle      = "idle"      // nobody used it for too long
	ReasonLifetime  = "lifetime"  // the session reached its lifetime
	ReasonElsewhere = "elsewhere" // another node ended it and did not say why
	ReasonRemoved   = "removed"   // storage has it no more
)

const (
	// tombstoneLife is how long the end of a session can be read in storage.
	tombstoneLife = 24 * time.Hour

	endLimit = 10 * time.Second
)

// tombstone says that a session ended. That one is there is what counts: one
// that cannot be read ends the session too.
type tombstone struct {
	Reason string    `json:"reason"`
	Ended  time.Time `json:"ended"`
}

func reasonIn(value []byte) string {
	var t tombstone
	if json.Unmarshal(value, &t) != nil || t.Reason == "" {
		return ReasonElsewhere
	}
	return t.Reason
}

// End ends the session of an id: in this process at once, including all that
// it holds, then in storage, so that the other nodes follow within seconds. An
// error says that storage could not take it; then the store goes on trying.
func (s *Store) End(ctx context.Context, id ID, reason string) error {
	s.endLocal(id, reason)
	t := tombstone{reason, s.now().UTC()}
	err := s.persistEnd(ctx, id, t)
	if err != nil && !s.retries.end(id, t) {
		s.logger.Error("end of a session is lost to storage, too many wait", zap.Stringer("session_id", id))
	}
	return err
}

// endLocal ends a session in this process, so that a load under way cannot
// revive it: first the id is gone, then what memory has.
func (s *Store) endLocal(id ID, reason string) {
	s.memory.absent.add(id, forGood)
	session := s.memory.remove(id)
	if session == nil {
		return
	}
	underWay := session.end(reason)
	if s.ended != nil {
		s.ended(session, reason, underWay)
	}
}

// OnEnd has ended called for every session that ends while memory has it, for
// whatever reason and whoever ends it, here or on another node. underWay says
// that it held a stream or transfer, which may end a moment later. ended must
// not block. OnEnd is called before the store is used.
func (s *Store) OnEnd(ended func(session *Session, reason string, underWay bool)) { s.ended = ended }

// persistEnd ends a session in storage. It may be called again at any time.
func (s *Store) persistEnd(ctx context.Context, id ID, t tombstone) error {
	cfg, err := s.configured()
	if err != nil {
		return err
	}
	value, err := json.Marshal(t)
	if err != nil {
		return fmt.Errorf("encoding a tombstone: %w", err)
	}
	err = within(ctx, endLimit, func(ctx context.Context) error {
		// First the tombstone: whoever still writes the record looks for it after.
		if err := cfg.storage.Store(ctx, s.key(folderEnds, id), value); err != nil {
			return err
		}
		return s.remove(ctx, cfg, id)
	})
	if err != nil {
		return fmt.Errorf("ending session %s: %w", id, err)
	}
	return nil
}

// poll reads which sessions ended on other nodes: one listing, however many
// sessions live. Then it brings storage what it could not take before.
func (s *Store) poll(ctx context.Context) error {
	cfg, err := s.configured()
	if err != nil {
		return nil //nolint:nilerr // nothing to read yet
	}
	ended, err := s.readEnds(ctx, cfg)
	for _, id := range ended { // those seen before an error too
		if s.memory.get(id) != nil {
			s.endFromTombstone(ctx, cfg, id)
		}
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if was := s.away.Swap(err != nil); was != (err != nil) {
		s.logger.Warn("session storage changed state", zap.Bool("away", err != nil), zap.Error(err))
	}
	if err != nil {
		return nil //nolint:nilerr // logged above, once
	}
	return errors.Join(s.catchUp(ctx, cfg), s.refreshKeyring(ctx), s.settle(ctx))
}

// readEnds lists the tombstones. A listing that hangs is not begun again.
func (s *Store) readEnds(ctx context.Context, cfg *settings) ([]ID, error) {
	type listing struct {
		ids []ID
		err error
	}
	read, err := shared(ctx, &s.loads, folderEnds, endLimit, func(ctx context.Context) (listing, error) {
		ids, err := s.list(ctx, cfg, folderEnds)
		return listing{ids, err}, nil
	})
	return read.ids, errors.Join(err, read.err)
}

// endFromTombstone ends a session here whose tombstone another node wrote.
func (s *Store) endFromTombstone(ctx context.Context, cfg *settings, id ID) {
	ctx, cancel := context.WithTimeout(ctx, endLimit)
	defer cancel()
	value, _ := load(ctx, cfg, s.key(folderEnds, id)) // without it the reason is unknown
	reason := reasonIn(value)
	s.endLocal(id, reason)
	s.logger.Debug("session ended on another node", zap.Stringer("session_id", id), zap.String("reason", reason))
}

// catchUp ends what storage has no more after it was away for so long that
// tombstones may have expired unread.
func (s *Store) catchUp(ctx context.Context, cfg *settings) error {
	now := s.unix()
	if s.polled == 0 || now-s.polled < int64(tombstoneLife/2/time.Second) {
		s.polled = now
		return nil
	}
	var here []ID // before the listing: a session is stored before memory has it
	s.memory.each(func(session *Session) { here = append(here, session.id) })
	heads, err := s.list(ctx, cfg, folderHeads)
	if err != nil {
		return err
	}
	stored := make(map[ID]struct{}, len(heads))
	for _, id := range heads {
		stored[id] = struct{}{}
	}
	for _, id := range here {
		if _, ok := stored[id]; !ok {
			s.endLocal(id, ReasonRemoved)
		}
	}
	s.polled = now
	return nil
}

const (
	// endsRemembered is for how long a sign-in can ask EndIfRevokedSince; it takes no longer.
	endsRemembered = 2 * time.Minute
	// endsKept bounds how many ends are remembered.
	endsKept = 10_000
)

// revocations are the ends of many sessions that were asked for lately, in their
// order: one that is being made meanwhile is in no list yet.
type revocations struct {
	mu     sync.Mutex
	recent []revocation
}

type revocation struct {
	at        time.Time
	selection *selection
}

func (e *revocations) add(now time.Time, sel *selection) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for len(e.recent) > 0 && (len(e.recent) >= endsKept || now.Sub(e.recent[0].at) > endsRemembered) {
		e.recent = e.recent[1:]
	}
	e.recent = append(e.recent, revocation{now, sel})
}

// since returns the first selection since began that covers head, nil if none.
func (e *revocations) since(began time.Time, head *Head) *selection {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, end := range e.recent {
		if !end.at.Before(began) && end.selection.covers(head) {
			return end.selection
		}
	}
	return nil
}

// EndIfRevokedSince ends a session that Create just made, and returns true, if since
// the sign-in began (at most two minutes ago) this node was asked to end all
// sessions of its user, of its session at the provider, or of the gate: whoever
// asked could not know of it yet. An error is End's.
func (s *Store) EndIfRevokedSince(ctx context.Context, session *Session, began time.Time) (bool, error) {
	sel := s.revoked.since(began, session.head.Load())
	if sel == nil {
		return false, nil
	}
	return true, s.End(ctx, session.id, sel.reason)
}
