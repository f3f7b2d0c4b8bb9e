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
	randomSize    = 24 // bytes of a ticket that are random; the rest is their MAC
	ticketText    = 43 // characters of a ticket in a cookie
)

// ticketEncoding is strict so that a ticket has one spelling only.
var ticketEncoding = base64.RawURLEncoding.Strict()

// Ticket is the opaque value in the gate's cookie: 24 random bytes and the
// first 8 bytes of their MAC under the gate's keyring, by which a forged one is
// told apart without asking storage. Whoever has it has the session.
type Ticket [32]byte

// String returns the ticket as it stands in the cookie: 43 characters of
// unpadded URL-safe base64. Never log it.
func (t Ticket) String() string { return ticketEncoding.EncodeToString(t[:]) }

// newTicket returns a ticket that nobody had before.
func newTicket(ring *keyring.Keyring) Ticket {
	var t Ticket
	_, _ = rand.Read(t[:randomSize]) // never fails (crypto/rand)
	copy(t[randomSize:], ring.MAC(purposeTicket, t[:randomSize]))
	return t
}

// parseTicket decodes the text of a ticket, and returns false for anything
// but the one spelling of 32 bytes. It does not allocate.
func parseTicket(text string) (t Ticket, ok bool) {
	if len(text) != ticketText {
		return Ticket{}, false
	}
	var source [ticketText]byte
	copy(source[:], text)
	// The decoder skips line breaks; then it finds fewer than 32 bytes.
	n, err := ticketEncoding.Decode(t[:], source[:])
	return t, err == nil && n == len(t)
}

// genuine reports whether one of the gate's secrets made the ticket.
func (t Ticket) genuine(ring *keyring.Keyring) bool {
	return ring.CheckMAC(purposeTicket, t[:randomSize], t[randomSize:])
}

// key derives what seals the record that the ticket opens.
func (t Ticket) key(gate string) (key [32]byte) {
	copy(key[:], keyring.DeriveKey(t[:randomSize], gate, "session record"))
	return key
}

// sum is what memory finds a session by, so that the time a lookup takes says
// nothing about any ticket.
func (t Ticket) sum() [sha256.Size]byte { return sha256.Sum256(t[:]) }

// ID names a session in memory, storage and logs. It is derived from the
// ticket by SHA-256 and never opens a session itself.
type ID [16]byte

// String returns the id in 32 hexadecimal digits.
func (id ID) String() string { return hex.EncodeToString(id[:]) }

// ParseID parses what String returns.
func ParseID(text string) (ID, error) {
	var id ID
	if len(text) != hex.EncodedLen(len(id)) {
		return ID{}, fmt.Errorf("parsing a session id: it has %d digits", hex.EncodedLen(len(id)))
	}
	if _, err := hex.Decode(id[:], []byte(text)); err != nil {
		return ID{}, fmt.Errorf("parsing a session id: %w", err)
	}
	if id.String() != text { // one spelling: ids name files
		return ID{}, fmt.Errorf("parsing a session id: its digits are in lower case")
	}
	return id, nil
}

func idOf(sum [sha256.Size]byte) (id ID) {
	copy(id[:], sum[:])
	return id
}
