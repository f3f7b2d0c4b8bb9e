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

	"github.com/romm-oidc/caddy-romm-oidc/flow/keyring"
)

const (
	sweepEvery  = time.Hour
	sweepLimit  = 2 * time.Minute
	sweepLock   = 5 * time.Second // longer than a storage takes to give a free lock
	sweepPass   = 24              // rounds in which all is read, however much there is
	sweepRound  = 1000            // heads and tombstones read per round at least
	sweepErrors = 5               // told of a round
	sweepChunk  = 256             // of them, after which the marker moves on

	// sweepGrace is added to every limit, for clocks that differ and for last
	// uses that another node has yet to write. Expired sessions open nothing
	// meanwhile.
	sweepGrace = time.Hour
)

// sweepMarker is where the last round stood, whichever node did it.
type sweepMarker struct {
	Swept time.Time `json:"swept"`
	Heads string    `json:"heads,omitempty"` // the last one read, "" to begin anew
	Ends  string    `json:"ends,omitempty"`

	// How many are read a round, as it was when the pass began.
	HeadsRound int `json:"heads_round,omitempty"`
	EndsRound  int `json:"ends_round,omitempty"`
}

// Sweep removes what has expired from storage: a part of it per round, and one
// node at a time. Run calls it every hour; it does nothing if another
// node did less than half of that ago.
func (s *Store) Sweep(ctx context.Context) error {
	cfg, err := s.configured()
	if err != nil {
		return nil // nothing to sweep yet
	}
	ring, err := s.Keyring(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, sweepLimit)
	defer cancel()
	key := s.root() + "/sweep.json"
	if !s.lockSweep(ctx, cfg, key) {
		return nil
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeLimit)
		defer cancel()
		_ = cfg.storage.Unlock(ctx, key) // else it goes stale
	}()

	value, err := load(ctx, cfg, key)
	if err != nil {
		return fmt.Errorf("reading the sweep's marker: %w", err)
	}
	var marker sweepMarker
	if json.Unmarshal(value, &marker) != nil {
		marker = sweepMarker{}
	}
	now := s.now().UTC()
	if since := now.Sub(marker.Swept); since >= 0 && since < sweepEvery/2 {
		return nil // another node just did
	}
	marker.Swept = now
	listed, swept := s.sweepHeads(ctx, cfg, ring, &marker)
	if listed {
		var err error
		listed, err = s.sweepEnds(ctx, cfg, &marker)
		swept = errors.Join(swept, err)
	}
	if !listed { // leave the round to a node that sees storage
		return swept
	}
	value, err = json.Marshal(marker)
	if err == nil {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeLimit) // a round may have used its time up
		defer cancel()
		err = cfg.storage.Store(ctx, key, value)
	}
	return errors.Join(swept, err)
}

// lockSweep returns false when another node sweeps, or storage is away.
func (s *Store) lockSweep(ctx context.Context, cfg *settings, key string) bool {
	ctx, cancel := context.WithTimeout(ctx, sweepLock)
	defer cancel()
	err := cfg.storage.Lock(ctx, key)
	if err != nil {
		s.logger.Debug("sweep is left to another node or a later round", zap.Error(err))
	}
	return err == nil
}

// sweepHeads removes expired sessions. It reports whether it could list them,
// and the errors of those that it could not remove; the others it did.
func (s *Store) sweepHeads(ctx context.Context, cfg *settings, ring *keyring.Keyring, marker *sweepMarker) (bool, error) {
	ids, err := s.list(ctx, cfg, folderHeads)
	if err != nil {
		return false, err
	}
	var removed atomic.Int64
	read, err := s.sweepPart(ctx, ids, &marker.Heads, &marker.HeadsRound, func(ctx context.Context, id ID) error {
		reason, err := s.over(ctx, cfg, ring, id)
		if err == nil && reason != "" {
			removed.Add(1)
			s.endLocal(id, reason)
			err = s.remove(ctx, cfg, id)
		}
		return err
	})
	s.logger.Debug("sessions swept", zap.Int("read", read), zap.Int64("removed", removed.Load()), zap.Int("stored", len(ids)))
	return true, err
}

