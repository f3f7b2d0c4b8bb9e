// The vault reads, writes and deletes the stored values of sessions: heads,
// records, last uses and tombstones.

package session

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"

	"go.uber.org/zap"

	"github.com/romm-oidc/caddy-romm-oidc/flow/keyring"
)

// The folders of a gate's sessions. Records and last uses are written often,
// and some storages fail to list a folder while a file in it is deleted: only
// heads and tombstones are ever listed.
const (
	folderRecords    = "records"
	folderHeads      = "heads"
	folderLastUses   = "seen"
	folderTombstones = "ends"
)

const listTries = 5

// vault is a gate's storage and limits as one call of Configure set them.
type vault struct {
	gate    string
	storage keyring.Storage
	limits  Limits
	logger  *zap.Logger

	lastUseEvery int64 // seconds between two writes of one session's last use
}

// openVault is a vault with the keyring that opens heads and last uses.
type openVault struct {
	*vault
	keys *keyring.Keyring
}

func sessionsPath(gate string) string { return keyring.StoragePrefix(gate) + "/sessions" }

func (v *vault) key(folder string, id ID) string {
	return sessionsPath(v.gate) + "/" + folder + "/" + id.String()
}

// readHead returns a nil head without an error if the session has no head or
// this version cannot read it; found tells the two apart.
func (v openVault) readHead(ctx context.Context, id ID) (head *Head, found bool, err error) {
	value, err := v.load(ctx, v.key(folderHeads, id))
	if err != nil {
		return nil, false, fmt.Errorf("reading the head of session %s: %w", id, err)
	}
	if value == nil {
		return nil, false, nil
	}
	head, err = openHead(v.keys, id, value)
	if err != nil {
		v.logUnreadable(folderHeads, id, err)
		return nil, true, nil
	}
	return head, true, nil
}

func (v openVault) storeHead(ctx context.Context, id ID, head *Head) error {
	value, err := sealHead(v.keys, id, head)
	if err != nil {
		return err
	}
	if err := v.storage.Store(ctx, v.key(folderHeads, id), value); err != nil {
		return fmt.Errorf("storing a head: %w", err)
	}
	return nil
}

// readLastUse returns the stored last use in Unix seconds, or 0.
func (v openVault) readLastUse(ctx context.Context, id ID) (int64, error) {
	value, err := v.load(ctx, v.key(folderLastUses, id))
	if err != nil {
		return 0, fmt.Errorf("reading the last use of session %s: %w", id, err)
	}
	return openLastUse(v.keys, id, value), nil
}

func (v openVault) storeLastUse(ctx context.Context, id ID, used int64) error {
	if err := v.storage.Store(ctx, v.key(folderLastUses, id), sealLastUse(v.keys, id, used)); err != nil {
		return fmt.Errorf("storing a last use: %w", err)
	}
	return nil
}

// readRecord returns nil without an error if there is no record that this
// version can read. key is derived from the ticket.
func (v *vault) readRecord(ctx context.Context, key [32]byte, id ID) (*snapshot, error) {
	value, err := v.load(ctx, v.key(folderRecords, id))
	if err != nil {
		return nil, fmt.Errorf("reading the record of session %s: %w", id, err)
	}
	if value == nil {
		return nil, nil
	}
	record, err := openRecord(key, v.gate, id, value)
	if err != nil {
		v.logUnreadable(folderRecords, id, err)
		return nil, nil
	}
	return record, nil
}

func (v *vault) storeRecord(ctx context.Context, session *Session, record *snapshot) error {
	value, err := sealRecord(session.key, v.gate, session.id, record)
	if err != nil {
		return err
	}
	if err := v.storage.Store(ctx, v.key(folderRecords, session.id), value); err != nil {
		return fmt.Errorf("storing a record: %w", err)
	}
	return nil
}

// readEndReason returns why a session ended, as its tombstone says; "" if it
// has none.
func (v *vault) readEndReason(ctx context.Context, id ID) (string, error) {
	value, err := v.load(ctx, v.key(folderTombstones, id))
	if err != nil {
		return "", fmt.Errorf("reading the end of session %s: %w", id, err)
	}
	if value == nil {
		return "", nil
	}
	return reasonIn(value), nil
}

func (v *vault) storeTombstone(ctx context.Context, id ID, t tombstone) error {
	value, err := json.Marshal(t)
	if err != nil {
		return fmt.Errorf("encoding a tombstone: %w", err)
	}
	return v.storage.Store(ctx, v.key(folderTombstones, id), value)
}

// remove deletes the stored values of a session. The head goes last: the sweep
// finds the rest of an interrupted removal by it.
func (v *vault) remove(ctx context.Context, id ID) error {
	for _, folder := range []string{folderRecords, folderLastUses, folderHeads} {
		err := v.storage.Delete(ctx, v.key(folder, id))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("removing from %s: %w", folder, err)
		}
	}
	return nil
}

// load returns nil without an error if the key does not exist.
func (v *vault) load(ctx context.Context, key string) ([]byte, error) {
	value, err := v.storage.Load(ctx, key)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err == nil && value == nil {
		value = []byte{}
	}
	return value, err
}

// list returns the IDs in a folder. With an error it returns those it saw
// before.
func (v *vault) list(ctx context.Context, folder string) ([]ID, error) {
	prefix := sessionsPath(v.gate) + "/" + folder
	var keys []string
	var err error
	for range listTries {
		keys, err = v.storage.List(ctx, prefix, false)
		if !errors.Is(err, fs.ErrNotExist) {
			break
		}
		// The folder does not exist, or a file in it was deleted during the listing.
		if missing, parentErr := v.missing(ctx, folder); missing || parentErr != nil {
			err = parentErr
			break
		}
	}
	ids := make([]ID, 0, len(keys))
	for _, key := range keys {
		if id, parseErr := ParseID(path.Base(key)); parseErr == nil { // else a temporary file or a lock
			ids = append(ids, id)
		}
	}
	if err != nil {
		err = fmt.Errorf("listing %s: %w", folder, err)
	}
	return ids, err
}

// missing reports whether a folder does not exist.
func (v *vault) missing(ctx context.Context, folder string) (bool, error) {
	keys, err := v.storage.List(ctx, sessionsPath(v.gate), false)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	for _, key := range keys {
		if path.Base(key) == folder {
			return false, nil
		}
	}
	return true, nil
}

func (v *vault) logUnreadable(folder string, id ID, err error) {
	v.logger.Warn("stored session unreadable, treated as absent",
		zap.String("key", v.key(folder, id)), zap.Stringer("session_id", id), zap.Error(err))
}
