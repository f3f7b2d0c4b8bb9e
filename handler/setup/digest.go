// The digests that Authelia stores in place of a secret and a password.

package setup

import (
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha512"
	"encoding/base64"
	"fmt"

	"golang.org/x/crypto/argon2"
)

// What `authelia crypto hash generate` uses by default.
const (
	pbkdf2Iterations = 310000
	pbkdf2KeySize    = 64 // bytes
	saltSize         = 16 // bytes
)

// argonCost is the work of one argon2id digest.
type argonCost struct {
	memory      uint32 // KiB
	iterations  uint32
	parallelism uint8
}

var argonDefault = argonCost{memory: 64 << 10, iterations: 3, parallelism: 4}

// passlib is the Base64 of Authelia's pbkdf2 digests, which has "." for "+".
var passlib = base64.NewEncoding("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789./").WithPadding(base64.NoPadding)

// secretDigest returns the digest of a client secret for client_secret of an
// Authelia client.
func secretDigest(secret string, salt []byte) (string, error) {
	key, err := pbkdf2.Key(sha512.New, secret, salt, pbkdf2Iterations, pbkdf2KeySize)
	if err != nil {
		return "", fmt.Errorf("deriving the digest of the client secret: %w", err)
	}
	return fmt.Sprintf("$pbkdf2-sha512$%d$%s$%s", pbkdf2Iterations, passlib.EncodeToString(salt), passlib.EncodeToString(key)), nil
}

// passwordDigest returns the argon2id digest of a password for Authelia's users
// file.
func passwordDigest(password string, salt []byte, cost argonCost) string {
	key := argon2.IDKey([]byte(password), salt, cost.iterations, cost.memory, cost.parallelism, 32)
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, cost.memory, cost.iterations, cost.parallelism,
		base64.RawStdEncoding.EncodeToString(salt), base64.RawStdEncoding.EncodeToString(key))
}

// newSalt returns a random salt.
func newSalt() []byte {
	salt := make([]byte, saltSize)
	_, _ = rand.Read(salt) // never fails (crypto/rand)
	return salt
}

// newSecret returns a secret of 52 letters and digits, with 260 random bits.
// RomM and an environment file cannot carry other characters reliably.
func newSecret() string { return rand.Text() + rand.Text() }
