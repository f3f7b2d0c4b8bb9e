// Keyring: sealing, opening and authenticating values.

package keyring

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"hash"
	"strings"
	"sync"
)

// secretSize is the size of a gate's secret and of every key derived from it, in bytes.
const secretSize = 32

// Keyring holds the secrets of one gate and derives a key from them for each
// purpose, so that a value sealed for one purpose or gate does not open for
// another. It seals with its first secret and opens with any of them, so that
// a rotation invalidates nothing. All methods may be called concurrently.
type Keyring struct {
	gate    string
	secrets [][]byte
	derived sync.Map       // derivedKey -> *sync.Pool of hashes, or cipher.AEAD
	stored  *storedKeyring // that it was made from; nil if New made it
}

type derivedKey struct {
	secret  int
	kind    string
	purpose string
}

// New returns a keyring of gate with secrets of 32 bytes each, at least one.
// The first seals.
func New(gate string, secrets ...[]byte) (*Keyring, error) {
	if len(secrets) == 0 {
		return nil, errors.New("a keyring needs at least one secret")
	}
	for _, secret := range secrets {
		if len(secret) != secretSize {
			return nil, fmt.Errorf("a secret must have %d bytes, not %d", secretSize, len(secret))
		}
	}
	return &Keyring{gate: gate, secrets: secrets}, nil
}

// Seal encrypts and authenticates plaintext for purpose. The caller must pass
// the same bound values to Open, such as a cookie's name or a record's ID.
func (k *Keyring) Seal(purpose string, plaintext []byte, bound ...string) []byte {
	return k.aead(0, purpose).Seal(nil, nil, plaintext, k.additional(purpose, bound)) //nolint:gosec // the AEAD adds the nonce
}

// Open returns the plaintext of a value from Seal, and false for any other value.
func (k *Keyring) Open(purpose string, sealed []byte, bound ...string) ([]byte, bool) {
	additional := k.additional(purpose, bound)
	for i := range k.secrets {
		if plaintext, err := k.aead(i, purpose).Open(nil, nil, sealed, additional); err == nil {
			return plaintext, true
		}
	}
	return nil, false
}

// Current reports whether sealed was sealed under the first secret. A value
// that was not must be sealed anew if it is to outlive the rotation.
func (k *Keyring) Current(purpose string, sealed []byte, bound ...string) bool {
	_, err := k.aead(0, purpose).Open(nil, nil, sealed, k.additional(purpose, bound))
	return err == nil
}

// SealText is Seal in unpadded base64url, for a cookie or a query.
func (k *Keyring) SealText(purpose string, plaintext []byte, bound ...string) string {
	return base64.RawURLEncoding.EncodeToString(k.Seal(purpose, plaintext, bound...))
}

// OpenText returns the plaintext of a value from SealText, and false for any
// other value, including other spellings of the same bytes.
func (k *Keyring) OpenText(purpose, sealed string, bound ...string) ([]byte, bool) {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(sealed)
	if err != nil || len(sealed) != base64.RawURLEncoding.EncodedLen(len(raw)) { // the decoder skips line breaks
		return nil, false
	}
	return k.Open(purpose, raw, bound...)
}

// MAC returns the HMAC-SHA256 of data under the first secret.
func (k *Keyring) MAC(purpose string, data []byte) []byte { return k.mac(0, purpose, data) }

// CheckMAC reports whether mac is a prefix, at least 8 bytes long, of the MAC
// of data under one of the secrets. It compares in constant time.
func (k *Keyring) CheckMAC(purpose string, data, mac []byte) bool {
	if len(mac) < 8 || len(mac) > sha256.Size {
		return false
	}
	found := false
	for i := range k.secrets {
		found = hmac.Equal(k.mac(i, purpose, data)[:len(mac)], mac) || found
	}
	return found
}

// mac reuses its hashes: most MACs are those of made-up tickets.
func (k *Keyring) mac(secret int, purpose string, data []byte) []byte {
	hashes := k.hashes(derivedKey{secret, "mac", purpose})
	mac := hashes.Get().(hash.Hash) //nolint:errcheck // what New returns
	defer hashes.Put(mac)
	mac.Reset()
	mac.Write(data)
	return mac.Sum(nil)
}

func (k *Keyring) aead(secret int, purpose string) cipher.AEAD {
	id := derivedKey{secret, "aead", purpose}
	if aead, ok := k.derived.Load(id); ok {
		return aead.(cipher.AEAD) //nolint:errcheck // only this function stores under "aead"
	}
	aead := NewAEAD(k.key(id))
	k.derived.Store(id, aead)
	return aead
}

func (k *Keyring) hashes(id derivedKey) *sync.Pool {
	if hashes, ok := k.derived.Load(id); ok {
		return hashes.(*sync.Pool) //nolint:errcheck // only this function stores under "mac"
	}
	key := k.key(id)
	hashes := &sync.Pool{New: func() any { return hmac.New(sha256.New, key) }}
	k.derived.Store(id, hashes)
	return hashes
}

func (k *Keyring) key(id derivedKey) []byte {
	return DeriveKey(k.secrets[id.secret], k.gate, id.kind+" "+id.purpose)
}

// additional returns the additional authenticated data of a sealed value: each
// part follows its length, so that different lists never encode the same.
func (k *Keyring) additional(purpose string, bound []string) []byte {
	var b strings.Builder
	for _, part := range append([]string{k.gate, purpose}, bound...) {
		fmt.Fprintf(&b, "%d:%s", len(part), part)
	}
	return []byte(b.String())
}

// DeriveKey derives a key of 32 bytes for one gate and purpose from a secret of
// high entropy, with HKDF-SHA256 (RFC 5869).
func DeriveKey(secret []byte, gate, purpose string) []byte {
	key, err := hkdf.Key(sha256.New, secret, []byte(gate), "romm_oidc "+purpose, secretSize)
	if err != nil {
		panic(err) // only for too long keys, and this length is constant
	}
	return key
}

// NewAEAD returns AES-256-GCM under key, which must have 32 bytes. It puts a
// random nonce in front of each ciphertext.
func NewAEAD(key []byte) cipher.AEAD {
	block, err := aes.NewCipher(key)
	if err != nil {
		panic(err) // only for a key of another size
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		panic(err) // never for AES (crypto/cipher)
	}
	return aead
}
