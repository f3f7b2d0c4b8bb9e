// Loading a keyring from storage, and making it on first use.

package keyring

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"
)

// keyringVersion is the version of the document. A document without one is of version 1.
const keyringVersion = 1

// storedKeyring is the document in storage. New secrets come last, so that a
// version of this module without rotation keeps sealing with the first, which
// all nodes can open.
type storedKeyring struct {
	Version int        `json:"version,omitempty"`
	Secrets [][]byte   `json:"secrets"`
	Times   []keyTimes `json:"times,omitempty"` // of the secrets, in the same order; absent in documents from before rotation
}

// keyTimes says when a secret was made and when it seals.
type keyTimes struct {
	Created    time.Time `json:"created"`
	ActiveFrom time.Time `json:"active_from"` // the newest active secret seals
}

// Load reads the keyring of gate from storage. On first use, it makes one
// under a storage lock, so that all nodes agree. The keyring seals with the
// secret that is active at now. An error that matches ErrNotJSON asks for
// Replace.
func Load(ctx context.Context, storage Storage, gate string, now time.Time) (*Keyring, error) {
	document := keyringDocument(storage, gate)
	stored, err := readKeyring(ctx, document)
	if err == nil {
		return stored.keyring(gate, now)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if err := storage.Lock(ctx, document.Key); err != nil {
		return nil, fmt.Errorf("locking the keyring: %w", err)
	}
	defer func() { _ = storage.Unlock(context.WithoutCancel(ctx), document.Key) }()
	stored, err = readKeyring(ctx, document)
	if errors.Is(err, fs.ErrNotExist) {
		stored = &storedKeyring{}
		stored.add(now, now)
		err = document.Store(ctx, stored)
	}
	if err != nil {
		return nil, err
	}
	return stored.keyring(gate, now)
}

// Replacement says what takes the place of a keyring that cannot be read.
type Replacement struct {
	Spare *Keyring // which this node read earlier, so that no session is lost; nil: a new keyring is made, which ends all sessions
	Now   time.Time
}

// Replace puts a keyring aside that is not JSON, and stores another in its place.
// It returns the keyring that storage has then, and the key of the copy that was put
// aside, "" if another node was faster.
func Replace(ctx context.Context, storage Storage, gate string, r Replacement) (*Keyring, string, error) {
	document := keyringDocument(storage, gate)
	if err := storage.Lock(ctx, document.Key); err != nil {
		return nil, "", fmt.Errorf("locking the keyring: %w", err)
	}
	defer func() { _ = storage.Unlock(context.WithoutCancel(ctx), document.Key) }()
	// Under the lock, no other node is in the middle of writing it.
	stored, err := readKeyring(ctx, document)
	aside := ""
	if errors.Is(err, ErrNotJSON) {
		if aside, err = document.PutAside(ctx, r.Now); err != nil {
			return nil, "", err
		}
		stored = &storedKeyring{}
		if r.Spare != nil && r.Spare.stored != nil {
			stored = r.Spare.stored
		} else {
			stored.add(r.Now, r.Now)
		}
		err = document.Store(ctx, stored)
	}
	if err != nil {
		return nil, "", err
	}
	keys, err := stored.keyring(gate, r.Now)
	return keys, aside, err
}

// Restore stores the keyring that this node has in memory where storage has none,
// and returns the one in storage.
func Restore(ctx context.Context, storage Storage, gate string, r Replacement) (*Keyring, error) {
	document := keyringDocument(storage, gate)
	if err := storage.Lock(ctx, document.Key); err != nil {
		return nil, fmt.Errorf("locking the keyring: %w", err)
	}
	defer func() { _ = storage.Unlock(context.WithoutCancel(ctx), document.Key) }()
	stored, err := readKeyring(ctx, document)
	if errors.Is(err, fs.ErrNotExist) && r.Spare != nil && r.Spare.stored != nil {
		stored = r.Spare.stored
		err = document.Store(ctx, stored)
	}
	if err != nil {
		return nil, err
	}
	return stored.keyring(gate, r.Now)
}

// Path returns the key of a gate's keyring in storage.
func Path(gate string) string { return StoragePrefix(gate) + "/keyring.json" }

func keyringDocument(storage Storage, gate string) Document {
	return Document{
		Storage: storage, Name: "the keyring", Key: Path(gate), Version: keyringVersion,
		Remedy: "restore it from a backup, or stop Caddy, delete it and start Caddy again, which ends all sessions",
	}
}

// readKeyring fails on any document that it does not fully understand: to
// overwrite it would end every session.
func readKeyring(ctx context.Context, document Document) (*storedKeyring, error) {
	stored := new(storedKeyring)
	if err := document.Read(ctx, stored); err != nil {
		return nil, err
	}
	if len(stored.Times) == 0 {
		stored.Times = make([]keyTimes, len(stored.Secrets)) // their age is unknown: the first one seals
	}
	if len(stored.Times) != len(stored.Secrets) {
		return nil, document.Unusable(fmt.Errorf("it has %d secrets but times for %d", len(stored.Secrets), len(stored.Times)))
	}
	if _, err := New("", stored.Secrets...); err != nil {
		return nil, document.Unusable(err)
	}
	return stored, nil
}

// add adds a secret that seals from activeFrom on.
func (s *storedKeyring) add(now, activeFrom time.Time) {
	secret := make([]byte, secretSize)
	_, _ = rand.Read(secret) // never fails (crypto/rand)
	s.Version = keyringVersion
	s.Secrets = append(s.Secrets, secret)
	s.Times = append(s.Times, keyTimes{Created: now.UTC(), ActiveFrom: activeFrom.UTC()})
}

// keyring returns a keyring that seals with the newest active secret or, if
// clocks disagree and none is active, with the one that becomes active first.
func (s *storedKeyring) keyring(gate string, now time.Time) (*Keyring, error) {
	sealing := 0
	for i, times := range s.Times {
		best := s.Times[sealing].ActiveFrom
		active, bestActive := !times.ActiveFrom.After(now), !best.After(now)
		if active && (!bestActive || times.ActiveFrom.After(best)) || !active && !bestActive && times.ActiveFrom.Before(best) {
			sealing = i
		}
	}
	secrets := slices.Clone(s.Secrets)
	if len(secrets) > 0 {
		secrets = slices.Insert(slices.Delete(secrets, sealing, sealing+1), 0, s.Secrets[sealing])
	}
	keys, err := New(gate, secrets...)
	if err != nil {
		return nil, err
	}
	document := *s
	keys.stored = &document
	return keys, nil
}
