package keyring

import (
	"context"
	"errors"
	"fmt"
	"time"
)

const (
	// Lead is how long a new key is known before it is used. Every node
	// reads the keys anew each minute, so that all of them open what the first
	// of them seals, through an hour in which storage does not answer.
	Lead = time.Hour

	// MinRotate is the shortest time between two rotations of themselves. Each
	// secret is kept for as long as a session lasts, and each is tried to open
	// what a stranger sends: with sessions of 30 days these are 32 secrets.
	MinRotate = 24 * time.Hour

	// DefaultRotate is how old a key gets before there is a new one.
	DefaultRotate = 90 * 24 * time.Hour

	// keyGrace is how much longer than necessary an old secret is kept: for
	// clocks that differ, and so that the sweep can still read what expired.
	keyGrace = 24 * time.Hour

	maxSecrets = 100 // of one gate
)

// ErrRotatedTooOften says that a gate has so many secrets that another must
// wait until an old one is dropped. Whoever asked for the rotation is told.
var ErrRotatedTooOften = errors.New("the keys were rotated too often: another rotation is possible when the oldest ones are dropped")

// Rotation says when keys are made and dropped. Its zero value does neither.
type Rotation struct {
	Every time.Duration // age of the newest at which there is another; never if 0
	Keep  time.Duration // how long what was sealed may have to be opened
	Now   bool          // make one whatever the age of the newest, unless there is one that has yet to be used
}

// Due reports whether there is to be a new key beside one that was created at
// a time and is used from another on.
func (r Rotation) Due(created, from, now time.Time) bool {
	return !from.After(now) && (r.Now || r.Every > 0 && now.Sub(created) >= r.Every)
}

// Rotate gives the keyring of gate a new secret if it is time, and
// drops those whose work is done. The new one is stored Lead before it
// seals. Of several nodes that do this at once one does it. It returns the
// keyring, which must exist, as it now is; with an error, as it was read, or
// nil.
func Rotate(ctx context.Context, storage Storage, gate string, r Rotation, now time.Time) (*Keyring, error) {
	key := keyringPath(gate)
	stored, err := readKeyring(ctx, storage, key)
	if err != nil {
		return nil, err
	}
	before, err := stored.keyring(gate, now)
	if err != nil {
		return nil, err
	}
	if changed, err := stored.rotate(r, now); !changed || err != nil {
		return before, err
	}
	if err := storage.Lock(ctx, key); err != nil {
		return before, fmt.Errorf("locking the keyring: %w", err)
	}
	defer func() { _ = storage.Unlock(context.WithoutCancel(ctx), key) }()
	if stored, err = readKeyring(ctx, storage, key); err != nil {
		return before, err
	}
	changed, err := stored.rotate(r, now)
	if err == nil && changed {
		err = stored.store(ctx, storage, key)
	}
	if err != nil {
		return before, err
	}
	return stored.keyring(gate, now)
}

// rotate reports whether it changed the document.
func (s *storedKeyring) rotate(r Rotation, now time.Time) (bool, error) {
	changed := s.drop(r, now)
	created, from := s.newest()
	if !r.Due(created, from, now) {
		return changed, nil
	}
	if len(s.Secrets) >= maxSecrets {
		return changed, ErrRotatedTooOften
	}
	s.add(now, now.Add(Lead))
	return true, nil
}

// newest returns when the newest secret was made, and from when on it seals.
func (s *storedKeyring) newest() (created, from time.Time) {
	for _, times := range s.Times {
		if !times.ActiveFrom.Before(from) {
			created, from = times.Created, times.ActiveFrom
		}
	}
	return created, from
}

// drop removes the secrets under which nothing is left to open: those whose
// follower has been sealing for longer than anything lives. Not when the
// follower itself is about to get one, which is what happens first after a
// year in which Caddy was off: the sweep has yet to read what expired.
func (s *storedKeyring) drop(r Rotation, now time.Time) bool {
	if created, from := s.newest(); r.Keep <= 0 || r.Due(created, from, now) || now.Sub(created) < keyGrace {
		return false
	}
	kept := storedKeyring{Version: s.Version}
	for i, times := range s.Times {
		if replaced, ok := s.replaced(times); !ok || now.Sub(replaced) < r.Keep+keyGrace {
			kept.Secrets, kept.Times = append(kept.Secrets, s.Secrets[i]), append(kept.Times, times)
		}
	}
	changed := len(kept.Secrets) < len(s.Secrets)
	s.Secrets, s.Times = kept.Secrets, kept.Times
	return changed
}

// replaced returns when the next secret took over from one with these times,
// and false if there is none.
func (s *storedKeyring) replaced(by keyTimes) (at time.Time, ok bool) {
	for _, times := range s.Times {
		if times.ActiveFrom.After(by.ActiveFrom) && (!ok || times.ActiveFrom.Before(at)) {
			at, ok = times.ActiveFrom, true
		}
	}
	return at, ok
}
