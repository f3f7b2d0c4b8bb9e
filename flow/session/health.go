// Health: what the gate last saw of its storage, and what users notice of it.

package session

import (
	"context"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/romm-oidc/caddy-romm-oidc/flow/keyring"
)

const (
	// stuckAfter is how long a call may take until storage counts as away. A
	// storage that hangs returns no error.
	stuckAfter = 10 * time.Second

	// tryWritesEvery is how often a gate in use tries whether storage can be
	// written, if it had nothing to write: users should not be the ones to find out.
	// A gate that is not used writes nothing, so that disks can sleep.
	tryWritesEvery = 15 * time.Second
)

// Storage returns the storage of the last Configure, for other values of the
// gate: what happens there counts for Away too. It is nil before Configure.
func (s *Store) Storage() keyring.Storage {
	if v := s.vault.Load(); v != nil {
		return v.storage
	}
	return nil
}

// Away reports whether the last read of storage failed or the last write did.
// While storage cannot be read, this node does not learn of sessions that ended
// on other nodes and trusts its memory. While it cannot be written, sign-ins fail
// and tokens are not refreshed.
func (s *Store) Away() bool { return s.health.reads.away() || s.health.writes.away() }

// health is what was last seen of a storage.
type health struct {
	reads, writes channel
}

// channel is one direction of a storage.
type channel struct {
	mu      sync.Mutex
	failing map[string]struct{} // the methods that failed the last time
	tried   time.Time           // the last failure, or the last value that was stored
}

func (c *channel) away() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.failing) > 0
}

func (c *channel) fails(method string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, fails := c.failing[method]
	return fails
}

// idle reports whether nothing was learnt for d.
func (c *channel) idle(now time.Time, d time.Duration) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return now.Sub(c.tried) >= d
}

// note takes the result of a call of method and reports whether it changes
// what is known. Each method stands for itself: on a full disk, files can
// still be locked and deleted.
func (c *channel) note(now time.Time, method string, err error) (changed bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	was := len(c.failing) > 0
	switch {
	case err != nil && !was:
		c.failing = map[string]struct{}{method: {}}
	case err != nil:
		c.failing[method] = struct{}{}
	default:
		delete(c.failing, method)
	}
	if err != nil || method == "Store" {
		c.tried = now
	}
	return was != (len(c.failing) > 0)
}

// noteRead takes the result of a read and says once if it changes anything.
func (s *Store) noteRead(method string, err error) {
	switch {
	case !s.health.reads.note(s.now(), method, err):
	case err != nil:
		s.Use() // until it is over
		s.logger.Warn("session storage unreachable, sessions in memory continue, will retry", zap.String("call", method), zap.Error(err))
	default:
		s.logger.Info("session storage reachable again")
	}
}

// noteWrite does the same for a write.
func (s *Store) noteWrite(method string, err error) {
	switch {
	case !s.health.writes.note(s.now(), method, err):
	case err != nil:
		s.Use()
		s.logger.Warn("session storage is read-only: new sign-ins fail, tokens are not refreshed, sessions in memory continue, will retry",
			zap.String("call", method), zap.Error(err))
	default:
		s.logger.Info("session storage is writable again")
	}
}

// tryReads finds out whether values can be loaded from storage again; followEnds
// finds out whether they can be listed. watchedStorage takes note of the result.
func (s *Store) tryReads(ctx context.Context) error {
	v, err := s.configured()
	if err != nil || !s.health.reads.fails("Load") {
		return nil //nolint:nilerr // not configured, so there is nothing to find out
	}
	return within(ctx, probeLimit, func(ctx context.Context) error { _, err := v.load(ctx, s.tryKey()); return err })
}

// tryWrites finds out whether storage can be written: while it could not, and
// once in a while if sessions were used and nothing was written.
func (s *Store) tryWrites(ctx context.Context) error {
	v, err := s.configured()
	if err != nil {
		return nil //nolint:nilerr // not configured, so there is nothing to find out
	}
	switch writes := &s.health.writes; {
	case writes.away():
		return s.Probe(ctx)
	case writes.idle(s.now(), tryWritesEvery) && s.inUse.Swap(false):
		return within(ctx, probeLimit, func(ctx context.Context) error { return v.storage.Store(ctx, s.tryKey(), []byte("x")) })
	}
	return nil
}

// tryKey is the key of a value that means nothing.
func (s *Store) tryKey() string { return keyring.StoragePrefix(s.gate) + "/try" }
