// Tickets, the opaque values in the gate's cookie, and the IDs derived from them.

package session

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"

	"github.com/romm-oidc/caddy-romm-oidc/flow/keyring"
)

const (
	purposeTicket = "ticket"
	randomSize    = 24 // random bytes of a ticket; the rest is their MAC
	ticketLength  = 43 // characters of a ticket in a cookie
)

// ticketEncoding is strict, so that each ticket has exactly one spelling.
var ticketEncoding = base64.RawURLEncoding.Strict()

// ticket is the opaque value in the gate's cookie: 24 random bytes and the first
// 8 bytes of their MAC under the gate's keyring. The MAC exposes a forged ticket
// without a call to storage. A ticket is a bearer credential: an attacker who
// has it has the session.
type ticket [32]byte

// String returns the ticket as it appears in the cookie: 43 characters of
// unpadded URL-safe base64. Never log it.
func (t ticket) String() string { return ticketEncoding.EncodeToString(t[:]) }

func newTicket(keys *keyring.Keyring) ticket {
	var t ticket
	_, _ = rand.Read(t[:randomSize]) // never fails (crypto/rand)
	copy(t[randomSize:], keys.MAC(purposeTicket, t[:randomSize]))
	return t
}

// parseTicket decodes the text of a ticket. It returns false unless the text is
// the only valid spelling of 32 bytes. It does not allocate.
func parseTicket(text string) (t ticket, ok bool) {
	if len(text) != ticketLength {
		return ticket{}, false
	}
	var source [ticketLength]byte
	copy(source[:], text)
	// The decoder skips line breaks: with one it finds fewer than 32 bytes.
	n, err := ticketEncoding.Decode(t[:], source[:])
	return t, err == nil && n == len(t)
}

// genuine reports whether one of the gate's secrets made the ticket.
func (t ticket) genuine(keys *keyring.Keyring) bool {
	return keys.CheckMAC(purposeTicket, t[:randomSize], t[randomSize:])
}

// key derives the key that seals the ticket's record.
func (t ticket) key(gate string) (key [32]byte) {
	copy(key[:], keyring.DeriveKey(t[:randomSize], gate, "session record"))
	return key
}

// sum is the hash by which memory finds the session, so that the duration of a
// lookup reveals nothing about the ticket.
func (t ticket) sum() [sha256.Size]byte { return sha256.Sum256(t[:]) }

// ID names a session in memory, storage and logs. It is derived from the ticket
// by SHA-256 and does not open the session.
type ID [16]byte

// String returns the ID as 32 lower-case hexadecimal digits.
func (id ID) String() string { return hex.EncodeToString(id[:]) }

// ParseID parses the text that ID.String returns, and only that.
func ParseID(text string) (ID, error) {
	var id ID
	if len(text) != hex.EncodedLen(len(id)) {
		return ID{}, fmt.Errorf("parsing a session id: it has %d digits", hex.EncodedLen(len(id)))
	}
	if _, err := hex.Decode(id[:], []byte(text)); err != nil {
		return ID{}, fmt.Errorf("parsing a session id: %w", err)
	}
	if id.String() != text { // IDs name files: one spelling only
		return ID{}, fmt.Errorf("parsing a session id: its digits are in lower case")
	}
	return id, nil
}

func idOf(sum [sha256.Size]byte) (id ID) {
	copy(id[:], sum[:])
	return id
}
