package session

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"

	"go.uber.org/zap"

	"github.com/romm-oidc/caddy-romm-oidc/flow/keyring"
)

// The folders of a gate's sessions. Records and last uses are written often,
// and some storages fail to list a folder in which a file vanishes meanwhile:
// only heads and ends are ever listed.
const (
	folderRecords = "records"
	folderHeads   = "heads"
	folderSeen    = "seen"
	folderEnds    = "ends"
)

const listTries = 5

func (s *Store) root() string { return keyring.StoragePrefix(s.gate) + "/sessions" }

func (s *Store) key(folder string, id ID) string { return s.root() + "/" + folder + "/" + id.String() }

// load reads a session that is not in memory.
func (s *Store) load(ctx context.Context, cfg *settings, ticket Ticket, id ID) (*Session, error) {
	if s.memory.absent.has(id, s.unix()) {
		return nil, nil
	}
	ring, err := s.Keyring(ctx)
	if err != nil {
		return nil, err
	}
	if !ticket.genuine(ring) {
		return nil, s.outdated()
	}
	// The key is the whole ticket: requests that share a result have one secret.
	sum := ticket.sum()
	return shared(ctx, &s.loads, string(sum[:]), loadLimit, func(ctx context.Context) (*Session, error) {
		return s.read(ctx, cfg, ring, ticket, id)
	})
}

func (s *Store) read(ctx context.Context, cfg *settings, ring *keyring.Keyring, ticket Ticket, id ID) (*Session, error) {
	now := s.unix()
	head, _, err := s.readHead(ctx, cfg, ring, id)
	if head == nil {
		return nil, s.absent(id, now, err)
	}
	record, err := s.readRecord(ctx, cfg, ticket.key(s.gate), id)
	if record == nil {
		return nil, s.absent(id, now, err)
	}
	value, err := load(ctx, cfg, s.key(folderSeen, id))
	if err != nil {
		return nil, fmt.Errorf("reading the last use of session %s: %w", id, err)
	}
	// Last, so that an end that overtook us is seen.
	ended, err := load(ctx, cfg, s.key(folderEnds, id))
	if err != nil {
		return nil, fmt.Errorf("reading the end of session %s: %w", id, err)
	}
	used := max(head.Created.Unix(), openSeen(ring, id, value))
	session := s.newSession(ticket, head, record, used)
	switch {
	case ended != nil || s.retries.covers(id, head) || session.expired(now, cfg.limits):
		s.memory.absent.add(id, forGood)
		return nil, nil
	case session.idle(now, cfg.limits):
		return nil, s.absent(id, now, nil)
	}
	if session = s.memory.insert(session); session != nil {
		s.use(session, now, cfg)
	}
	return session, nil
}

// absent remembers for a while that there is no session, unless err says that
// storage could not tell. Not for good: on some storages a new value takes a
// moment to be seen everywhere.
func (s *Store) absent(id ID, now int64, err error) error {
	if err == nil {
		s.memory.absent.add(id, now+absentFor)
	}
	return err
}

// readHead returns a nil head without an error if there is none that this
// version can read, and whether there is any.
func (s *Store) readHead(ctx context.Context, cfg *settings, ring *keyring.Keyring, id ID) (*Head, bool, error) {
	value, err := load(ctx, cfg, s.key(folderHeads, id))
	if err != nil {
		return nil, false, fmt.Errorf("reading the head of session %s: %w", id, err)
	}
	if value == nil {
		return nil, false, nil
	}
	head, err := openHead(ring, id, value)
	if err != nil {
		s.unreadable(folderHeads, id, err)
		return nil, true, nil
	}
	return head, true, nil
}

// readRecord returns nil without an error if there is none that this version can read.
func (s *Store) readRecord(ctx context.Context, cfg *settings, key [32]byte, id ID) (*snapshot, error) {
	value, err := load(ctx, cfg, s.key(folderRecords, id))
	if err != nil {
		return nil, fmt.Errorf("reading the record of session %s: %w", id, err)
	}
	if value == nil {
		return nil, nil
	}
	record, err := openRecord(key, s.gate, id, value)
	if err != nil {
		s.unreadable(folderRecords, id, err)
		return nil, nil
	}
	return record, nil
}

func (s *Store) unreadable(folder string, id ID, err error) {
	s.logger.Warn("stored session is unreadable and treated as absent",
		zap.String("key", s.key(folder, id)), zap.Stringer("session_id", id), zap.Error(err))
}

func (s *Store) storeHead(ctx context.Context, cfg *settings, ring *keyring.Keyring, id ID, head *Head) error {
	value, err := sealHead(ring, id, head)
	if err != nil {
		return err
	}
	if err := cfg.storage.Store(ctx, s.key(folderHeads, id), value); err != nil {
		return fmt.Errorf("storing a head: %w", err)
	}
	return nil
}

func (s *Store) storeRecord(ctx context.Context, cfg *settings, session *Session, record *snapshot) error {
	value, err := sealRecord(session.key, s.gate, session.id, record)
	if err != nil {
		return err
	}
	if err := cfg.storage.Store(ctx, s.key(folderRecords, session.id), value); err != nil {
		return fmt.Errorf("storing a record: %w", err)
	}
	return nil
}

// remove deletes what is stored of a session, the head last, because by it the
// sweep finds what an interrupted removal left.
func (s *Store) remove(ctx context.Context, cfg *settings, id ID) error {
	for _, folder := range []string{folderRecords, folderSeen, folderHeads} {
		err := cfg.storage.Delete(ctx, s.key(folder, id))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("removing from %s: %w", folder, err)
		}
	}
	return nil
}

// load returns nil without an error for an absent key.
func load(ctx context.Context, cfg *settings, key string) ([]byte, error) {
	value, err := cfg.storage.Load(ctx, key)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err == nil && value == nil {
		value = []byte{}
	}
	return value, err
}

// list returns the ids in a folder. With an error it returns those that it
// saw before.
func (s *Store) list(ctx context.Context, cfg *settings, folder string) ([]ID, error) {
	prefix := s.root() + "/" + folder
	var keys []string
	var err error
	for range listTries {
		keys, err = cfg.storage.List(ctx, prefix, false)
		if !errors.Is(err, fs.ErrNotExist) {
			break
		}
		// The folder is missing, or a file in it vanished while it was read.
		if missing, parentErr := s.missing(ctx, cfg, folder); missing || parentErr != nil {
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
func (s *Store) missing(ctx context.Context, cfg *settings, folder string) (bool, error) {
	keys, err := cfg.storage.List(ctx, s.root(), false)
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
