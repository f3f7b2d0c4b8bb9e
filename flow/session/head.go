// Heads and last uses: what can be read of a session without its ticket.

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

// Part of the stored format: these strings are mixed into what is sealed.
const (
	purposeHead    = "session head"
	purposeLastUse = "session seen"
)

// Head names the user of a session and contains nothing that opens it. In
// storage it is sealed under the gate's keyring.
type Head struct {
	User    string    `json:"user"`          // the username, for lists
	UserKey string    `json:"user_key"`      // UserKey of the identity
	SID     string    `json:"sid,omitempty"` // SIDKey of the provider's session, or ""
	Created time.Time `json:"created"`
	Expires time.Time `json:"expires"` // Created plus the lifetime that applied at sign-in
	Node    string    `json:"node,omitempty"`
	Client  Client    `json:"client,omitzero"`
}

// Entry is one session in a list. It contains neither ticket nor tokens.
type Entry struct {
	Head
	ID       ID
	LastSeen time.Time // last use, exact to Idle/20 if another node serves the session
}

// UserKey returns the key of the user with this issuer and subject, as EndUser
// takes it and Head.UserKey holds it.
func UserKey(issuer, subject string) string { return keyOf("user", issuer, subject) }

// SIDKey returns the key of the provider's session sid, as EndSID takes it and
// Head.SID holds it. It returns "" if sid is empty.
func SIDKey(issuer, sid string) string {
	if sid == "" {
		return ""
	}
	return keyOf("sid", issuer, sid)
}

// keyOf hashes its parts, each prefixed with its length, so that two different
// lists of parts never hash the same text.
func keyOf(parts ...string) string {
	hash := sha256.New()
	for _, part := range parts {
		hash.Write(fmt.Appendf(nil, "%d:%s", len(part), part))
	}
	return hex.EncodeToString(hash.Sum(nil)[:16])
}

// newHead returns the head for a record.
func newHead(r *Record, expires time.Time, node string) Head {
	return Head{
		User:    r.Identity.Username,
		UserKey: UserKey(r.Identity.Issuer, r.Identity.Subject),
		SID:     SIDKey(r.Identity.Issuer, r.Tokens.SID),
		Created: r.Created,
		Expires: expires,
		Node:    node,
		Client:  r.Client,
	}
}

// sameOwner reports whether two heads name the same user and provider session.
func (h *Head) sameOwner(other *Head) bool {
	return h.User == other.User && h.UserKey == other.UserKey && h.SID == other.SID
}

// endsAt returns when the session ends even if it is in use, in Unix seconds. A
// shortened lifetime applies at once, a longer one only to new sessions.
func (h *Head) endsAt(limits Limits) int64 {
	return endsAt(h.Created.Unix(), h.Expires.Unix(), limits)
}

func endsAt(created, expires int64, limits Limits) int64 {
	return min(expires, created+int64(limits.Lifetime/time.Second))
}

func sealHead(keys *keyring.Keyring, id ID, h *Head) ([]byte, error) {
	plain, err := json.Marshal(h)
	if err != nil {
		return nil, fmt.Errorf("encoding a head: %w", err)
	}
	return addHeader(keys.Seal(purposeHead, plain, id.String(), strconv.Itoa(formatVersion))), nil
}

// openHead returns errNewer or errUnreadable for a value that sealHead did not
// make for this gate and id.
func openHead(keys *keyring.Keyring, id ID, value []byte) (*Head, error) {
	sealed, err := cutHeader(value)
	if err != nil {
		return nil, err
	}
	plain, ok := keys.Open(purposeHead, sealed, id.String(), strconv.Itoa(formatVersion))
	if !ok {
		return nil, errUnreadable
	}
	var h Head
	if err := json.Unmarshal(plain, &h); err != nil {
		return nil, fmt.Errorf("%w: %w", errUnreadable, err)
	}
	return &h, nil
}

func sealLastUse(keys *keyring.Keyring, id ID, used int64) []byte {
	return addHeader(keys.Seal(purposeLastUse, strconv.AppendInt(nil, used, 10), id.String()))
}

// openLastUse returns the last use in Unix seconds, and 0 for a value that
// sealLastUse did not make. The session then counts as unused since sign-in,
// so that a damaged value can end a session early but never prolong it.
func openLastUse(keys *keyring.Keyring, id ID, value []byte) int64 {
	sealed, err := cutHeader(value)
	if err != nil {
		return 0
	}
	plain, ok := keys.Open(purposeLastUse, sealed, id.String())
	if !ok {
		return 0
	}
	used, err := strconv.ParseInt(string(plain), 10, 64)
	if err != nil {
		return 0
	}
	return used
}
