// Rotation: when a new secret is made, and when an old one is dropped.

package keyring

import (
	"context"
	"errors"
	"fmt"
	"time"
)

const (
	// Lead is the time between making a key and using it. Every node reads the
	// keys once a minute, so all of them know a key before the first node uses
	// it, even if storage does not answer for most of an hour.
	Lead = time.Hour

	// MinRotate is the shortest time between two automatic rotations. Each
	// secret is kept for as long as a session lasts, and each is tried on any
	// value that a client sends: with sessions of 30 days, on up to 32 secrets.
	MinRotate = 24 * time.Hour

	// DefaultRotate is the age at which a key gets a successor.
	DefaultRotate = 90 * 24 * time.Hour

	// keyGrace is how much longer than necessary an old secret is kept: it
	// allows for clocks that differ, and lets the sweep read expired records.
	keyGrace = 24 * time.Hour

	maxSecrets = 100 // of one gate
)

// errTooManySecrets is an answer to the operator who asked for a rotation.
var errTooManySecrets = errors.New("the keys were rotated too often: the next rotation is possible when the oldest keys expire")

// Rotation says when keys are made and dropped. Its zero value does neither.
type Rotation struct {
	At    time.Time     // the current time
	Every time.Duration // age at which the newest key gets a successor; 0 means never
	Keep  time.Duration // how long a sealed value may be needed; 0 keeps every key
	Now   bool          // make a key whatever the age of the newest, unless that is not active yet
}

// Due reports whether a key that was created at created, and is active from
// activeFrom on, needs a successor. A key that becomes active later than Lead
// from now was made before the clock was set back: it is not waited for.
func (r Rotation) Due(created, activeFrom time.Time) bool {
	return (!activeFrom.After(r.At) || activeFrom.After(r.At.Add(Lead))) && (r.Now || r.Every > 0 && r.At.Sub(created) >= r.Every)
}

// Rotate gives the keyring of gate a new secret if that is due, and drops
// secrets that are no longer needed. The new secret is stored Lead before it
// seals. If several nodes call Rotate at once, one of them makes the secret.
// The keyring must exist. Rotate returns the keyring as it is afterwards or,
// with an error, as it was read, or nil if it could not be read.
func Rotate(ctx context.Context, storage Storage, gate string, r Rotation) (*Keyring, error) {
	document := keyringDocument(storage, gate)
	key := document.Key
	stored, err := readKeyring(ctx, document)
	if err != nil {
		return nil, err
	}
	before, err := stored.keyring(gate, r.At)
	if err != nil {
		return nil, err
	}
	if changed, err := stored.rotate(r); !changed || err != nil {
		return before, err
	}
	if err := storage.Lock(ctx, key); err != nil {
		return before, fmt.Errorf("locking the keyring: %w", err)
	}
	defer func() { _ = storage.Unlock(context.WithoutCancel(ctx), key) }()
	if stored, err = readKeyring(ctx, document); err != nil {
		return before, err
	}
	changed, err := stored.rotate(r)
	if err == nil && changed {
		err = document.Store(ctx, stored)
	}
	if err != nil {
		return before, err
	}
	return stored.keyring(gate, r.At)
}

// rotate reports whether it changed the document.
func (s *storedKeyring) rotate(r Rotation) (bool, error) {
	changed := s.drop(r)
	created, activeFrom := s.newest()
	if !r.Due(created, activeFrom) {
		return changed, nil
	}
	if len(s.Secrets) >= maxSecrets {
		return changed, errTooManySecrets
	}
	s.add(r.At, r.At.Add(Lead))
	return true, nil
}

// newest returns when the newest secret was made, and from when on it seals.
func (s *storedKeyring) newest() (created, activeFrom time.Time) {
	for _, times := range s.Times {
		if !times.ActiveFrom.Before(activeFrom) {
			created, activeFrom = times.Created, times.ActiveFrom
		}
	}
	return created, activeFrom
}

// Created returns when the newest secret was made, zero if that is not known.
func (k *Keyring) Created() time.Time {
	if k.stored == nil {
		return time.Time{}
	}
	created, _ := k.stored.newest()
	return created
}

// drop removes the secrets that no value needs any longer, because their
// successor has been active for longer than any value lives. It waits while
// the newest secret is due for a successor or younger than keyGrace: after a
// year in which Caddy was off, the sweep must first read the expired records.
func (s *storedKeyring) drop(r Rotation) bool {
	if created, activeFrom := s.newest(); r.Keep <= 0 || r.Due(created, activeFrom) || r.At.Sub(created) < keyGrace {
		return false
	}
	kept := storedKeyring{Version: s.Version}
	for i, times := range s.Times {
		if replaced, ok := s.replaced(times); !ok || r.At.Sub(replaced) < r.Keep+keyGrace {
			kept.Secrets, kept.Times = append(kept.Secrets, s.Secrets[i]), append(kept.Times, times)
		}
	}
	changed := len(kept.Secrets) < len(s.Secrets)
	s.Secrets, s.Times = kept.Secrets, kept.Times
	return changed
}

// replaced returns when the successor of a secret with times old became
// active, and false if it has none.
func (s *storedKeyring) replaced(old keyTimes) (at time.Time, ok bool) {
	for _, times := range s.Times {
		if times.ActiveFrom.After(old.ActiveFrom) && (!ok || times.ActiveFrom.Before(at)) {
			at, ok = times.ActiveFrom, true
		}
	}
	return at, ok
}
