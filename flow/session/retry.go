package session

import (
	"context"
	"errors"
	"slices"
	"sync"
)

const (
	dueEnds    = 10_000 // ends that may wait for storage
	dueScans   = 100    // ends of many sessions that may
	dueInRound = 100    // how many of a kind one round tries
)

// retryQueue is what storage could not take yet. What waits here has happened in this
// process already.
type retryQueue struct {
	mu      sync.Mutex
	ends    map[ID]tombstone
	scans   []*selection
	records map[ID]*Session // memory keeps them: unsaved ones are not evicted
}

func (d *retryQueue) end(id ID, t tombstone) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.ends == nil {
		d.ends = make(map[ID]tombstone)
	}
	if _, known := d.ends[id]; !known && len(d.ends) >= dueEnds {
		return false
	}
	d.ends[id] = t
	return true
}

func (d *retryQueue) scan(sel *selection) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if slices.Contains(d.scans, sel) {
		return true
	}
	if len(d.scans) >= dueScans {
		return false
	}
	d.scans = append(d.scans, sel)
	return true
}

func (d *retryQueue) record(session *Session) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.records == nil {
		d.records = make(map[ID]*Session)
	}
	d.records[session.id] = session
}

// covers reports whether a session that storage still has was ended here.
func (d *retryQueue) covers(id ID, head *Head) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, ended := d.ends[id]; ended {
		return true
	}
	return slices.ContainsFunc(d.scans, func(sel *selection) bool { return sel.has(head) })
}

// some returns a copy of what one round tries.
func (d *retryQueue) some() (ends map[ID]tombstone, scans []*selection, records []*Session) {
	d.mu.Lock()
	defer d.mu.Unlock()
	ends = make(map[ID]tombstone)
	for id, t := range d.ends {
		if len(ends) == dueInRound {
			break
		}
		ends[id] = t
	}
	for _, session := range d.records {
		if len(records) == dueInRound {
			break
		}
		records = append(records, session)
	}
	return ends, slices.Clone(d.scans), records
}

func (d *retryQueue) ended(id ID) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.ends, id)
}

func (d *retryQueue) scanned(sel *selection) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.scans = slices.DeleteFunc(d.scans, func(other *selection) bool { return other == sel })
}

func (d *retryQueue) saved(id ID) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.records, id)
}

// settle tries again what storage could not take. Of each kind the first
// failure ends the round: storage is away again.
func (s *Store) settle(ctx context.Context) error {
	ends, scans, records := s.retries.some()
	return errors.Join(s.settleEnds(ctx, ends), s.settleScans(ctx, scans), s.settleRecords(ctx, records))
}

func (s *Store) settleEnds(ctx context.Context, ends map[ID]tombstone) error {
	for id, t := range ends {
		limited, cancel := context.WithTimeout(ctx, endLimit)
		err := s.persistEnd(limited, id, t)
		cancel()
		if err != nil {
			return err
		}
		s.retries.ended(id)
	}
	return nil
}

func (s *Store) settleScans(ctx context.Context, scans []*selection) error {
	for _, sel := range scans {
		if _, err := s.endSelected(ctx, sel); err != nil {
			return err
		}
		s.retries.scanned(sel)
	}
	return nil
}

func (s *Store) settleRecords(ctx context.Context, records []*Session) error {
	for _, session := range records {
		limited, cancel := context.WithTimeout(ctx, storeLimit)
		err := s.Update(limited, session, func(*Record) {})
		cancel()
		if err != nil && !errors.Is(err, ErrEnded) {
			return err
		}
		if !session.record.Load().unsaved || session.Ended() {
			s.retries.saved(session.id)
		}
	}
	return nil
}
