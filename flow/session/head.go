package session

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/flow/keyring"
)

const (
	purposeHead = "session head"
	purposeSeen = "session seen"
)

// Head says whose a session is, without anything that opens it. At rest it is
// sealed under the gate's keyring.
type Head struct {
	User    string    `json:"user"`          // the username, for lists
	UserKey string    `json:"user_key"`      // UserKey of the identity
	SID     string    `json:"sid,omitempty"` // SIDKey of the provider's session, or ""
	Created time.Time `json:"created"`
	Expires time.Time `json:"expires"` // Created plus the lifetime at sign-in
	Node    string    `json:"node,omitempty"`
}

// Entry is one session in a list. It holds neither ticket nor token.
type Entry struct {
	Head
	ID       ID
	LastSeen time.Time
}

// UserKey returns the key of the user that issuer calls subject: what EndUser
// takes and Head.UserKey holds.
func UserKey(issuer, subject string) string { return keyOf("user", issuer, subject) }

// SIDKey returns the key of issuer's session sid, what EndSID takes and
// Head.SID holds; "" for no sid.
func SIDKey(issuer, sid string) string {
	if sid == "" {
		return ""
	}
	return keyOf("sid", issuer, sid)
}

// keyOf hashes its parts, each with its length before it, so that no two lists
// of parts read the same.
func keyOf(parts ...string) string {
	hash := sha256.New()
	for _, part := range parts {
		hash.Write(fmt.Appendf(nil, "%d:%s", len(part), part))
	}
	return hex.EncodeToString(hash.Sum(nil)[:16])
}

// headOf returns the head of a record that was made on node and ends at expires.
func headOf(r *Record, expires time.Time, node string) Head {
	return Head{
		User:    r.Identity.Username,
		UserKey: UserKey(r.Identity.Issuer, r.Identity.Subject),
		SID:     SIDKey(r.Identity.Issuer, r.Tokens.SID),
		Created: r.Created,
		Expires: expires,
		Node:    node,
	}
}

// same reports whether two heads of one session say the same.
func (h *Head) same(other *Head) bool {
	return h.User == other.User && h.UserKey == other.UserKey && h.SID == other.SID
}

// until returns when the session ends whatever its use, in Unix seconds: a
// lifetime that was shortened holds at once, a longer one only for new sessions.
func (h *Head) until(limits Limits) int64 {
	return until(h.Created.Unix(), h.Expires.Unix(), limits)
}

func until(created, expires int64, limits Limits) int64 {
	return min(expires, created+int64(limits.Lifetime/time.Second))
}

func sealHead(ring *keyring.Keyring, id ID, h *Head) ([]byte, error) {
	plain, err := json.Marshal(h)
	if err != nil {
		return nil, fmt.Errorf("encoding a head: %w", err)
	}
	return wrap(ring.Seal(purposeHead, plain, id.String(), strconv.Itoa(version))), nil
}

// openHead returns errNewer or errUnreadable for what sealHead did not make
// for this gate and id.
func openHead(ring *keyring.Keyring, id ID, value []byte) (*Head, error) {
	sealed, err := unwrap(value)
	if err != nil {
		return nil, err
	}
	plain, ok := ring.Open(purposeHead, sealed, id.String(), strconv.Itoa(version))
	if !ok {
		return nil, errUnreadable
	}
	var h Head
	if err := json.Unmarshal(plain, &h); err != nil {
		return nil, fmt.Errorf("%w: %w", errUnreadable, err)
	}
	return &h, nil
}

func sealSeen(ring *keyring.Keyring, id ID, used int64) []byte {
	return wrap(ring.Seal(purposeSeen, strconv.AppendInt(nil, used, 10), id.String()))
}

// openSeen returns the last use in Unix seconds, and 0 for what sealSeen did
// not make: then the session counts as unused since sign-in, which can only end it.
func openSeen(ring *keyring.Keyring, id ID, value []byte) int64 {
	sealed, err := unwrap(value)
	if err != nil {
		return 0
	}
	plain, ok := ring.Open(purposeSeen, sealed, id.String())
	if !ok {
		return 0
	}
	used, err := strconv.ParseInt(string(plain), 10, 64)
	if err != nil {
		return 0
	}
	return used
}
