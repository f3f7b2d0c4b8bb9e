package session

import (
	"context"
	"sync"
	"time"
)

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
