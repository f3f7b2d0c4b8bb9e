package session

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/romm-oidc/caddy-romm-oidc/flow/keyring"
)

// scanWorkers is how many heads are read at once: a storage on the network
// answers as many in the time of one.
const scanWorkers = 32

// selection is a choice of sessions by their heads.
type selection struct {
	covers func(*Head) bool // given nil for a head that cannot be read
	reason string
	until  time.Time // sessions created later are not meant; zero for no limit
}

func (sel *selection) has(head *Head) bool {
	if head != nil && !sel.until.IsZero() && head.Created.After(sel.until) {
		return false
	}
	return sel.covers(head)
}

// EndUser ends all sessions of a user (UserKey) and returns how many it ended.
// With an error there may be more; the store goes on trying.
func (s *Store) EndUser(ctx context.Context, userKey, reason string) (int, error) {
	return s.endAll(ctx, reason, func(head *Head) bool { return head != nil && head.UserKey == userKey })
}

// EndSID ends the sessions that came from one session at the provider (SIDKey)
// and returns how many it ended, with an error as EndUser does.
func (s *Store) EndSID(ctx context.Context, sidKey, reason string) (int, error) {
	if sidKey == "" { // as it is of sessions whose provider names none
		return 0, nil
	}
	return s.endAll(ctx, reason, func(head *Head) bool { return head != nil && head.SID == sidKey })
}

// EndAll ends every session of the gate and returns how many it ended, with an
// error as EndUser does.
func (s *Store) EndAll(ctx context.Context, reason string) (int, error) {
	return s.endAll(ctx, reason, func(*Head) bool { return true })
}

func (s *Store) endAll(ctx context.Context, reason string, covers func(*Head) bool) (int, error) {
	return s.endSelected(ctx, &selection{covers: covers, reason: reason})
}

// endSelected ends the selected sessions in memory at once, then those that
// only storage has. What storage did not take is due.
func (s *Store) endSelected(ctx context.Context, sel *selection) (int, error) {
	asked := s.now().UTC()
	s.revoked.add(asked, sel) // before memory is looked at: Create writes there, then EndIfRevokedSince looks here
	var mu sync.Mutex
	chosen := make(map[ID]struct{})
	choose := func(id ID, head *Head) {
		if sel.has(head) {
			mu.Lock()
			chosen[id] = struct{}{}
			mu.Unlock()
			s.endLocal(id, sel.reason)
		}
	}
	s.memory.each(func(session *Session) { choose(session.id, session.head.Load()) })
	err := s.scan(ctx, func(_ context.Context, id ID, head *Head) error {
		choose(id, head)
		return nil
	})
	if err == nil {
		err = s.persistEnds(ctx, chosen, tombstone{sel.reason, asked})
	}
	if err != nil {
		if sel.until.IsZero() { // not those who sign in again before storage is back
			sel.until = asked
		}
		if !s.retries.scan(sel) {
			s.logger.Error("end of many sessions is lost to storage, too many wait", zap.Error(err))
		}
	}
	return len(chosen), err
}

func (s *Store) persistEnds(ctx context.Context, ids map[ID]struct{}, t tombstone) error {
	work, ctx := errgroup.WithContext(ctx)
	work.SetLimit(scanWorkers)
	for id := range ids {
		work.Go(func() error {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			return s.persistEnd(ctx, id, t)
		})
	}
	return work.Wait()
}

// EndNamed ends the sessions that were signed in under a user name, or that
// belong to one of these users (UserKey), and returns what EndUser does.
func (s *Store) EndNamed(ctx context.Context, username string, userKeys []string, reason string) (int, error) {
	return s.endAll(ctx, reason, func(head *Head) bool {
		return head != nil && (head.User == username || slices.Contains(userKeys, head.UserKey))
	})
}

// List returns the living sessions, those created last first.
func (s *Store) List(ctx context.Context) ([]Entry, error) {
	return s.entries(ctx, func(*Head) bool { return true })
}

