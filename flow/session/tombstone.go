// Tombstones: how a node learns which sessions ended on other nodes.

package session

import (
	"context"
	"encoding/json"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"
)

// tombstoneLife is how long a tombstone stays in storage.
const tombstoneLife = 24 * time.Hour

// tombstone marks a session as ended. Its existence is what counts: an
// unreadable one ends the session too.
type tombstone struct {
	Reason string    `json:"reason"`
	Ended  time.Time `json:"ended"`
	Until  time.Time `json:"until,omitzero"` // kept in storage until then, if that is longer than tombstoneLife
}

// reasonIn returns the reason in a stored tombstone, never "".
func reasonIn(value []byte) string {
	var t tombstone
	if json.Unmarshal(value, &t) != nil || t.Reason == "" {
		return ReasonElsewhere
	}
	return t.Reason
}

// endedIn returns when a stored tombstone says that the end was: now, if it is
// unreadable or says a time to come.
func (s *Store) endedIn(value []byte) time.Time {
	var t tombstone
	now := s.now()
	if json.Unmarshal(value, &t) != nil || t.Ended.IsZero() || t.Ended.After(now) {
		return now
	}
	return t.Ended
}

// followEnds ends the sessions in memory that ended on another node. It costs
// one listing, however many sessions there are, and finds out whether storage
// is away.
func (s *Store) followEnds(ctx context.Context) error {
	v, err := s.configured()
	if err != nil {
		return nil //nolint:nilerr // not configured, so there are no sessions
	}
	began := s.tick()
	// A listing that hangs is not started a second time.
	ended, err := s.listings.do(ctx, folderTombstones, endLimit, func(ctx context.Context) ([]ID, error) {
		return v.list(ctx, folderTombstones)
	})
	var workers errgroup.Group
	workers.SetLimit(scanWorkers)
	for _, id := range ended { // with an error, those that were listed before it
		if s.memory.get(id) != nil {
			workers.Go(func() (err error) {
				defer recovered(&err)
				s.followEnd(ctx, v, id)
				return nil
			})
		}
	}
	panicked := workers.Wait()
	s.doubts.follow(ended, began, err)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	s.noteRead("List", err) // a listing that hangs has not told its result itself
	return panicked
}

// followEnd ends a session on this node that has a tombstone of another one.
func (s *Store) followEnd(ctx context.Context, v *vault, id ID) {
	ctx, cancel := context.WithTimeout(ctx, endLimit)
	defer cancel()
	reason, _ := v.readEndReason(ctx, id)
	if reason == "" { // unreadable right now, but it was listed
		reason = ReasonElsewhere
	}
	s.endLocal(id, reason)
	s.logger.Debug("session ended on another node", zap.Stringer("session_id", id), zap.String("reason", reason))
}

// catchUp ends the sessions in memory that storage no longer has, if storage
// was away for so long that tombstones may have been swept before this node
// read them.
func (s *Store) catchUp(ctx context.Context) error {
	v, err := s.configured()
	if err != nil {
		return err
	}
	now := pollTime{s.tick(), s.unix()}
	if s.lastPoll == (pollTime{}) || now.since(s.lastPoll) < int64(tombstoneLife/2/time.Second) {
		s.lastPoll = now
		return nil
	}
	// Memory is visited before the listing, because a new session is in storage
	// before it is in memory.
	var inMemory []ID
	s.memory.each(func(session *Session) { inMemory = append(inMemory, session.id) })
	heads, err := v.list(ctx, folderHeads)
	if err != nil {
		return err
	}
	stored := setOf(heads)
	for _, id := range inMemory {
		if !stored.has(id) {
			s.endHere(ctx, id, nil, ReasonRemoved)
		}
	}
	s.lastPoll = now
	return nil
}

// pollTime is a time by both clocks: the process's own one stands still while
// the machine sleeps, and the other nodes continue.
type pollTime struct{ tick, unix int64 }

// since returns the seconds since earlier, by the clock that counted more.
func (t pollTime) since(earlier pollTime) int64 { return max(t.tick-earlier.tick, t.unix-earlier.unix) }
