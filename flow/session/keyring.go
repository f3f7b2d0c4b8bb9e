package session

import (
	"context"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/flow/keyring"
)

const (
	ringEvery    = time.Minute      // between two readings of the keyring
	ringLimit    = 20 * time.Second // of one, another node's lock included
	keyringLimit = 30 * time.Second // of the first, at which it may have to be made
)

// loadedKeyring is the keyring in memory, where it came from, and when.
type loadedKeyring struct {
	*keyring.Keyring
	from *settings
	read time.Time
}

// Keyring returns the gate's keyring, read from storage at first need. A
// failure is not remembered, and no caller waits longer than its ctx.
func (s *Store) Keyring(ctx context.Context) (*keyring.Keyring, error) {
	if ring := s.ring.Load(); ring != nil {
		return ring.Keyring, nil
	}
	return s.loadKeyring(ctx)
}

func (s *Store) loadKeyring(ctx context.Context) (*keyring.Keyring, error) {
	return shared(ctx, &s.rings, "", keyringLimit, func(ctx context.Context) (*keyring.Keyring, error) {
		cfg, err := s.configured()
		if err != nil {
			return nil, err
		}
		read := s.now()
		ring, err := keyring.Load(ctx, cfg.storage, s.gate, read)
		if err != nil {
			return nil, err
		}
		s.ring.Store(&loadedKeyring{ring, cfg, read})
		return ring, nil
	})
}

// refreshKeyring reads the keyring anew if Configure was called since.
func (s *Store) refreshKeyring(ctx context.Context) error {
	if ring := s.ring.Load(); ring == nil || ring.from == s.settings.Load() {
		return nil
	}
	_, err := s.loadKeyring(ctx)
	return err
}

// tendKeyring learns of secrets that other nodes made, and makes and drops
// them when it is time.
func (s *Store) tendKeyring(ctx context.Context) error {
	if s.ring.Load() == nil {
		return nil // nobody has needed it
	}
	return s.rotate(ctx, false)
}

// Rotate gives the gate a new secret. It seals from an hour on, when every node
// knows it; until then a second call makes no other. No session is lost: the
// old secrets open what they sealed for as long as a session may live.
func (s *Store) Rotate(ctx context.Context) error {
	if _, err := s.loadKeyring(ctx); err != nil { // makes the first one
		return err
	}
	return s.rotate(ctx, true)
}

// rotate leaves the keyring in memory alone if the one in storage is gone or
// cannot be read: with it what lives goes on.
func (s *Store) rotate(ctx context.Context, now bool) error {
	_, err := shared(ctx, &s.rings, map[bool]string{false: "tend", true: "rotate"}[now], ringLimit,
		func(ctx context.Context) (*keyring.Keyring, error) {
			cfg, err := s.configured()
			if err != nil {
				return nil, err
			}
			read := s.now()
			ring, err := keyring.Rotate(ctx, cfg.storage, s.gate, keyring.Rotation{
				At: read, Every: cfg.limits.Rotate, Keep: cfg.limits.Lifetime + sweepGrace, Now: now,
			})
			if ring != nil {
				s.ring.Store(&loadedKeyring{ring, cfg, read})
			}
			return ring, err
		})
	return err
}

// outdated returns ErrOutdated when another node may seal with a secret that
// this one has not read.
func (s *Store) outdated() error {
	if ring := s.ring.Load(); ring != nil && s.now().Sub(ring.read) >= keyring.Lead {
		return ErrOutdated
	}
	return nil
}
