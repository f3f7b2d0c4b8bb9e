// The sweep deletes expired sessions and old tombstones from storage.

package session

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"
)

const (
	sweepEvery     = time.Hour
	sweepLimit     = 2 * time.Minute // for one round
	sweepLockLimit = 5 * time.Second // longer than a storage takes to grant a free lock
	sweepRounds    = 24              // rounds in which everything is read once, however much there is
	sweepMinRound  = 1000            // heads and tombstones read per round, at least
	sweepMaxErrors = 5               // errors reported per round
	sweepChunk     = 256             // heads or tombstones after which the cursor advances

	// sweepGrace is added to every limit, for clocks that differ and for last
	// uses that another node has yet to write. Expired sessions open nothing
	// during that time.
	sweepGrace = time.Hour
)

// sweepMarker is how far the last round got, on whichever node it ran.
type sweepMarker struct {
	Swept time.Time `json:"swept"`
	Heads string    `json:"heads,omitempty"` // the last ID that was read, "" to start a new pass
	Ends  string    `json:"ends,omitempty"`

	// How many are read per round. This is set when a pass starts.
	HeadsRound int `json:"heads_round,omitempty"`
	EndsRound  int `json:"ends_round,omitempty"`
}

// sweepCursor points at the position in one folder, which is part of a marker.
type sweepCursor struct {
	last  *string
	round *int
}

func (m *sweepMarker) heads() sweepCursor { return sweepCursor{&m.Heads, &m.HeadsRound} }
func (m *sweepMarker) ends() sweepCursor  { return sweepCursor{&m.Ends, &m.EndsRound} }

// Sweep deletes a part of what has expired, on one node at a time. Run calls it
// every hour; it does nothing if any node did it less than half an hour ago. It
// is exported for the end-to-end tests, which run it on other storages.
func (s *Store) Sweep(ctx context.Context) error {
	if _, err := s.configured(); err != nil {
		return nil // nothing to sweep yet
	}
	if s.clockSet() { // what it says now must still hold at the next round: the sweep ends sessions for good
		return nil
	}
	keys, err := s.BackgroundKeyring(ctx)
	if err != nil {
		return err
	}
	v := openVault{s.vault.Load(), keys}
	ctx, cancel := context.WithTimeout(ctx, sweepLimit)
	defer cancel()
	key := sessionsPath(s.gate) + "/sweep.json"
	if !s.lockSweep(ctx, v.vault, key) {
		return nil
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeLimit)
		defer cancel()
		_ = v.storage.Unlock(ctx, key) // if this fails, the lock expires
	}()

	value, err := v.load(ctx, key)
	if err != nil {
		return fmt.Errorf("reading the sweep's marker: %w", err)
	}
	var marker sweepMarker
	if json.Unmarshal(value, &marker) != nil {
		marker = sweepMarker{}
	}
	now := s.now().UTC()
	if since := now.Sub(marker.Swept); since >= 0 && since < sweepEvery/2 {
		return nil // another node has just done it
	}
	marker.Swept = now
	listed, swept := s.sweepHeads(ctx, v, &marker)
	if listed {
		var err error
		listed, err = s.sweepTombstones(ctx, v.vault, &marker)
		swept = errors.Join(swept, err)
	}
	if !listed { // leave the round to a node that can list storage
		return swept
	}
	value, err = json.Marshal(marker)
	if err == nil {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeLimit) // the round may have used up its time
		defer cancel()
		err = v.storage.Store(ctx, key, value)
	}
	return errors.Join(swept, err)
}

// lockSweep returns false if another node is sweeping or storage is unreachable.
func (s *Store) lockSweep(ctx context.Context, v *vault, key string) bool {
	ctx, cancel := context.WithTimeout(ctx, sweepLockLimit)
	defer cancel()
	err := v.storage.Lock(ctx, key)
	if err != nil {
		s.logger.Debug("sweep lock not acquired, leaving the sweep to another node or a later round", zap.Error(err))
	}
	return err == nil
}

// sweepHeads removes expired sessions. It reports whether it could list them,
// and errors for those that it could not remove.
func (s *Store) sweepHeads(ctx context.Context, v openVault, marker *sweepMarker) (listed bool, err error) {
	ids, err := v.list(ctx, folderHeads)
	if err != nil {
		return false, err
	}
	var removed atomic.Int64
	read, err := marker.heads().sweep(ctx, ids, func(ctx context.Context, id ID) error {
		head, reason, err := s.expiryReason(ctx, v, id)
		if err == nil && reason != "" {
			removed.Add(1)
			s.endHere(ctx, id, head, reason)
			err = v.remove(ctx, id)
		}
		return err
	})
	s.logger.Debug("sessions swept", zap.Int("read", read), zap.Int64("removed", removed.Load()), zap.Int("stored", len(ids)))
	return true, err
}

