// Lookup: from the ticket in a cookie to its session, in memory or in storage.

package session

import (
	"context"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/flow/monotonic"
)

// Lookup is LookupAt for now.
func (s *Store) Lookup(ctx context.Context, text string) (*Session, error) {
	return s.LookupAt(ctx, text, s.now())
}

// LookupAt returns the session that the ticket in a cookie opens, and marks it as
// used. It returns nil without an error if there is no such session: the text
// is no ticket, the ticket is forged, or its session has ended. An error means
// that storage did not answer: the session may exist, and the caller answers
// 503.
//
// A session in memory costs no I/O and no lock, a forged ticket no I/O. The time
// at is that of the request, by the store's clock.
func (s *Store) LookupAt(ctx context.Context, text string, at time.Time) (*Session, error) {
	t, ok := parseTicket(text)
	if !ok {
		return nil, nil
	}
	v, err := s.configured()
	if err != nil {
		return nil, err
	}
	sum := t.sum()
	id := idOf(sum)
	session, known := s.memory.find(id, &sum)
	if session == nil {
		if known {
			return nil, nil
		}
		return s.load(ctx, v, t, id)
	}
	now := monotonic.Seconds(at)
	switch {
	case session.ended.Load():
		return nil, nil
	case session.expired(now, v.limits):
		s.endHere(ctx, id, nil, ReasonLifetime)
		return nil, nil
	case session.idle(now, v.limits): // on this node, but maybe in use on another one
		s.memory.evict(session)
		return s.load(ctx, v, t, id)
	}
	s.markUsed(session, now, v)
	return session, nil
}

// load reads a session that is not in memory.
func (s *Store) load(ctx context.Context, v *vault, t ticket, id ID) (*Session, error) {
	if s.memory.absent.contains(id, s.tick()) {
		return nil, nil
	}
	keys, err := s.Keyring(ctx)
	if err != nil {
		return nil, err
	}
	if !t.genuine(keys) {
		return nil, s.outdated()
	}
	// The key is the hash of the whole ticket: only requests with the same
	// ticket share a result.
	sum := t.sum()
	return s.loads.do(ctx, string(sum[:]), loadLimit, func(ctx context.Context) (*Session, error) {
		return s.read(ctx, openVault{v, keys}, t, id)
	})
}

func (s *Store) read(ctx context.Context, v openVault, t ticket, id ID) (*Session, error) {
	now := s.tick()
	head, _, err := v.readHead(ctx, id)
	if head == nil {
		return nil, s.markAbsent(id, now, err)
	}
	record, err := v.readRecord(ctx, t.key(s.gate), id)
	if record == nil {
		return nil, s.markAbsent(id, now, err)
	}
	used, err := v.readLastUse(ctx, id)
	if err != nil {
		return nil, err
	}
	// The tombstone is read last, to notice an end during the reads above. An end
	// leaves the queue once its tombstone is stored.
	queued := s.retries.hasEnded(id, head)
	reason, err := v.readEndReason(ctx, id)
	if err != nil {
		return nil, err
	}
	record.anchor(s.now())
	session := s.newSession(t, head, record, max(used, head.Created.Unix()))
	switch {
	case reason != "" || queued:
		s.memory.absent.add(id, forGood)
		return nil, nil
	case session.expired(now, v.limits), session.idle(now, v.limits): // the sweep ends it
		return nil, s.markAbsent(id, now, nil)
	}
	if session = s.memory.insert(session); session != nil {
		s.markUsed(session, now, v.vault)
	}
	return session, nil
}

// markAbsent remembers that there is no session, unless err says that storage
// did not answer. It remembers for a minute only: on some storages a new value
// takes a moment to be visible everywhere.
func (s *Store) markAbsent(id ID, now int64, err error) error {
	if err == nil {
		s.memory.absent.add(id, now+absentSeconds)
	}
	return err
}
