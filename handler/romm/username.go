// User names in RomM's alphabet.

package romm

import (
	"crypto/sha256"
	"encoding/base32"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"

	"github.com/romm-oidc/caddy-romm-oidc/flow"
)

// The length of a user name in RomM, in characters.
const (
	usernameLeast = 3
	usernameMost  = 64 // RomM allows more
)

// usernameFor returns the user name for a new RomM account of identity, which
// RomM's own forms accept: lower-case letters, digits, "-" and "_". RomM creates
// an account with any name, but then refuses to save its profile. Letters lose
// their accents. A name that loses more than that, and so might become another
// user's, gets a suffix.
func usernameFor(identity *flow.Identity) string {
	name, complete := spelled(identity.Username)
	if complete && len(name) >= usernameLeast && len(name) <= usernameMost {
		return name
	}
	return suffixed(name, identity)
}

// spelled returns name in RomM's alphabet, and whether that took no more than
// lower case and removing accents.
func spelled(name string) (string, bool) {
	var s strings.Builder
	complete := true
	for _, c := range norm.NFKD.String(name) {
		c = unicode.ToLower(c)
		switch {
		case 'a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '-' || c == '_':
			s.WriteRune(c)
		case unicode.Is(unicode.Mn, c): // an accent
		default:
			complete = false
			s.WriteByte('_')
		}
	}
	return s.String(), complete
}

// suffixed returns name, which is in RomM's alphabet, with a suffix that only
// this subject has, and has every time.
func suffixed(name string, identity *flow.Identity) string {
	sum := sha256.Sum256([]byte(identity.Issuer + "\x00" + identity.Subject))
	suffix := "-" + strings.ToLower(base32.StdEncoding.EncodeToString(sum[:5]))
	name = strings.Trim(name, "_-")
	if name == "" {
		name = "user"
	}
	return name[:min(len(name), usernameMost-len(suffix))] + suffix
}
