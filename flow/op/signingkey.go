// signingKey: one key pair, and how it is sealed.

package op

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/romm-oidc/caddy-romm-oidc/flow/keyring"
)

const rsaBits = 2048

// storedKey is a signing key as it is stored.
type storedKey struct {
	KeyID      string    `json:"kid"` // RFC 7638 thumbprint, so that two keys can never share one
	Algorithm  string    `json:"alg"`
	Created    time.Time `json:"created"`
	ActiveFrom time.Time `json:"active_from"` // the newest active key signs
	Sealed     []byte    `json:"sealed"`      // PKCS #8, sealed under the gate's keyring, bound to kid and alg
}

// signingKey is a storedKey that was opened.
type signingKey struct {
	storedKey
	private crypto.Signer
}

// newSigningKey generates a key that signs from activeFrom on. It is not sealed yet.
func newSigningKey(algorithm string, now, activeFrom time.Time) (signingKey, error) {
	private, err := generate(algorithm)
	if err != nil {
		return signingKey{}, fmt.Errorf("generating a signing key: %w", err)
	}
	return signingKeyOf(private, algorithm, now, activeFrom)
}

// signingKeyOf returns private as a key that signs from activeFrom on.
func signingKeyOf(private crypto.Signer, algorithm string, now, activeFrom time.Time) (signingKey, error) {
	thumbprint, err := (&jose.JSONWebKey{Key: private.Public()}).Thumbprint(crypto.SHA256)
	if err != nil {
		return signingKey{}, fmt.Errorf("computing the thumbprint of a signing key: %w", err)
	}
	return signingKey{private: private, storedKey: storedKey{
		KeyID:      base64.RawURLEncoding.EncodeToString(thumbprint),
		Algorithm:  algorithm,
		Created:    now.UTC(),
		ActiveFrom: activeFrom.UTC(),
	}}, nil
}

// signs returns the key as go-jose signs with it.
func (k *signingKey) signs() jose.SigningKey {
	return jose.SigningKey{Algorithm: jose.SignatureAlgorithm(k.Algorithm), Key: jose.JSONWebKey{Key: k.private, KeyID: k.KeyID}}
}

func generate(algorithm string) (crypto.Signer, error) {
	if algorithm == RS256 {
		return rsa.GenerateKey(rand.Reader, rsaBits)
	}
	return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
}

// seal seals the private key for purpose under the keyring's current secret.
func (k *signingKey) seal(ring *keyring.Keyring, purpose string) error {
	plaintext, err := x509.MarshalPKCS8PrivateKey(k.private)
	if err != nil {
		return fmt.Errorf("encoding a signing key: %w", err)
	}
	k.Sealed = ring.Seal(purpose, plaintext, k.KeyID, k.Algorithm)
	return nil
}

// open returns the key if it opens under the keyring for purpose, with its own kid
// and algorithm, and false otherwise.
func (k storedKey) open(ring *keyring.Keyring, purpose string) (signingKey, bool) {
	plaintext, ok := ring.Open(purpose, k.Sealed, k.KeyID, k.Algorithm)
	if !ok {
		return signingKey{}, false
	}
	private, err := x509.ParsePKCS8PrivateKey(plaintext)
	if err != nil {
		return signingKey{}, false
	}
	signer, ok := private.(crypto.Signer)
	return signingKey{storedKey: k, private: signer}, ok
}
