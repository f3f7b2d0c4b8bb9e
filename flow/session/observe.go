// What is observed of the store: how long the storage takes, how old the keyring
// is and whether it can be used, what is in progress.

package session

import (
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/flow/keyring"
	"github.com/romm-oidc/caddy-romm-oidc/flow/span"
)

// The spans of calls to the storage.
const (
	SpanLoad   span.Name = "storage load"
	SpanStore  span.Name = "storage store"
	SpanDelete span.Name = "storage delete"
	SpanList   span.Name = "storage list"
	SpanLock   span.Name = "storage lock"
)

// spans are the spans of watchedStorage.watch, by its method.
var spans = map[string]span.Name{"Load": SpanLoad, "Store": SpanStore, "Delete": SpanDelete, "List": SpanList}

// KeyringCreated returns when the newest secret of the keyring was made, zero if
// it is not known yet.
func (s *Store) KeyringCreated() time.Time {
	if loaded := s.keyring.Load(); loaded != nil {
		return loaded.Created()
	}
	return time.Time{}
}

// KeyringUnusable reports whether the keyring in storage could not be used when
// it was last read. Users who are signed in do not notice at once.
func (s *Store) KeyringUnusable() bool { return s.keyringBroken.Load() }

// noteKeyring takes the result of a reading of the keyring. That storage does
// not answer says nothing about it.
func (s *Store) noteKeyring(err error) {
	_, broken := errors.AsType[*keyring.DocumentError](err)
	if broken || err == nil {
		s.keyringBroken.Store(broken)
	}
}

// Nodes returns the names of the nodes where the sessions in memory were signed
// in, and of this one.
func (s *Store) Nodes() []string {
	names := map[string]struct{}{s.node: {}}
	s.memory.each(func(session *Session) { names[session.node.Value()] = struct{}{} })
	delete(names, "") // it has none
	return slices.Sorted(maps.Keys(names))
}

// InProgress returns how many streams and transfers the sessions in memory have.
func (s *Store) InProgress() (n int) {
	s.memory.each(func(session *Session) { n += int(session.held.Load()) })
	return n
}
