// Client authentication at the token endpoint.

package op

import (
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"net/url"
	"unicode/utf8"
)

// authenticate checks that the request comes from RomM
// (https://datatracker.ietf.org/doc/html/rfc6749#section-2.3.1). It compares
// digests of client ID and secret, so that the time it takes depends on neither.
func (p *Provider) authenticate(r *http.Request, form url.Values) *refusalError {
	id, secret := form.Get("client_id"), form.Get("client_secret")
	if r.Header.Get("Authorization") != "" {
		// RomM sends both without form-urlencoding, so "%" and "+" stand for
		// themselves.
		user, password, _ := r.BasicAuth() // both are empty, and so refused, for any other scheme
		user, password = fromLatin1(user), fromLatin1(password)
		if secret != "" || id != "" && id != user || len(r.Header.Values("Authorization")) > 1 {
			return errRequest // two methods at once (RFC 6749 section 2.3)
		}
		id, secret = user, password
	}
	sameID, sameSecret := hashesTo(id, p.clientID), hashesTo(secret, p.clientSecret)
	switch {
	case p.config.ClientID == "" || !sameID:
		return errClient
	case p.config.ClientSecret == "" || !sameSecret:
		return errSecret
	}
	return nil
}

// hashesTo compares the digest of value in constant time.
func hashesTo(value string, digest [sha256.Size]byte) bool {
	sum := sha256.Sum256([]byte(value))
	return subtle.ConstantTimeCompare(digest[:], sum[:]) == 1
}

// fromLatin1 returns credentials in UTF-8. RomM's client library encodes them
// in Latin-1, which differs if a secret holds an umlaut, for example.
func fromLatin1(value string) string {
	if utf8.ValidString(value) {
		return value
	}
	runes := make([]rune, len(value))
	for i := range len(value) {
		runes[i] = rune(value[i])
	}
	return string(runes)
}
