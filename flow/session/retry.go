// Retries of what storage could not take while it was unreachable.

package session

import (
	"context"
	"errors"
	"slices"
	"sync"
)

const (
	maxRetryEnds       = 10_000 // ends in the queue
	maxRetrySelections = 100    // selections in the queue
	retryBatch         = 100    // ends and records tried per round

	// retryRound is after which time a round leaves the rest to the next one: the ends
	// of other nodes must not wait for it.
	retryRound = pollEvery
)

// retryQueue holds the changes that have happened on this node but are not in
// storage yet.
type retryQueue struct {
	mu         sync.Mutex
	ends       map[ID]tombstone
	selections []*selection
	records    map[ID]*Session // bounded by memory, which never evicts an unsaved session
}

// addEnd returns false if the queue is full.
func (q *retryQueue) addEnd(id ID, t tombstone) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.ends == nil {
		q.ends = make(map[ID]tombstone)
	}
	if _, queued := q.ends[id]; !queued && len(q.ends) >= maxRetryEnds {
		return false
	}
	q.ends[id] = t
	return true
}

// addSelection returns false if the queue is full.
func (q *retryQueue) addSelection(sel *selection) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if slices.Contains(q.selections, sel) {
		return true
	}
	if len(q.selections) >= maxRetrySelections {
		return false
	}
	q.selections = append(q.selections, sel)
	return true
}

func (q *retryQueue) addRecord(session *Session) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.records == nil {
		q.records = make(map[ID]*Session)
	}
	q.records[session.id] = session
}

// hasEnded reports whether a session that is still in storage has ended here.
func (q *retryQueue) hasEnded(id ID, head *Head) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if _, ended := q.ends[id]; ended {
		return true
	}
	return slices.ContainsFunc(q.selections, func(sel *selection) bool { return sel.includes(head) })
}

// batch returns a copy of what one round tries.
func (q *retryQueue) batch() (ends map[ID]tombstone, selections []*selection, records []*Session) {
	q.mu.Lock()
	defer q.mu.Unlock()
	ends = make(map[ID]tombstone)
	for id, t := range q.ends {
		if len(ends) == retryBatch {
			break
		}
		ends[id] = t
	}
	for _, session := range q.records {
		if len(records) == retryBatch {
			break
		}
		records = append(records, session)
	}
	return ends, slices.Clone(q.selections), records
}

// waiting returns how many ends and selections are in the queue.
func (q *retryQueue) waiting() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.ends) + len(q.selections)
}

// any reports whether anything is in the queue.
func (q *retryQueue) any() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.ends)+len(q.selections)+len(q.records) > 0
}

// end returns the end of id that is not in storage yet.
func (q *retryQueue) end(id ID) (tombstone, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	t, queued := q.ends[id]
	return t, queued
}

func (q *retryQueue) removeEnd(id ID) {
	q.mu.Lock()
	defer q.mu.Unlock()
	delete(q.ends, id)
}

func (q *retryQueue) removeSelection(sel *selection) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.selections = slices.DeleteFunc(q.selections, func(other *selection) bool { return other == sel })
}

func (q *retryQueue) removeRecord(id ID) {
	q.mu.Lock()
	defer q.mu.Unlock()
	delete(q.records, id)
}

// retry tries a batch of the queue. Ends, selections and records are tried
// independently; the first failure of each ends its part of the round, because
// storage is unreachable again.
func (s *Store) retry(ctx context.Context) error {
	ends, selections, records := s.retries.batch()
	return errors.Join(s.retryEnds(ctx, ends), s.retrySelections(ctx, selections), s.retryRecords(ctx, records))
}

// retryAll tries the whole queue, until ctx ends.
func (s *Store) retryAll(ctx context.Context) error {
	for {
		before := s.retries.waiting()
		if err := s.retry(ctx); err != nil || ctx.Err() != nil || s.retries.waiting() >= before {
			return err
		}
	}
}

func (s *Store) retryEnds(ctx context.Context, ends map[ID]tombstone) error {
	began := s.now()
	for id, t := range ends {
		if s.now().Sub(began) >= retryRound {
			break
		}
		limited, cancel := context.WithTimeout(ctx, endLimit)
		err := s.persistEnd(limited, id, t)
		cancel()
		if err != nil {
			return err
		}
		s.retries.removeEnd(id)
	}
	return nil
}

func (s *Store) retrySelections(ctx context.Context, selections []*selection) error {
	for _, sel := range selections {
		if _, err := s.endSelected(ctx, sel); err != nil {
			return err
		}
		s.retries.removeSelection(sel)
	}
	return nil
}

func (s *Store) retryRecords(ctx context.Context, records []*Session) error {
	began := s.now()
	for _, session := range records {
		if s.now().Sub(began) >= retryRound {
			break
		}
		limited, cancel := context.WithTimeout(ctx, storeLimit)
		err := s.Update(limited, session, func(*Record) {})
		cancel()
		if err != nil && !errors.Is(err, ErrEnded) {
			return err
		}
		if !session.record.Load().unsaved || session.Ended() {
			s.retries.removeRecord(session.id)
		}
	}
	return nil
}
