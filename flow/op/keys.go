// Keys: the gate's signing keys in memory, loaded from storage when needed.

package op

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/flow/keyring"
)

const (
	keysFresh   = time.Minute      // age at which the keys in memory are read again
	keysStale   = 2 * keysFresh    // age that they reach only if Maintain was not called: other nodes may have other ones
	loadTimeout = 30 * time.Second // of one load, which may generate an RSA key under the lock
	loadWait    = 2 * time.Second  // how long RomM may wait for a first load, or for one of stale keys; it gives up after 5 s
	loadPause   = time.Second      // after a failed load, so that anonymous requests cannot flood storage
)

// Keys are signing keys of a gate: those of ID tokens for RomM, or those that
// the gate's client authenticates with at the provider. One value serves all
// configurations of the gate and outlives them. All methods may be called
// concurrently.
type Keys struct {
	gate    string
	kind    kind
	keyring func(context.Context) (*keyring.Keyring, error)
	storage func() keyring.Storage
	now     func() time.Time
	rotate  atomic.Int64 // keyring.Rotation.Every, in nanoseconds
	doubted atomic.Bool  // Doubt was called

	maintained time.Time // when Maintain last read the keys

	// AwaitRepair, if not nil, asks the other nodes to write the damaged document
	// again from memory, and calls read until they may have. It is set before use.
	AwaitRepair func(ctx context.Context, read func(context.Context) error) error

	fixed bool // the keys in memory are all there are

	loaded atomic.Pointer[keySet] // nil until the first load
	broken atomic.Bool            // the document could not be used when it was last read

	mu   sync.Mutex
	last *load // the load in progress, or the last one if it failed
}

// load is one read of the keys that any number of callers wait for.
//
// It is not a golang.org/x/sync/singleflight: callers must see a failure for
// loadPause without starting another load, and a load that storage blocks for
// longer than loadTimeout must be abandoned.
type load struct {
	done  chan struct{} // closed when keys and err are set
	keys  *keySet
	err   error
	again time.Time // when another load may start; needs Keys.mu
}

// NewKeys returns the keys that gate signs ID tokens with. Each load calls ring
// and storage, never while a request waits for more than 2 s; now is the clock.
// NewKeys does no I/O.
func NewKeys(gate string, ring func(context.Context) (*keyring.Keyring, error), storage func() keyring.Storage,
	now func() time.Time,
) *Keys {
	return &Keys{gate: gate, kind: ofTokens, keyring: ring, storage: storage, now: now}
}

// current returns the keys in memory, or nil, without waiting. If they are
// missing or no longer fresh, it also returns the load that will change that.
func (k *Keys) current(ctx context.Context, report func(Event)) (*keySet, *load) {
	keys := k.loaded.Load()
	if k.fixed || keys != nil && k.now().Sub(keys.read) < keysFresh {
		return keys, nil
	}
	return keys, k.load(ctx, report)
}

// await is like current, but waits for the first load until ctx ends, and for
// loadWait if the keys in memory are stale.
func (k *Keys) await(ctx context.Context, report func(Event)) (*keySet, error) {
	keys, load := k.current(ctx, report)
	if keys != nil {
		if load != nil && k.now().Sub(keys.read) >= keysStale {
			wait, cancel := context.WithTimeout(ctx, loadWait)
			defer cancel()
			select {
			case <-load.done:
			case <-wait.Done(): // memory is trusted
			}
			keys = k.loaded.Load()
		}
		return keys, nil
	}
	select {
	case <-load.done:
		return load.keys, load.err
	case <-ctx.Done():
		return nil, fmt.Errorf("waiting for %s: %w", k.kind.name, context.Cause(ctx))
	}
}

// awaitBriefly is await for the endpoints. RomM may ask a node that has not
// handled a sign-in yet, and only storage knows the keys that other nodes made.
// It returns nil if the keys do not arrive within loadWait.
func (k *Keys) awaitBriefly(ctx context.Context, report func(Event)) *keySet {
	ctx, cancel := context.WithTimeout(ctx, loadWait)
	defer cancel()
	keys, err := k.await(ctx, report)
	if err != nil {
		return nil
	}
	return keys
}

// load starts a load, or returns the one in progress. It does not end with the
// request that started it, since others wait for it too, but with loadTimeout.
func (k *Keys) load(ctx context.Context, report func(Event)) *load {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.last != nil && k.now().Before(k.last.again) {
		return k.last
	}
	l := &load{done: make(chan struct{}), again: k.now().Add(loadTimeout)}
	k.last = l
	go func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), loadTimeout)
		defer cancel()
		keys, err := k.read(ctx, keyring.Rotation{})
		l.keys, l.err = keys, err
		if _, replaced := errors.AsType[*replacedError](err); replaced { // no failure, but it is reported
			l.err = nil
		}
		k.mu.Lock()
		l.again = k.now().Add(loadPause)
		if l.err == nil {
			k.loaded.Store(l.keys)
			if k.last == l { // not replaced because storage blocked it for too long
				k.last = nil
			}
		}
		k.mu.Unlock()
		close(l.done)
		if err != nil {
			report(Event{eventKeys, err})
		}
	}()
	return l
}

// Check returns an error if the document with the signing keys cannot be used, so
// that the operator learns of it before the next sign-in does. It replaces a document
// that is not JSON.
func (k *Keys) Check(ctx context.Context) error {
	file := newKeyFile(k.kind, k.storage(), k.gate)
	_, err := file.read(ctx)
	if errors.Is(err, keyring.ErrNotJSON) {
		return k.refresh(ctx, false)
	}
	return err
}

// read reads the keyring and the signing keys, makes missing keys, and rotates
// them as r says, at the current time. If only that change fails, or a damaged
// document was replaced, it returns keys and an error. A panic in a storage
// plugin must not end the process.
func (k *Keys) read(ctx context.Context, r keyring.Rotation) (keys *keySet, err error) {
	defer func() {
		if p := recover(); p != nil {
			keys, err = nil, fmt.Errorf("reading %s: panic: %v", k.kind.name, p)
		}
	}()
	defer func() { k.note(err) }()
	r.At = k.now()
	ring, err := k.keyring(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading the keyring: %w", err)
	}
	file := newKeyFile(k.kind, k.storage(), k.gate)
	file.keyring, file.rotation = ring, r
	if known := k.loaded.Load(); known != nil {
		file.spare = known.signing
	} else if err := k.awaitRepair(ctx, file); err != nil {
		return nil, err
	}
	signing, changeErr := file.load(ctx)
	if signing == nil {
		return nil, changeErr
	}
	keys, err = newKeySet(ring, signing, k.now())
	if err != nil {
		return nil, err
	}
	return keys, changeErr
}

// awaitRepair waits if the document is damaged and another node may have the keys
// in memory. New keys would be of no use at that node until it reads them.
func (k *Keys) awaitRepair(ctx context.Context, file keyFile) error {
	read := func(ctx context.Context) error {
		_, err := file.read(ctx)
		return err
	}
	err := read(ctx)
	if errors.Is(err, keyring.ErrNotJSON) && k.AwaitRepair != nil {
		err = k.AwaitRepair(ctx, read)
	}
	if errors.Is(err, keyring.ErrNotJSON) { // load replaces it
		return nil
	}
	return err
}