// ListUser returns the living sessions of a user (UserKey), as List does. Of
// the others it reads no more than the head.
func (s *Store) ListUser(ctx context.Context, userKey string) ([]Entry, error) {
	return s.entries(ctx, func(head *Head) bool { return head.UserKey == userKey })
}

// Find returns the head of a living session, nil without an error if there is
// none of this id. It is no use of the session.
func (s *Store) Find(ctx context.Context, id ID) (*Head, error) {
	if session := s.memory.get(id); session != nil {
		return session.head.Load(), nil
	}
	cfg, err := s.configured()
	if err != nil {
		return nil, err
	}
	ring, err := s.Keyring(ctx)
	if err != nil {
		return nil, err
	}
	head, _, err := s.readHead(ctx, cfg, ring, id)
	if head == nil || s.unix() >= head.until(cfg.limits) || s.retries.covers(id, head) {
		return nil, err
	}
	ended, err := load(ctx, cfg, s.key(folderEnds, id))
	if err != nil {
		return nil, fmt.Errorf("reading the end of session %s: %w", id, err)
	}
	if ended != nil {
		return nil, nil
	}
	return head, nil
}

// entries returns the living sessions whose heads covers chooses.
func (s *Store) entries(ctx context.Context, covers func(*Head) bool) ([]Entry, error) {
	cfg, err := s.configured()
	if err != nil {
		return nil, err
	}
	ring, err := s.Keyring(ctx)
	if err != nil {
		return nil, err
	}
	ended, err := s.list(ctx, cfg, folderEnds)
	if err != nil {
		return nil, err
	}
	over := make(map[ID]struct{}, len(ended))
	for _, id := range ended {
		over[id] = struct{}{}
	}
	now := s.unix()
	var mu sync.Mutex
	entries := []Entry{}
	err = s.scan(ctx, func(ctx context.Context, id ID, head *Head) error {
		if head == nil || !covers(head) || now >= head.until(cfg.limits) || slices.Contains(ended, id) {
			return nil
		}
		used, held, err := s.lastUse(ctx, cfg, ring, id, head)
		if err != nil {
			return err
		}
		if !held && now-used >= int64(cfg.limits.Idle/time.Second) {
			return nil
		}
		entry := Entry{Head: *head, ID: id, LastSeen: time.Unix(used, 0).UTC()}
		entry.Expires = time.Unix(head.until(cfg.limits), 0).UTC()
		mu.Lock()
		defer mu.Unlock()
		entries = append(entries, entry)
		return nil
	})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(entries, func(a, b Entry) int { return b.Created.Compare(a.Created) })
	return entries, nil
}

// lastUse returns the last use of a session that this node knows of, in Unix
// seconds, and whether it is in use right now.
func (s *Store) lastUse(ctx context.Context, cfg *settings, ring *keyring.Keyring, id ID, head *Head) (used int64, held bool, err error) {
	value, err := load(ctx, cfg, s.key(folderSeen, id))
	if err != nil {
		return 0, false, err
	}
	used = max(head.Created.Unix(), openSeen(ring, id, value))
	if session := s.memory.get(id); session != nil {
		used, held = max(used, session.used.Load()), session.held.Load() > 0
	}
	return used, held, nil
}

// scan calls visit for every session in storage, several at a time, with nil
// for a head that this version cannot read. It stops at the first error.
func (s *Store) scan(ctx context.Context, visit func(context.Context, ID, *Head) error) (err error) {
	defer recovered(&err)
	cfg, err := s.configured()
	if err != nil {
		return err
	}
	ring, err := s.Keyring(ctx)
	if err != nil {
		return err
	}
	ids, err := s.list(ctx, cfg, folderHeads)
	if err != nil {
		return err
	}
	work, ctx := errgroup.WithContext(ctx)
	work.SetLimit(scanWorkers)
	for _, id := range ids {
		work.Go(func() (err error) {
			defer recovered(&err)
			if session := s.memory.get(id); session != nil {
				return visit(ctx, id, session.head.Load())
			}
			head, found, err := s.readHead(ctx, cfg, ring, id)
			if err != nil || !found {
				return err
			}
			return visit(ctx, id, head)
		})
	}
	return work.Wait()
}