// sweepPart does work for those of ids whose turn it is, several at a time, and
// moves the cursor past them. What there was no time for is left to the next
// round. It returns for how many it did it, and some of their errors.
func (s *Store) sweepPart(ctx context.Context, ids []ID, cursor *string, round *int,
	work func(context.Context, ID) error,
) (int, error) {
	if *cursor == "" {
		*round = (len(ids) + sweepPass - 1) / sweepPass
	}
	ids, next := part(ids, *cursor, max(sweepRound, *round))
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
					if len(errs) < sweepErrors {
						errs = append(errs, err)
					}
				}
				return nil
			})
		}
		_ = workers.Wait() // none returns an error
		done += len(chunk)
		*cursor = chunk[len(chunk)-1].String()
		if ctx.Err() != nil {
			return done, errors.Join(errs...)
		}
	}
	*cursor = next
	return done, errors.Join(errs...)
}

// guarded does work though a storage module may panic.
func guarded(ctx context.Context, id ID, work func(context.Context, ID) error) (err error) {
	defer recovered(&err)
	return work(ctx, id)
}

// over returns why a session expired, if it did so long ago that every node
// agrees, else "". What it cannot read it leaves alone: a newer version may
// need it.
func (s *Store) over(ctx context.Context, cfg *settings, ring *keyring.Keyring, id ID) (string, error) {
	head, _, err := s.readHead(ctx, cfg, ring, id)
	if head == nil {
		return "", err
	}
	now := s.now().Add(-sweepGrace).Unix()
	if now >= head.until(cfg.limits) {
		return ReasonLifetime, nil
	}
	if now-head.Created.Unix() < int64(cfg.limits.Idle/time.Second) { // too young to be idle
		return "", nil
	}
	used, held, err := s.lastUse(ctx, cfg, ring, id, head)
	if err == nil && !held && now-used >= int64(cfg.limits.Idle/time.Second)+2*cfg.grain {
		return ReasonIdle, nil
	}
	return "", err
}

// sweepEnds removes tombstones that every node has read; it returns what
// sweepHeads does.
func (s *Store) sweepEnds(ctx context.Context, cfg *settings, marker *sweepMarker) (bool, error) {
	ids, err := s.list(ctx, cfg, folderEnds)
	if err != nil {
		return false, err
	}
	_, err = s.sweepPart(ctx, ids, &marker.Ends, &marker.EndsRound, func(ctx context.Context, id ID) error {
		if err := s.sweepEnd(ctx, cfg, id); err != nil {
			return fmt.Errorf("sweeping a tombstone: %w", err)
		}
		return nil
	})
	return true, err
}

// sweepEnd removes a tombstone that is old enough, and before it what an
// interrupted end left of its session.
func (s *Store) sweepEnd(ctx context.Context, cfg *settings, id ID) error {
	key := s.key(folderEnds, id)
	value, err := load(ctx, cfg, key)
	if err != nil || value == nil {
		return err
	}
	now := s.now().UTC()
	var t tombstone
	if json.Unmarshal(value, &t) != nil { // broken: its time begins now
		if value, err = json.Marshal(tombstone{ReasonElsewhere, now}); err != nil {
			return fmt.Errorf("encoding a tombstone: %w", err)
		}
		return cfg.storage.Store(ctx, key, value)
	}
	if now.Sub(t.Ended) < tombstoneLife {
		return nil
	}
	if err := s.remove(ctx, cfg, id); err != nil {
		return err
	}
	return cfg.storage.Delete(ctx, key)
}

// part returns the ids of one round, those that follow the cursor in order,
// and the cursor for the next round.
func part(ids []ID, cursor string, round int) ([]ID, string) {
	slices.SortFunc(ids, func(a, b ID) int { return bytes.Compare(a[:], b[:]) })
	if after, err := ParseID(cursor); err == nil {
		at, found := slices.BinarySearchFunc(ids, after, func(a, b ID) int { return bytes.Compare(a[:], b[:]) })
		if found {
			at++
		}
		ids = ids[at:]
	}
	if len(ids) <= round {
		return ids, ""
	}
	return ids[:round], ids[round-1].String()
}
