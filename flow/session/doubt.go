// Doubts: how a node learns that the application's accounts changed on another
// one.

package session

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/romm-oidc/caddy-romm-oidc/flow/monotonic"
)

const (
	// doubtPause is the least time between two markers of one node: a client that
	// changes accounts all the time fills no storage.
	doubtPause = 50 * time.Millisecond
	// doubtLimit is how long a doubt waits for storage.
	doubtLimit = 3 * time.Second
	// doubtLife is for how long a node leaves its marker in storage.
	doubtLife = 30 * time.Second
	// doubtGap is the longest time between two listings of the markers. After a
	// longer one, a node assumes that it missed a marker. Together with the time
	// that a listing takes, doubtGap is shorter than doubtLife.
	doubtGap = 10 * time.Second
)

// doubtPrefix begins the ID of every marker. The IDs of sessions are hashes. If
// one began like this, the only harm would be a few needless confirmations.
var doubtPrefix = []byte("\xffdoubt\xff\xff")

// doubts are markers in the folder of the tombstones, so that one listing finds
// both. A marker that was not there at the last listing is a new doubt. All but
// writing is ready as its zero value.
type doubts struct {
	writing chan struct{} // has room for one: the right to store a marker

	mu      sync.Mutex
	wanted  uint64 // how many doubts there were
	stored  uint64 // how many of them a marker in storage tells of
	last    int64  // monotonic nanoseconds of the last marker
	own     []ownDoubt
	known   map[ID]struct{} // own markers, and those of the last listing
	listed  int64           // tick at which the last complete listing began; 0: never
	onDoubt []func()
}

// ownDoubt is a marker of this node that is in storage, or may be.
type ownDoubt struct {
	id ID
	at int64 // tick
}

// Doubt tells the other nodes that what they know about the application's
// accounts may be wrong: their OnDoubt runs within seconds. It waits for
// storage for a moment; if storage does not take the doubt, the store retries.
func (s *Store) Doubt(ctx context.Context) {
	s.doubts.mu.Lock()
	s.doubts.wanted++
	wanted := s.doubts.wanted
	s.doubts.mu.Unlock()
	s.Use() // the marker is to be removed later
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), doubtLimit)
	defer cancel()
	if err := s.storeDoubt(ctx, wanted); err != nil {
		s.logger.Debug("change of accounts not told to other nodes, will retry", zap.Error(err))
	}
}

// OnDoubt adds a callback for the doubts of other nodes. It also runs if this
// node may have missed one. It must not block. Call OnDoubt before the store is used.
func (s *Store) OnDoubt(doubted func()) { s.doubts.onDoubt = append(s.doubts.onDoubt, doubted) }

// waiting reports whether a doubt has to be stored, or a marker of this node removed.
func (d *doubts) waiting() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.wanted > d.stored || len(d.own) > 0
}

// follow runs the callbacks if the listing that began at that tick shows a new
// doubt, or may be too late to show one.
func (d *doubts) follow(listed []ID, began int64, failed error) {
	if !d.shows(listed, began, failed) {
		return
	}
	for _, doubted := range d.onDoubt {
		doubted()
	}
}

func (d *doubts) shows(listed []ID, began int64, failed error) (doubted bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	markers := 0
	for _, id := range listed {
		if bytes.HasPrefix(id[:], doubtPrefix) {
			markers++
			_, known := d.known[id]
			doubted = doubted || !known
		}
	}
	if failed == nil {
		doubted = doubted || d.listed == 0 || began-d.listed > int64(doubtGap/time.Second)
		d.listed = began
	}
	if markers+len(d.known) > 0 {
		d.remember(listed, failed != nil)
	}
	return doubted
}

// remember notes the markers in listed as known, beside the own ones. It keeps
// the others only if the listing is incomplete.
func (d *doubts) remember(listed []ID, incomplete bool) {
	known := make(map[ID]struct{})
	for _, own := range d.own {
		known[own.id] = struct{}{}
	}
	for _, id := range listed {
		if bytes.HasPrefix(id[:], doubtPrefix) {
			known[id] = struct{}{}
		}
	}
	if incomplete {
		for id := range d.known {
			known[id] = struct{}{}
		}
	}
	d.known = known
}

// storeDoubt stores a marker that tells of all doubts so far, unless an earlier
// marker tells of the first wanted ones already.
func (s *Store) storeDoubt(ctx context.Context, wanted uint64) error {
	d := &s.doubts
	select {
	case d.writing <- struct{}{}:
		defer func() { <-d.writing }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	marker := ownDoubt{at: s.tick()}
	_, _ = rand.Read(marker.id[copy(marker.id[:], doubtPrefix):]) // never fails (crypto/rand)
	d.mu.Lock()
	if d.stored >= wanted {
		d.mu.Unlock()
		return nil
	}
	wait := doubtPause - time.Duration(monotonic.Nanoseconds(s.now())-d.last)
	d.mu.Unlock()
	if wait > 0 {
		pause := time.NewTimer(wait)
		defer pause.Stop()
		select {
		case <-pause.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	d.mu.Lock()
	wanted, d.last = d.wanted, monotonic.Nanoseconds(s.now())
	if d.known == nil {
		d.known = make(map[ID]struct{})
	}
	d.known[marker.id] = struct{}{} // before a listing can show it
	d.own = append(d.own, marker)
	d.mu.Unlock()
	v, err := s.configured()
	if err != nil {
		return err
	}
	err = within(ctx, storeLimit, func(ctx context.Context) error {
		return v.storeTombstone(ctx, marker.id, tombstone{Reason: "doubt", Ended: s.now().UTC()})
	})
	if err != nil {
		return fmt.Errorf("storing a doubt: %w", err)
	}
	d.mu.Lock()
	d.stored = max(d.stored, wanted)
	d.mu.Unlock()
	return nil
}

// maintainDoubts stores the doubt that storage did not take, and removes the
// markers of this node that every other one has seen. The sweep removes those of
// a node that is gone.
func (s *Store) maintainDoubts(ctx context.Context) error {
	v, err := s.configured()
	if err != nil {
		return err
	}
	d := &s.doubts
	d.mu.Lock()
	wanted, missing, due := d.wanted, d.wanted > d.stored, slices.Clone(d.own)
	d.mu.Unlock()
	var stored error
	if missing {
		stored = s.storeDoubt(ctx, wanted)
	}
	removed := 0
	for _, marker := range due {
		if s.tick()-marker.at < int64(doubtLife/time.Second) {
			break
		}
		err := within(ctx, storeLimit, func(ctx context.Context) error { return v.storage.Delete(ctx, v.key(folderTombstones, marker.id)) })
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			break // the next poll retries
		}
		removed++
	}
	d.mu.Lock()
	d.own = d.own[removed:] // only this task removes
	d.mu.Unlock()
	return stored
}
