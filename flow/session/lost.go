// Storage that lost everything: its volume is not mounted, its folder was removed,
// or its server started without its data.

package session

import (
	"context"
	"errors"
	"io/fs"
	"math"
	"path"
	"slices"

	"go.uber.org/zap"

	"github.com/romm-oidc/caddy-romm-oidc/flow/keyring"
)

// lostSample is how many sessions in memory are looked for in storage.
const lostSample = 8

// lost reports whether storage has lost what the gate stored there: neither the
// keyring is there, nor anything else or a session that is in memory. A keyring
// that is missing alone was removed by an operator.
func (s *Store) lost(ctx context.Context, v *vault) (bool, error) {
	if loaded := s.keyring.Load(); loaded == nil || loaded.from != v {
		return false, nil // it never had anything
	}
	folder := keyring.StoragePrefix(s.gate)
	if value, err := v.load(ctx, keyring.Path(s.gate)); value != nil || err != nil {
		return false, err
	}
	keys, err := v.storage.List(ctx, folder, false)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	if !slices.ContainsFunc(keys, func(key string) bool { return path.Base(key) != path.Base(s.tryKey()) }) {
		return true, nil
	}
	for _, session := range s.memory.some(lostSample) {
		if missing, err := v.lacks(ctx, session.id); missing || err != nil {
			return missing, err
		}
	}
	return false, nil
}

// lacks reports whether storage has neither a session nor its end.
func (v *vault) lacks(ctx context.Context, id ID) (bool, error) {
	value, err := v.load(ctx, v.key(folderHeads, id))
	if value != nil || err != nil {
		return false, err
	}
	reason, err := v.readEndReason(ctx, id)
	return reason == "", err
}

// restore stores what is in memory again if storage has lost everything. The
// keyring comes last: while it is missing, Update knows why a session is.
func (s *Store) restore(ctx context.Context, v *vault) (*keyring.Keyring, error) {
	if lost, err := s.lost(ctx, v); !lost || err != nil {
		return nil, err
	}
	loaded := s.keyring.Load()
	known := s.memory.some(math.MaxInt)
	for _, session := range known {
		if err := s.restoreSession(ctx, v, session); err != nil {
			return nil, err
		}
	}
	keys, err := keyring.Restore(ctx, v.storage, s.gate, keyring.Replacement{Spare: loaded.Keyring, Now: s.now()})
	if err != nil {
		return nil, err
	}
	s.logger.Error("storage lost everything of this gate: sessions in memory continue and were stored again, all others ended, and users are linked to their RomM accounts anew. Is its volume mounted? Restore a backup",
		zap.String("folder", keyring.StoragePrefix(s.gate)), zap.Int("sessions", len(known)))
	return keys, nil
}

// restoreSession stores a session that storage does not have.
func (s *Store) restoreSession(ctx context.Context, v *vault, session *Session) error {
	unlock, err := s.updates.Lock(ctx, session.id)
	if err != nil {
		return err
	}
	defer unlock()
	if lacks, err := v.lacks(ctx, session.id); !lacks || err != nil || session.Ended() {
		return err
	}
	return s.storeAgain(ctx, v, session)
}

// storeAgain stores all of a session. The caller has its lock.
func (s *Store) storeAgain(ctx context.Context, v *vault, session *Session) error {
	keys, err := s.Keyring(ctx)
	if err != nil {
		return err
	}
	opened := openVault{v, keys}
	if err := opened.storeHead(ctx, session.id, session.Head()); err != nil {
		return err
	}
	if err := opened.storeLastUse(ctx, session.id, s.unixOf(session.used.Load())); err != nil {
		return err
	}
	return v.storeRecord(ctx, session, session.record.Load())
}
