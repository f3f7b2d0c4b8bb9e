// Records: what a ticket opens, and how it is sealed in storage.

package session

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/flow"
	"github.com/romm-oidc/caddy-romm-oidc/flow/keyring"
	"github.com/romm-oidc/caddy-romm-oidc/flow/monotonic"
)

// Record is the content of a session. In storage it is sealed under a key that
// only the ticket yields.
type Record struct {
	Identity flow.Identity `json:"identity"`          // the user
	Tokens   flow.Tokens   `json:"tokens"`            // what the provider issued for the user
	Upstream Upstream      `json:"upstream,omitzero"` // the application's own session
	Created  time.Time     `json:"created"`           // set by Create, kept by Update
	Client   Client        `json:"client,omitzero"`   // which signed in

	// UnprovenSince is when the tokens expired and stopped vouching for the
	// session. It is zero while they do vouch for it.
	UnprovenSince time.Time `json:"unproven_since,omitzero"`
}

// Client is the browser that signed in, for its user to recognize it by. Any
// field may be empty.
type Client struct {
	Browser string `json:"browser,omitempty"`
	System  string `json:"system,omitempty"`
	Address string `json:"address,omitempty"`
}

// saidLeeway is how far clocks of nodes may differ in what they say about claims.
const saidLeeway = 10 * time.Minute

// Upstream is the application's own session for the user, opaque here.
type Upstream struct {
	ID      string `json:"session"`
	Account string `json:"account,omitempty"` // the application's account that it belongs to; empty: unknown
	Role    string `json:"role,omitempty"`    // the role that the user was signed in with; empty: the application's own
}

// clone returns a copy that shares no memory a caller could write to. All its
// strings are parts of one: many sessions are in memory, and the garbage collector
// visits each object.
func (r Record) clone() Record {
	r.Identity.Groups = slices.Clone(r.Identity.Groups)
	r.Identity.FromIDToken = slices.Clone(r.Identity.FromIDToken)
	joinMemory(r.texts())
	return r
}

// texts returns the strings of the record.
func (r *Record) texts() []*string {
	id, tokens, up, client := &r.Identity, &r.Tokens, &r.Upstream, &r.Client
	texts := []*string{
		&id.Issuer, &id.Subject, &id.Username, &id.Email, &id.Name, &tokens.Access, &tokens.Refresh, &tokens.ID, &tokens.Scopes, &tokens.SID,
		&up.ID, &up.Account, &up.Role, &client.Browser, &client.System, &client.Address,
	}
	for _, list := range [][]string{id.Groups, id.FromIDToken} {
		for i := range list {
			texts = append(texts, &list[i])
		}
	}
	return texts
}

// joinMemory makes all texts parts of one string.
func joinMemory(texts []*string) {
	var all strings.Builder
	size := 0
	for _, text := range texts {
		size += len(*text)
	}
	all.Grow(size)
	for _, text := range texts {
		all.WriteString(*text)
	}
	rest := all.String()
	for _, text := range texts {
		*text, rest = rest[:len(*text)], rest[len(*text):]
	}
}

// snapshot is a Record at one revision; it never changes. Each Update on any
// node increments the revision, so that the newer of two copies wins.
type snapshot struct {
	Revision uint64    `json:"revision"`
	Record   Record    `json:"record"`
	Intent   *intent   `json:"intent,omitempty"`
	unsaved  bool      // storage was unreachable when it was made: memory has the only copy
	base     *snapshot // of an unsaved one: the last one in storage before it
}

// revise returns the next snapshot with what change makes of the record, or nil
// if there is nothing to store.
func (s *snapshot) revise(change func(*Record)) *snapshot {
	next := &snapshot{Revision: s.Revision + 1, Record: s.Record.clone(), Intent: s.Intent}
	change(&next.Record)
	next.Record.Created = s.Record.Created
	next.Record = next.Record.clone() // change may have kept a reference to a slice
	if !s.unsaved && reflect.DeepEqual(&s.Record, &next.Record) {
		return nil
	}
	return next
}

