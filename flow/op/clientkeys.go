// The keys that the gate's client authenticates with at the provider.

package op

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/romm-oidc/caddy-romm-oidc/flow/keyring"
)

// clientKeyWait is how long a request to the provider waits for the client's
// key: making the first one takes a small machine seconds.
const clientKeyWait = 10 * time.Second

// ofClient are the keys of the gate's client. They are not those of ID tokens,
// so that what one party signs is of no use at the other.
var ofClient = kind{
	name: "the client's keys", file: "client_keys.json", purpose: "client key", algorithms: []string{RS256},
	remedy: "delete it: new keys are made, which the provider reads at their address, and no user is signed out",
}

// NewClientKeys returns the keys that the client of gate authenticates with. Its
// parameters are those of NewKeys.
func NewClientKeys(gate string, ring func(context.Context) (*keyring.Keyring, error), storage func() keyring.Storage,
	now func() time.Time,
) *Keys {
	keys := NewKeys(gate, ring, storage, now)
	keys.kind = ofClient
	return keys
}

// FixedKey returns the private key in a PEM file as keys that never change.
func FixedKey(file []byte) (*Keys, error) {
	block, _ := pem.Decode(file)
	if block == nil {
		return nil, errors.New("it holds nothing in PEM form: it must begin with -----BEGIN PRIVATE KEY-----")
	}
	private, err := parsePrivate(block)
	if err != nil {
		return nil, err
	}
	algorithm, err := algorithmOf(private.Public())
	if err != nil {
		return nil, err
	}
	key, err := signingKeyOf(private, algorithm, time.Time{}, time.Time{})
	if err != nil {
		return nil, err
	}
	set, err := newKeySet(nil, []signingKey{key}, time.Time{})
	if err != nil {
		return nil, err
	}
	keys := &Keys{kind: kind{algorithms: []string{algorithm}}, now: time.Now, fixed: true}
	keys.loaded.Store(set)
	return keys, nil
}

// parsePrivate parses a private key in any of its PEM forms.
func parsePrivate(block *pem.Block) (crypto.Signer, error) {
	var private any
	var err error
	switch block.Type {
	case "PRIVATE KEY":
		private, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	case "RSA PRIVATE KEY":
		private, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	case "EC PRIVATE KEY":
		private, err = x509.ParseECPrivateKey(block.Bytes)
	default:
		return nil, fmt.Errorf("it begins with -----BEGIN %s-----: name the file of the private key, without a password", block.Type)
	}
	if err != nil {
		return nil, fmt.Errorf("its private key cannot be read: %w", err)
	}
	signer, ok := private.(crypto.Signer)
	if !ok {
		return nil, errKeyType
	}
	return signer, nil
}

var errKeyType = errors.New("its key can sign none of RS256, ES256, ES384, ES512 and EdDSA: make an RSA key of 2048 bits or more, or an EC key")

// algorithmOf returns the algorithm that a key signs with.
func algorithmOf(public crypto.PublicKey) (string, error) {
	switch key := public.(type) {
	case *rsa.PublicKey:
		if key.N.BitLen() < rsaBits { // https://datatracker.ietf.org/doc/html/rfc7518#section-3.3
			return "", fmt.Errorf("its RSA key has %d bits: make one of %d or more", key.N.BitLen(), rsaBits)
		}
		return RS256, nil
	case *ecdsa.PublicKey:
		if algorithm, ok := map[string]string{"P-256": ES256, "P-384": string(jose.ES384), "P-521": string(jose.ES512)}[key.Curve.Params().Name]; ok {
			return algorithm, nil
		}
	case ed25519.PublicKey:
		return string(jose.EdDSA), nil
	}
	return "", errKeyType
}

// Algorithm is what the client's keys sign with.
func (k *Keys) Algorithm() string { return k.kind.algorithms[0] }

// SigningKey returns the key that the client signs with now. It waits for the
// first load for up to 10 s.
func (k *Keys) SigningKey(ctx context.Context) (jose.SigningKey, error) {
	ctx, cancel := context.WithTimeout(ctx, clientKeyWait)
	defer cancel()
	keys, err := k.await(ctx, func(Event) {})
	if err != nil {
		return jose.SigningKey{}, err
	}
	key, ok := keys.signer(k.Algorithm(), k.now())
	if !ok {
		return jose.SigningKey{}, fmt.Errorf("%s: none signs with %s", k.kind.name, k.Algorithm())
	}
	return key.signs(), nil
}

// ServeJWKS answers with the public keys, as ServeJWKS of a Provider does.
func (k *Keys) ServeJWKS(w http.ResponseWriter, r *http.Request) { k.serveJWKS(w, r, func(Event) {}) }
