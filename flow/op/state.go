package op

import (
	"context"
	"crypto/sha256"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/flow/keyring"
)

const (
	keysFresh   = time.Minute      // how old the keys in memory get before storage is read again
	loadTimeout = 30 * time.Second // of one load, the making of an RSA key under the lock included
	loadSoon    = 2 * time.Second  // how long RomM may wait for a first load; it gives up after 5 s
	loadAgain   = time.Second      // after a load that went wrong, so that strangers cannot hammer storage
)

// Keys is what all handler instances of a gate share: its signing keys and
// the codes that were redeemed. It outlives every configuration.
type Keys struct {
	gate    string
	keyring func(context.Context) (*keyring.Keyring, error)
	storage func() keyring.Storage
	now     func() time.Time
	rotate  atomic.Int64 // flow.Rotation.Every, in nanoseconds

	loaded atomic.Pointer[keySet] // nil until the first load

	mu     sync.Mutex
	flight *flight // the load under way, or the last if it went wrong
	codes  map[[sha256.Size]byte]codeRecord
	sweep  time.Time // when codes are looked through for expired ones
}

// flight is one load that any number of callers wait for.
type flight struct {
	done  chan struct{} // closed when keys and err are set
	keys  *keySet
	err   error
	again time.Time // when another load may start; needs State.mu
}

// NewKeys returns the state of gate. The keyring and the storage are asked
// for at each load, never by a request; now is the clock.
func NewKeys(gate string, keyring func(context.Context) (*keyring.Keyring, error), storage func() keyring.Storage,
	now func() time.Time,
) *Keys {
	return &Keys{
		gate:    gate,
		keyring: keyring,
		storage: storage,
		now:     now,
		codes:   map[[sha256.Size]byte]codeRecord{},
	}
}

// keys returns the keys in memory, or nil, without waiting. If there are none,
// or none fresh, it also returns the load that will change this.
func (s *Keys) keys(ctx context.Context, report func(string, error)) (*keySet, *flight) {
	keys := s.loaded.Load()
	if keys != nil && s.now().Sub(keys.read) < keysFresh {
		return keys, nil
	}
	return keys, s.load(ctx, report)
}

// await is keys that waits for a first load.
func (s *Keys) await(ctx context.Context, report func(string, error)) (*keySet, error) {
	keys, flight := s.keys(ctx, report)
	if keys != nil {
		return keys, nil
	}
	select {
	case <-flight.done:
		return flight.keys, flight.err
	case <-ctx.Done():
		return nil, fmt.Errorf("waiting for the signing keys: %w", context.Cause(ctx))
	}
}

// soon is await for the endpoints: RomM may ask a node that nobody signed in at
// yet, and only storage knows the keys that the others made. It returns nil if
// storage takes too long.
func (s *Keys) soon(ctx context.Context, report func(string, error)) *keySet {
	ctx, cancel := context.WithTimeout(ctx, loadSoon)
	defer cancel()
	keys, err := s.await(ctx, report)
	if err != nil {
		return nil
	}
	return keys
}

// load starts a load, or returns the one under way. It does not die with the
// request that asked first, since others wait for it too; it ends by itself
// after at most loadTimeout.
func (s *Keys) load(ctx context.Context, report func(string, error)) *flight {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.flight != nil && s.now().Before(s.flight.again) {
		return s.flight
	}
	flight := &flight{done: make(chan struct{}), again: s.now().Add(loadTimeout)}
	s.flight = flight
	go func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), loadTimeout)
		defer cancel()
		flight.keys, flight.err = s.read(ctx, keyring.Rotation{})
		s.mu.Lock()
		flight.again = s.now().Add(loadAgain)
		if flight.err == nil {
			s.loaded.Store(flight.keys)
			if s.flight == flight { // a load that storage held for too long was given up
				s.flight = nil
			}
		}
		s.mu.Unlock()
		close(flight.done)
		if flight.err != nil {
			report(EventKeys, flight.err)
		}
	}()
	return flight
}

// read reads the keyring and the signing keys, makes those that are missing,
// and changes what r says. It returns keys beside an error if only the change
// went wrong. A storage plugin that panics must not end the process.
func (s *Keys) read(ctx context.Context, r keyring.Rotation) (keys *keySet, err error) {
	defer func() {
		if problem := recover(); problem != nil {
			keys, err = nil, fmt.Errorf("reading the signing keys: panic: %v", problem)
		}
	}()
	keyring, err := s.keyring(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading the keyring: %w", err)
	}
	signing, changing := loadSigningKeys(ctx, s.storage(), s.gate, keyring, r, s.now)
	if signing == nil {
		return nil, changing
	}
	keys, err = newKeySet(keyring, signing, s.now())
	if err != nil {
		return nil, err
	}
	return keys, changing
}
