// The gate's keyring as this node has it: loaded once, read again every minute.

package session

import (
	"context"
	"errors"
	"io/fs"
	"time"

	"go.uber.org/zap"

	"github.com/romm-oidc/caddy-romm-oidc/flow/keyring"
)

const (
	keyringEvery       = time.Minute      // between two readings of the keyring
	keyringReadLimit   = 20 * time.Second // for one reading, the wait for another node's lock included
	keyringCreateLimit = 30 * time.Second // for the first reading, which may have to create the keyring

	repairTries = 8           // readings of a damaged document while other nodes may write it again
	repairPause = time.Second // between two of them
)

// loadedKeyring is the keyring in memory.
type loadedKeyring struct {
	*keyring.Keyring
	from *vault    // where it was read
	read time.Time // when
}

// Keyring returns the gate's keyring and reads it from storage on first use, and on
// the first use after a rest. A failure is not cached. No caller waits longer than
// its ctx.
func (s *Store) Keyring(ctx context.Context) (*keyring.Keyring, error) {
	s.Use()
	return s.BackgroundKeyring(ctx)
}

// BackgroundKeyring is Keyring for background work, which is no use of the gate.
func (s *Store) BackgroundKeyring(ctx context.Context) (*keyring.Keyring, error) {
	rests, loaded := s.rest.begun.Load(), s.keyring.Load()
	switch {
	case loaded == nil:
		return s.loadKeyring(ctx)
	case rests != s.rest.read.Load():
		return s.keyringAfterRest(ctx, loaded, rests), nil
	}
	return loaded.Keyring, nil
}

func (s *Store) loadKeyring(ctx context.Context) (*keyring.Keyring, error) {
	return s.keyringReads.do(ctx, "load", keyringCreateLimit, func(ctx context.Context) (*keyring.Keyring, error) {
		v, err := s.configured()
		if err != nil {
			return nil, err
		}
		read := s.now()
		keys, err := keyring.Load(ctx, v.storage, s.gate, read)
		if errors.Is(err, keyring.ErrNotJSON) && s.keyring.Load() == nil {
			err = s.AwaitRepair(ctx, func(ctx context.Context) (err error) {
				keys, err = keyring.Load(ctx, v.storage, s.gate, s.now())
				return err
			})
		}
		if errors.Is(err, keyring.ErrNotJSON) {
			keys, err = s.replaceKeyring(ctx, v, err)
		}
		s.noteKeyring(err)
		if err != nil {
			return nil, err
		}
		s.keyring.Store(&loadedKeyring{keys, v, read})
		return keys, nil
	})
}

// AwaitRepair calls read, which found a document of the gate damaged, again until
// it succeeds, fails in another way, or other nodes had the time to write the
// document again from memory. It asks them to do so.
func (s *Store) AwaitRepair(ctx context.Context, read func(context.Context) error) error {
	s.Doubt(ctx)
	ticker := time.NewTicker(repairPause)
	defer ticker.Stop()
	var err error
	for range repairTries {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		if err = read(ctx); !errors.Is(err, keyring.ErrNotJSON) {
			return err
		}
	}
	return err
}

// reloadKeyring reads the keyring again if Configure was called since the last
// reading, because the storage may be another one, or if another node asked: it
// may be damaged.
func (s *Store) reloadKeyring(ctx context.Context) error {
	doubted, loaded := s.keyringDoubted.Swap(false), s.keyring.Load()
	switch sameStorage := loaded != nil && loaded.from == s.vault.Load(); {
	case loaded == nil || sameStorage && !doubted:
		return nil
	case sameStorage: // which makes no other keyring if there is none
		return s.rotate(ctx, false)
	}
	_, err := s.loadKeyring(ctx)
	return err
}

// maintainKeyring reads the secrets that other nodes made, and adds and drops
// secrets when they are due.
func (s *Store) maintainKeyring(ctx context.Context) error {
	if s.keyring.Load() == nil {
		return nil // not needed yet
	}
	return s.rotate(ctx, false)
}

// Rotate adds a new secret to the keyring. The secret seals after an hour, when
// every node knows it; a second call within that hour adds no other. No session
// is lost: old secrets open what they sealed for the lifetime of a session.
func (s *Store) Rotate(ctx context.Context) error {
	if loaded := s.keyring.Load(); loaded == nil || loaded.from != s.vault.Load() {
		if _, err := s.loadKeyring(ctx); err != nil { // creates the keyring if it does not exist
			return err
		}
	}
	return s.rotate(ctx, true)
}

// rotate reads the keyring and changes it if a change is due or now is true.
// Memory keeps its keyring if the one in storage is missing or unreadable, so
// that sessions continue.
func (s *Store) rotate(ctx context.Context, now bool) error {
	key := "maintain"
	if now {
		key = "rotate"
	}
	_, err := s.keyringReads.do(ctx, key, keyringReadLimit, func(ctx context.Context) (*keyring.Keyring, error) {
		v, err := s.configured()
		if err != nil {
			return nil, err
		}
		read := s.now()
		keys, err := keyring.Rotate(ctx, v.storage, s.gate, keyring.Rotation{
			At: read, Every: v.limits.Rotate, Keep: v.limits.Lifetime + sweepGrace, Now: now,
		})
		switch {
		case errors.Is(err, keyring.ErrNotJSON):
			keys, err = s.replaceKeyring(ctx, v, err)
		case errors.Is(err, fs.ErrNotExist):
			if restored, failed := s.restore(ctx, v); restored != nil || failed != nil {
				keys, err = restored, failed
			}
		}
		s.noteKeyring(err)
		if keys != nil {
			s.keyring.Store(&loadedKeyring{keys, v, read})
		}
		return keys, err
	})
	return err
}

// replaceKeyring replaces a keyring in storage that is not JSON: by the one in
// memory, so that nothing ends, or by a new one.
func (s *Store) replaceKeyring(ctx context.Context, v *vault, cause error) (*keyring.Keyring, error) {
	var spare *keyring.Keyring
	if loaded := s.keyring.Load(); loaded != nil {
		spare = loaded.Keyring
	}
	keys, aside, err := keyring.Replace(ctx, v.storage, s.gate, keyring.Replacement{Spare: spare, Now: s.now()})
	switch {
	case err != nil || aside == "":
	case spare != nil:
		s.logger.Error("keyring in storage was damaged, written again from memory: no session ended",
			zap.String("put_aside", aside), zap.Error(cause))
	default:
		s.logger.Error("keyring in storage was damaged, made anew: all sessions ended, users sign in again",
			zap.String("put_aside", aside), zap.Error(cause))
	}
	return keys, err
}

// CheckKeyring reads the keyring and returns an error if it cannot be used, so that
// the operator learns of it before users do. It replaces a keyring that is not JSON.
func (s *Store) CheckKeyring(ctx context.Context) error {
	if s.keyring.Load() != nil {
		return s.rotate(ctx, false)
	}
	_, err := s.loadKeyring(ctx)
	return err
}

// outdated returns errOutdated if another node may already seal with a secret
// that this node has not read.
func (s *Store) outdated() error {
	if loaded := s.keyring.Load(); loaded != nil && s.now().Sub(loaded.read) >= keyring.Lead {
		return errOutdated
	}
	return nil
}
