// Digests of secrets and passwords, as the original's files have them.

package authelia

import (
	"crypto/pbkdf2"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/crypto/argon2"
)

// errDigest is the original's error for a client_secret or a password that is no digest.
var errDigest = errors.New("the value is no digest")

// digest computes the key of a secret, to be compared with the stored one.
type digest struct {
	derive func(secret string) ([]byte, error)
	key    []byte
}

// parseDigest parses $pbkdf2-sha512$iterations$salt$key and
// $argon2id$v=19$m=..,t=..,p=..$salt$key. The original takes the costs and
// lengths from the digest.
func parseDigest(text string) (*digest, error) {
	parts := strings.Split(text, "$")
	switch {
	case len(parts) == 5 && parts[1] == "pbkdf2-sha512":
		iterations, err := strconv.Atoi(parts[2])
		salt, errSalt := passlib.DecodeString(parts[3])
		key, errKey := passlib.DecodeString(parts[4])
		if err := errors.Join(err, errSalt, errKey); err != nil {
			return nil, fmt.Errorf("%w: %w", errDigest, err)
		}
		return &digest{func(secret string) ([]byte, error) {
			return pbkdf2.Key(sha512.New, secret, salt, iterations, len(key))
		}, key}, nil
	case len(parts) == 6 && parts[1] == "argon2id" && parts[2] == "v=19":
		var memory, iterations uint32
		var threads uint8
		if _, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &memory, &iterations, &threads); err != nil {
			return nil, fmt.Errorf("%w: %w", errDigest, err)
		}
		salt, errSalt := base64.RawStdEncoding.DecodeString(parts[4])
		key, errKey := base64.RawStdEncoding.DecodeString(parts[5])
		if err := errors.Join(errSalt, errKey); err != nil {
			return nil, fmt.Errorf("%w: %w", errDigest, err)
		}
		return &digest{func(secret string) ([]byte, error) {
			return argon2.IDKey([]byte(secret), salt, iterations, memory, threads, uint32(len(key))), nil //nolint:gosec // of a file of this machine
		}, key}, nil
	}
	return nil, errDigest
}

// passlib is the Base64 of pbkdf2 digests.
var passlib = base64.NewEncoding("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789./").WithPadding(base64.NoPadding)

// matches reports whether given is the secret in plain text or of stored, its digest.
func matches(plain, stored, given string) bool {
	if stored == "" {
		return subtle.ConstantTimeCompare([]byte(plain), []byte(given)) == 1
	}
	parsed, err := parseDigest(stored)
	if err != nil {
		return false
	}
	key, err := parsed.derive(given)
	return err == nil && subtle.ConstantTimeCompare(key, parsed.key) == 1
}
