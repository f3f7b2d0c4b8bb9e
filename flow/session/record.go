package session

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/flow"
	"github.com/romm-oidc/caddy-romm-oidc/flow/keyring"
)

// Record is what a ticket opens. At rest it is sealed under a key that only
// the ticket gives.
type Record struct {
	Identity        flow.Identity `json:"identity"`              // who signed in
	Tokens          flow.Tokens   `json:"tokens"`                // what the provider gave for them
	UpstreamSession string        `json:"application,omitempty"` // the application's own session id, opaque here
	Created         time.Time     `json:"created"`               // set by Create, kept by Update

	// UnprovenSince is when the tokens ended, so that they no longer speak for
	// the session; zero while they do.
	UnprovenSince time.Time `json:"unproven_since,omitzero"`
}

// clone returns a copy that shares nothing a caller could write to.
func (r Record) clone() Record {
	r.Identity.Groups = slices.Clone(r.Identity.Groups)
	return r
}

// sameStored reports whether two records are stored alike.
func sameStored(a, b *Record) bool {
	left, leftErr := json.Marshal(a)
	right, rightErr := json.Marshal(b)
	return leftErr == nil && rightErr == nil && bytes.Equal(left, right)
}

// snapshot is a Record as it was at one revision; it never changes. Revisions
// count up with every Update on any node, so that of two copies the newer wins.
type snapshot struct {
	Revision uint64 `json:"revision"`
	Record   Record `json:"record"`
	unsaved  bool   // storage was away when it was made: memory has the only copy
}

// A stored value begins with a mark and a version, so that a value of a later
// version of this module is told from a broken one and left alone.
const version = 1

var mark = []byte("romm")

var (
	errNewer      = errors.New("a newer version of this module wrote it")
	errUnreadable = errors.New("it is truncated or of another gate")
)

func wrap(sealed []byte) []byte {
	return append(append(slices.Clone(mark), version), sealed...)
}

func unwrap(value []byte) ([]byte, error) {
	sealed, marked := bytes.CutPrefix(value, mark)
	if !marked || len(sealed) == 0 || sealed[0] == 0 {
		return nil, errUnreadable
	}
	if sealed[0] > version {
		return nil, errNewer
	}
	return sealed[1:], nil
}

// bound is the additional data that ties a record to its gate, its name and
// its version: copied elsewhere it does not open.
func bound(gate string, id ID) []byte {
	return fmt.Appendf(nil, "session record %d %s %s", version, id, gate)
}

// sealRecord encodes and seals a snapshot under the key of its ticket.
func sealRecord(key [32]byte, gate string, id ID, s *snapshot) ([]byte, error) {
	plain, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("encoding a record: %w", err)
	}
	sealed := keyring.NewAEAD(key[:]).Seal(nil, nil, plain, bound(gate, id)) //nolint:gosec // G407: this AEAD makes its own nonce
	return wrap(sealed), nil
}

// openRecord returns errNewer or errUnreadable for what sealRecord did not
// make for this key, gate and id.
func openRecord(key [32]byte, gate string, id ID, value []byte) (*snapshot, error) {
	sealed, err := unwrap(value)
	if err != nil {
		return nil, err
	}
	plain, err := keyring.NewAEAD(key[:]).Open(nil, nil, sealed, bound(gate, id))
	if err != nil {
		return nil, errUnreadable
	}
	var s snapshot
	if err := json.Unmarshal(plain, &s); err != nil {
		return nil, fmt.Errorf("%w: %w", errUnreadable, err)
	}
	return &s, nil
}
