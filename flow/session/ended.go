// The ends that this node brings about, each reported once.

package session

import "context"

// End is the end of a session, as the node that ended it knows it.
type End struct {
	ID      ID
	Reason  string
	Head    *Head    // nil if it cannot be read
	Session *Session // nil if this node did not have it in memory
}

// OnOwnEnd sets a callback for every session that this node ends, in memory or
// not, once for each. Nodes that only follow do not call theirs, so that an end
// is reported once however many nodes there are. ctx is that of the call which
// ended the session. ended must not block. Call OnOwnEnd before the store is used.
func (s *Store) OnOwnEnd(ended func(ctx context.Context, end End)) { s.onOwnEnd = ended }

// endHere ends a session on this node and reports that. head is that of a
// session that may not be in memory, nil if it cannot be read.
func (s *Store) endHere(ctx context.Context, id ID, head *Head, reason string) {
	if session, news := s.endLocal(id, reason); news {
		s.report(ctx, End{ID: id, Reason: reason, Head: head, Session: session})
	}
}

// endOne is endHere for a session of which only the ID is known. It reports
// nothing if there is no such session.
func (s *Store) endOne(ctx context.Context, id ID, reason string) {
	session, news := s.endLocal(id, reason)
	if !news || s.onOwnEnd == nil {
		return
	}
	end := End{ID: id, Reason: reason, Session: session}
	if session == nil {
		found := make(chan *Head, 1)
		err := within(ctx, endLimit, func(ctx context.Context) error {
			head, err := s.Find(ctx, id)
			found <- head
			return err
		})
		if err == nil { // else storage is away, and there may be such a session
			if end.Head = <-found; end.Head == nil {
				return
			}
		}
	}
	s.report(ctx, end)
}

func (s *Store) report(ctx context.Context, end End) {
	if s.onOwnEnd == nil {
		return
	}
	if end.Session != nil {
		end.Head = end.Session.Head()
	}
	s.onOwnEnd(ctx, end)
}
