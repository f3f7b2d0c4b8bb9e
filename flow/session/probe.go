// The write probe behind the status command.

package session

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// probeLimit bounds one Probe.
const probeLimit = 5 * time.Second

// Probe locks storage, writes a value and deletes it. It returns nil if a
// session could be created now, within 5 seconds. Reading alone would not tell:
// on a full disk, or in a directory of another user, reads still succeed.
func (s *Store) Probe(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, probeLimit)
	defer cancel()
	_, err := s.probes.do(ctx, "", probeLimit, func(ctx context.Context) (_ struct{}, err error) {
		v, err := s.configured()
		if err != nil {
			return struct{}{}, err
		}
		key := s.tryKey()
		if err := v.storage.Lock(ctx, key); err != nil {
			return struct{}{}, fmt.Errorf("locking storage: %w", err)
		}
		defer func() { err = errors.Join(err, v.storage.Unlock(context.WithoutCancel(ctx), key)) }()
		if err := v.storage.Store(ctx, key, []byte("x")); err != nil {
			return struct{}{}, fmt.Errorf("writing to storage: %w", err)
		}
		if err := v.storage.Delete(ctx, key); err != nil {
			return struct{}{}, fmt.Errorf("deleting from storage: %w", err)
		}
		return struct{}{}, nil
	})
	return err
}
