package session

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/flow/keyring"
)

// probeLimit bounds one Try.
const probeLimit = 5 * time.Second

// Probe locks storage, stores a value and removes it: whether a session could be
// made now. That it can be read says less, on a full disk, or one that belongs
// to another user.
func (s *Store) Probe(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, probeLimit) // storage may look at none
	defer cancel()
	_, err := shared(ctx, &s.tries, "", probeLimit, func(ctx context.Context) (_ struct{}, err error) {
		cfg, err := s.configured()
		if err != nil {
			return struct{}{}, err
		}
		key := keyring.StoragePrefix(s.gate) + "/try"
		if err := cfg.storage.Lock(ctx, key); err != nil {
			return struct{}{}, fmt.Errorf("locking storage: %w", err)
		}
		defer func() { err = errors.Join(err, cfg.storage.Unlock(context.WithoutCancel(ctx), key)) }()
		if err := cfg.storage.Store(ctx, key, []byte("x")); err != nil {
			return struct{}{}, fmt.Errorf("writing to storage: %w", err)
		}
		if err := cfg.storage.Delete(ctx, key); err != nil {
			return struct{}{}, fmt.Errorf("deleting from storage: %w", err)
		}
		return struct{}{}, nil
	})
	return err
}
