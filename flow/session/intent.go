// Intents: a change that cannot be made twice is announced in storage first.

package session

import (
	"context"
	"fmt"
	"time"
)

const (
	// intentFresh is how long a node leaves a session alone after it found the
	// intent of another process, which may be slow, or have lost its lock while
	// storage was away.
	intentFresh = time.Minute

	// intentOld is the age from which an intent is certainly old, by clocks that
	// differ by minutes.
	intentOld = 10 * time.Minute
)

// intent announces a change that cannot be made twice, such as a refresh, which
// uses up the refresh token. The record has it from before the change until
// its result is stored.
type intent struct {
	Process string    `json:"process"` // a random name
	Node    string    `json:"node,omitempty"`
	Began   time.Time `json:"began"`
}

// sighting is when this node first found an intent.
type sighting struct {
	intent intent
	at     time.Time
}

// UpdateOnce is Update for a change that cannot be made twice. It calls change
// only if due returns true for the record as it is in storage, and only after
// storage took an intent under the same lock: if storage takes locks but no
// values, the result of change would be lost. If another process announced the
// same change and its result is not stored, UpdateOnce returns an error for a
// minute, in which that process may be done. After that it tries: the process
// has crashed.
//
// If change changes nothing, the intent stays. It does not keep this process
// from the next try.
func (s *Store) UpdateOnce(ctx context.Context, session *Session, due func(*Record) bool, change func(*Record)) error {
	return s.update(ctx, session, func(ctx context.Context, v *vault, current *Session, unreachable error) error {
		if unreachable != nil {
			return fmt.Errorf("updating a session: %w", unreachable)
		}
		known := current.record.Load()
		if !due(&known.Record) {
			return nil
		}
		if s.isFresh(known.Intent, current) {
			return fmt.Errorf("updating session %s (node %q, began %s): %w", session.id, known.Intent.Node,
				known.Intent.Began.Format(time.RFC3339), errBeingChanged)
		}
		announced := &snapshot{
			Revision: known.Revision + 1, Record: known.Record,
			Intent: &intent{Process: s.process, Node: s.node, Began: s.now().UTC()},
		}
		if err := s.announce(ctx, v, current, announced); err != nil {
			return fmt.Errorf("announcing a change of session %s, which is not made: %w", session.id, err)
		}
		if current.Ended() {
			return s.removeIfEnded(ctx, v, current)
		}
		next := announced.revise(change)
		if next == nil {
			return s.removeIfEnded(ctx, v, current)
		}
		next.Intent = nil
		return s.commit(ctx, v, current, next)
	})
}

func (s *Store) announce(ctx context.Context, v *vault, session *Session, announced *snapshot) error {
	ctx, cancel := context.WithTimeout(ctx, storeLimit)
	defer cancel()
	if err := s.save(ctx, v, session, announced); err != nil {
		return err
	}
	session.record.Store(announced)
	return nil
}

// isFresh reports whether another process may be making the announced change.
// It goes by the time since this node found the intent: clocks differ.
func (s *Store) isFresh(found *intent, current *Session) bool {
	if found == nil || found.Process == s.process {
		return false
	}
	now := s.now()
	if age := now.Sub(found.Began); age.Abs() >= intentOld {
		return false
	}
	if current.foreign == nil || current.foreign.intent != *found {
		current.foreign = &sighting{*found, now}
	}
	return now.Sub(current.foreign.at) < intentFresh
}