// onto returns stored, which another node stored meanwhile, with the changes that s,
// which is unsaved, made to its base. Of two changes of the tokens, those in storage
// are the newer ones: while storage is away, no node refreshes any. To store older
// ones would have their refresh token used twice.
func (s *snapshot) onto(stored *snapshot) *snapshot {
	next := &snapshot{Revision: stored.Revision + 1, Record: stored.Record.clone(), Intent: stored.Intent, unsaved: true, base: stored}
	was, is, r := &s.base.Record, &s.Record, &next.Record
	if r.Tokens.Access == was.Tokens.Access && r.Tokens.Refresh == was.Tokens.Refresh {
		r.Tokens, r.UnprovenSince = is.Tokens, is.UnprovenSince
	}
	if is.Identity.Said > r.Identity.Said {
		r.Identity = is.Identity
	}
	if is.Upstream != was.Upstream {
		r.Upstream = is.Upstream
	}
	next.Record = r.clone()
	return next
}

// anchor gives the times of a stored snapshot a monotonic reading, so that
// setting the clock from now on changes no interval. The node that wrote them may
// have had a wrong clock: a moment in the future counts as now, tokens end as late
// as they may at most, and claims of the future are the oldest.
func (s *snapshot) anchor(now time.Time) {
	for _, at := range []*time.Time{&s.Record.Created, &s.Record.UnprovenSince} {
		if !at.IsZero() {
			*at = monotonic.Past(*at, now)
		}
	}
	if expires := &s.Record.Tokens.Expires; !expires.IsZero() {
		*expires = monotonic.Near(*expires, now)
		if latest := now.Add(flow.AccessTokenMax); expires.After(latest) {
			*expires = latest
		}
	}
	if s.Record.Identity.Said > now.Add(saidLeeway).UnixMilli() {
		s.Record.Identity.Said = 0
	}
}

// Each sealed value in storage begins with magic and the format version, so
// that a value of a later version is not mistaken for a broken one and deleted.
const formatVersion = 1

var magic = []byte("romm")

func addHeader(sealed []byte) []byte {
	return append(append(slices.Clone(magic), formatVersion), sealed...)
}

// cutHeader returns what addHeader was given, or errNewer or errUnreadable.
func cutHeader(value []byte) ([]byte, error) {
	sealed, found := bytes.CutPrefix(value, magic)
	if !found || len(sealed) == 0 || sealed[0] == 0 {
		return nil, errUnreadable
	}
	if sealed[0] > formatVersion {
		return nil, errNewer
	}
	return sealed[1:], nil
}

// additionalData ties a sealed record to its gate, ID and format version: a
// copy under another name does not open.
func additionalData(gate string, id ID) []byte {
	return fmt.Appendf(nil, "session record %d %s %s", formatVersion, id, gate)
}

// sealRecord encodes a snapshot and seals it under the key of its ticket.
func sealRecord(key [32]byte, gate string, id ID, s *snapshot) ([]byte, error) {
	plain, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("encoding a record: %w", err)
	}
	sealed := keyring.NewAEAD(key[:]).Seal(nil, nil, plain, additionalData(gate, id)) //nolint:gosec // G407: this AEAD makes its own nonce
	return addHeader(sealed), nil
}

// openRecord returns errNewer or errUnreadable for a value that sealRecord did
// not make for this key, gate and id.
func openRecord(key [32]byte, gate string, id ID, value []byte) (*snapshot, error) {
	sealed, err := cutHeader(value)
	if err != nil {
		return nil, err
	}
	plain, err := keyring.NewAEAD(key[:]).Open(nil, nil, sealed, additionalData(gate, id))
	if err != nil {
		return nil, errUnreadable
	}
	var s snapshot
	if err := json.Unmarshal(plain, &s); err != nil {
		return nil, fmt.Errorf("%w: %w", errUnreadable, err)
	}
	s.Record = s.Record.clone()
	return &s, nil
}
