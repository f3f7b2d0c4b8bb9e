// Rest: a gate that nothing concerns does nothing, until it is used again.

package session

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/flow/keyring"
)

// restAfter is for how long a gate must not have been used until it rests. It is
// longer than the minute for which the gate believes, without asking again, what it
// learnt and does not keep in a session.
const restAfter = 2 * time.Minute

// rest is whether the background tasks run. While there is anything in memory that
// another node could end, change or void, they do. The zero value does not rest.
type rest struct {
	used  atomic.Bool                   // since that was last looked at
	over  atomic.Pointer[chan struct{}] // closed when the rest ends; nil: there is none
	begun atomic.Int64                  // how many rests began
	read  atomic.Int64                  // after how many of them the keyring was read again
}

// Use says that the gate has, or is about to have, something in memory that a doubt
// or an end on another node may concern. It ends a rest, and keeps the background
// tasks running for two minutes. It does not block.
func (s *Store) Use() {
	if !s.rest.used.Load() { // a write that all cores would wait for, only where it changes something
		s.rest.used.Store(true)
	}
	if over := s.rest.over.Load(); over != nil && s.rest.over.CompareAndSwap(over, nil) {
		close(*over)
	}
}

// Resting returns a channel that is closed when the rest ends, nil if the store does
// not rest.
func (s *Store) Resting() <-chan struct{} {
	if over := s.rest.over.Load(); over != nil {
		return *over
	}
	return nil
}

// lieDown begins a rest, and ends it if there is something to do. The channel is
// closed when it ends.
func (s *Store) lieDown() <-chan struct{} {
	over := make(chan struct{})
	s.rest.begun.Add(1)
	s.rest.over.Store(&over)
	if s.rest.used.Load() || s.busy() { // since the last look: Use may have seen no rest
		s.Use()
	}
	return over
}

// busy reports whether the background tasks have something to do or to follow.
func (s *Store) busy() bool {
	return s.memory.size() > 0 || s.retries.any() || s.doubts.waiting() || len(s.lastUses) > 0 || s.Away()
}

// keyringAfterRest reads the keyring again, which other nodes may have changed during
// the last of the rests, and returns the one in memory if storage does not answer.
func (s *Store) keyringAfterRest(ctx context.Context, known *loadedKeyring, rests int64) *keyring.Keyring {
	if known.from != s.vault.Load() {
		_, _ = s.loadKeyring(ctx)
	} else {
		_ = s.rotate(ctx, false)
	}
	// A caller that left knows nothing of the reading. From now on, the background tasks read it.
	if ctx.Err() == nil && s.Resting() == nil {
		s.rest.read.Store(rests)
	}
	return s.keyring.Load().Keyring
}