// expiryReason returns the head of a session, and why the session expired, if that
// is so long ago that every node agrees, else "". A session with a head that cannot
// be read does not expire: the head may be of a newer version.
func (s *Store) expiryReason(ctx context.Context, v openVault, id ID) (*Head, string, error) {
	head, _, err := v.readHead(ctx, id)
	if head == nil {
		return nil, "", err
	}
	now := s.now().Add(-sweepGrace).Unix()
	idle := int64(v.limits.Idle / time.Second)
	if now >= head.endsAt(v.limits) {
		return head, ReasonLifetime, nil
	}
	if now-head.Created.Unix() < idle { // too young to be idle
		return head, "", nil
	}
	used, held, err := s.lastUse(ctx, v, id, head)
	if err == nil && !held && now-used >= idle+2*v.lastUseEvery {
		return head, ReasonIdle, nil
	}
	return head, "", err
}

// sweepTombstones removes tombstones that every node has read. It returns what
// sweepHeads does.
func (s *Store) sweepTombstones(ctx context.Context, v *vault, marker *sweepMarker) (listed bool, err error) {
	ids, err := v.list(ctx, folderTombstones)
	if err != nil {
		return false, err
	}
	_, err = marker.ends().sweep(ctx, ids, func(ctx context.Context, id ID) error {
		if err := s.sweepTombstone(ctx, v, id); err != nil {
			return fmt.Errorf("sweeping a tombstone: %w", err)
		}
		return nil
	})
	return true, err
}

// sweepTombstone removes a tombstone that is old enough, and before it what an
// interrupted end left of its session.
func (s *Store) sweepTombstone(ctx context.Context, v *vault, id ID) error {
	key := v.key(folderTombstones, id)
	value, err := v.load(ctx, key)
	if err != nil || value == nil {
		return err
	}
	now := s.now().UTC()
	var t tombstone
	if json.Unmarshal(value, &t) != nil { // unreadable: its day starts now
		return v.storeTombstone(ctx, id, tombstone{Reason: ReasonElsewhere, Ended: now})
	}
	if now.Sub(t.Ended) < tombstoneLife || now.Before(t.Until) {
		return nil
	}
	if err := v.remove(ctx, id); err != nil {
		return err
	}
	return v.storage.Delete(ctx, key)
}

// sweep calls work for the next part of ids, several at a time, and advances
// the cursor. If ctx ends early, the rest is left to the next round. It returns
// how many were done, and up to sweepMaxErrors of their errors.
func (c sweepCursor) sweep(ctx context.Context, ids []ID, work func(context.Context, ID) error) (int, error) {
	if *c.last == "" {
		*c.round = (len(ids) + sweepRounds - 1) / sweepRounds
	}
	ids, next := nextPart(ids, *c.last, max(sweepMinRound, *c.round))
	done := 0
	var mu sync.Mutex
	var errs []error
	for chunk := range slices.Chunk(ids, sweepChunk) {
		var workers errgroup.Group
		workers.SetLimit(scanWorkers)
		for _, id := range chunk {
			workers.Go(func() error {
				if err := guarded(ctx, id, work); err != nil {
					mu.Lock()
					defer mu.Unlock()
					if len(errs) < sweepMaxErrors {
						errs = append(errs, err)
					}
				}
				return nil
			})
		}
		_ = workers.Wait() // always nil
		done += len(chunk)
		*c.last = chunk[len(chunk)-1].String()
		if ctx.Err() != nil {
			return done, errors.Join(errs...)
		}
	}
	*c.last = next
	return done, errors.Join(errs...)
}

// guarded calls work and turns a panic of a storage module into an error.
func guarded(ctx context.Context, id ID, work func(context.Context, ID) error) (err error) {
	defer recovered(&err)
	return work(ctx, id)
}

// nextPart returns the next n IDs after last, in order, and the value of last
// for the round after this one: "" if this one reaches the end.
func nextPart(ids []ID, last string, n int) (part []ID, next string) {
	slices.SortFunc(ids, compareIDs)
	if after, err := ParseID(last); err == nil {
		i, found := slices.BinarySearchFunc(ids, after, compareIDs)
		if found {
			i++
		}
		ids = ids[i:]
	}
	if len(ids) <= n {
		return ids, ""
	}
	return ids[:n], ids[n-1].String()
}

func compareIDs(a, b ID) int { return bytes.Compare(a[:], b[:]) }
