// Loading a keyring from storage, and making it on first use.

package keyring

import (
	"context"
	"crypto/rand"
	"encoding/json"
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
// secret that is active at now.
func Load(ctx context.Context, storage Storage, gate string, now time.Time) (*Keyring, error) {
	key := keyringPath(gate)
	stored, err := readKeyring(ctx, storage, key)
	if err == nil {
		return stored.keyring(gate, now)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if err := storage.Lock(ctx, key); err != nil {
		return nil, fmt.Errorf("locking the keyring: %w", err)
	}
	defer func() { _ = storage.Unlock(context.WithoutCancel(ctx), key) }()
	stored, err = readKeyring(ctx, storage, key)
	if errors.Is(err, fs.ErrNotExist) {
		stored = &storedKeyring{}
		stored.add(now, now)
		err = stored.store(ctx, storage, key)
	}
	if err != nil {
		return nil, err
	}
	return stored.keyring(gate, now)
}

func keyringPath(gate string) string { return StoragePrefix(gate) + "/keyring.json" }

// readKeyring fails on any document that it does not fully understand: to
// overwrite it would end every session.
func readKeyring(ctx context.Context, storage Storage, key string) (*storedKeyring, error) {
	document, err := storage.Load(ctx, key)
	if err != nil {
		return nil, fmt.Errorf("loading the keyring: %w", err)
	}
	stored := new(storedKeyring)
	if err := json.Unmarshal(document, stored); err != nil {
		return nil, fmt.Errorf("decoding the keyring: %w", err)
	}
	if stored.Version > keyringVersion {
		return nil, fmt.Errorf("decoding the keyring: a newer version of this module wrote it (version %d)", stored.Version)
	}
	if len(stored.Times) == 0 {
		stored.Times = make([]keyTimes, len(stored.Secrets)) // their age is unknown: the first one seals
	}
	if len(stored.Times) != len(stored.Secrets) {
		return nil, fmt.Errorf("decoding the keyring: it has %d secrets but times for %d", len(stored.Secrets), len(stored.Times))
	}
	return stored, nil
}

func (s *storedKeyring) store(ctx context.Context, storage Storage, key string) error {
	document, err := json.Marshal(s)
	if err != nil {
		return fmt.Errorf("encoding the keyring: %w", err)
	}
	if err := storage.Store(ctx, key, document); err != nil {
		return fmt.Errorf("storing the keyring: %w", err)
	}
	return nil
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
	return New(gate, secrets...)
}
