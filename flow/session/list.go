// Queries over the sessions of a gate, in memory and in storage.

package session

import (
	"context"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// scanWorkers is how many values are read at the same time: a storage across
// the network answers that many in the time of one.
const scanWorkers = 32

// idSet answers in constant time whether it has an ID. Lists have thousands.
type idSet map[ID]struct{}

func setOf(ids []ID) idSet {
	set := make(idSet, len(ids))
	for _, id := range ids {
		set[id] = struct{}{}
	}
	return set
}

func (set idSet) has(id ID) bool {
	_, ok := set[id]
	return ok
}

// List returns the sessions that have not ended, the newest first.
func (s *Store) List(ctx context.Context) ([]Entry, error) {
	return s.entries(ctx, func(*Head) bool { return true })
}

// ListUser returns the sessions of a user (see UserKey) as List does. Of other
// users' sessions it reads only the heads.
func (s *Store) ListUser(ctx context.Context, userKey string) ([]Entry, error) {
	return s.entries(ctx, func(head *Head) bool { return head.UserKey == userKey })
}

// Find returns the head of a session, or nil without an error if there is no
// session with this ID or it has ended. It does not count as a use.
func (s *Store) Find(ctx context.Context, id ID) (*Head, error) {
	if session := s.memory.get(id); session != nil {
		return session.Head(), nil
	}
	v, err := s.openVault(ctx)
	if err != nil {
		return nil, err
	}
	head, _, err := v.readHead(ctx, id)
	if head == nil || s.unix() >= head.endsAt(v.limits) || s.retries.hasEnded(id, head) {
		return nil, err
	}
	reason, err := v.readEndReason(ctx, id)
	if err != nil || reason != "" {
		return nil, err
	}
	return head, nil
}

// entries returns the sessions with a matching head that have not ended.
func (s *Store) entries(ctx context.Context, match func(*Head) bool) ([]Entry, error) {
	v, err := s.openVault(ctx)
	if err != nil {
		return nil, err
	}
	tombstones, err := v.list(ctx, folderTombstones)
	if err != nil {
		return nil, err
	}
	ended := setOf(tombstones)
	now := s.unix()
	var mu sync.Mutex
	entries := []Entry{}
	err = s.scan(ctx, func(ctx context.Context, id ID, head *Head) error {
		if head == nil || !match(head) || now >= head.endsAt(v.limits) || ended.has(id) {
			return nil
		}
		used, held, err := s.lastUse(ctx, v, id, head)
		if err != nil {
			return err
		}
		if !held && now-used >= int64(v.limits.Idle/time.Second) {
			return nil
		}
		entry := Entry{Head: *head, ID: id, LastSeen: time.Unix(used, 0).UTC()}
		entry.Expires = time.Unix(head.endsAt(v.limits), 0).UTC()
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

// scan calls visit for every session in storage, several at a time, with a nil
// head if this version cannot read it. It stops at the first error.
func (s *Store) scan(ctx context.Context, visit func(context.Context, ID, *Head) error) (err error) {
	defer recovered(&err)
	v, err := s.openVault(ctx)
	if err != nil {
		return err
	}
	ids, err := v.list(ctx, folderHeads)
	if err != nil {
		return err
	}
	workers, ctx := errgroup.WithContext(ctx)
	workers.SetLimit(scanWorkers)
	for _, id := range ids {
		workers.Go(func() (err error) {
			defer recovered(&err)
			if session := s.memory.get(id); session != nil {
				return visit(ctx, id, session.Head())
			}
			head, found, err := v.readHead(ctx, id)
			if err != nil || !found {
				return err
			}
			return visit(ctx, id, head)
		})
	}
	return workers.Wait()
}
