package op

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/romm-oidc/caddy-romm-oidc/flow/keyring"
)

const (
	signingKeyPurpose = "signing key"
	rsaBits           = 2048

	// keysKept is how long an old key stays published after it signed for the
	// last time. RomM looks at an ID token once, at once; the rest is for
	// clocks that differ.
	keysKept = 24 * time.Hour

	// keysVersion is of the document. One without a version is the first.
	keysVersion = 1
)

// storedKeys is the document in storage. It is a list so that a key can be
// published before it signs and after it did: RomM keeps our keys until it
// meets a kid that it does not know.
type storedKeys struct {
	Version int         `json:"version,omitempty"`
	Keys    []storedKey `json:"keys"`
}

type storedKey struct {
	KeyID      string    `json:"kid"` // RFC 7638 thumbprint: another key can never come under the same one
	Algorithm  string    `json:"alg"`
	Created    time.Time `json:"created"`
	ActiveFrom time.Time `json:"active_from"` // the newest key whose time has come signs
	Sealed     []byte    `json:"sealed"`      // PKCS #8, under the gate's ring, bound to kid and alg
}

// signingKey is a storedKey that was opened.
type signingKey struct {
	storedKey
	private crypto.Signer
}

// keySet is what the endpoints work with: everything that comes from storage,
// read at one time, never changed.
type keySet struct {
	keyring *keyring.Keyring
	signing []signingKey
	public  json.RawMessage // the JWK Set document
	read    time.Time
}

// newKeySet encodes the public halves once for all requests.
func newKeySet(ring *keyring.Keyring, signing []signingKey, read time.Time) (*keySet, error) {
	document := jose.JSONWebKeySet{}
	for _, key := range signing {
		document.Keys = append(document.Keys, jose.JSONWebKey{
			Key:       key.private.Public(),
			KeyID:     key.KeyID,
			Algorithm: key.Algorithm,
			Use:       "sig",
		})
	}
	public, err := json.Marshal(document)
	if err != nil {
		return nil, fmt.Errorf("encoding the JWK Set: %w", err)
	}
	return &keySet{keyring: ring, signing: signing, public: public, read: read}, nil
}

// current is the key that signs with algorithm: the newest whose time has
// come, or else, when clocks disagree, the one whose time comes first.
func (k *keySet) current(algorithm string, now time.Time) (signingKey, bool) {
	var best signingKey
	for _, key := range k.signing {
		if key.Algorithm != algorithm {
			continue
		}
		active, bestActive := !key.ActiveFrom.After(now), !best.ActiveFrom.After(now)
		switch {
		case best.private == nil,
			active && !bestActive,
			active && bestActive && key.ActiveFrom.After(best.ActiveFrom),
			!active && !bestActive && key.ActiveFrom.Before(best.ActiveFrom):
			best = key
		}
	}
	return best, best.private != nil
}

// loadSigningKeys reads the signing keys, makes those that are missing, and
// changes what r says, under a storage lock, so that all nodes agree on them.
// It returns keys beside an error if those that are stored will do.
func loadSigningKeys(ctx context.Context, storage keyring.Storage, gate string, ring *keyring.Keyring, r keyring.Rotation,
	now func() time.Time,
) ([]signingKey, error) {
	name := keyring.StoragePrefix(gate) + "/signing_keys.json"
	document, err := readSigningKeys(ctx, storage, name)
	if err != nil {
		return nil, err
	}
	keys := openSigningKeys(ring, document)
	if document.settled(ring, keys, r, now()) {
		return keys, nil
	}
	changed, err := changeSigningKeys(ctx, storage, name, ring, r, now)
	if err != nil && len(missing(keys)) > 0 {
		return nil, err
	}
	if err != nil {
		return keys, err
	}
	return changed, nil
}

// changeSigningKeys does what is to be done to the document under its lock,
// unless another node just did it.
func changeSigningKeys(ctx context.Context, storage keyring.Storage, name string, ring *keyring.Keyring, r keyring.Rotation,
	now func() time.Time,
) ([]signingKey, error) {
	if err := storage.Lock(ctx, name); err != nil {
		return nil, fmt.Errorf("locking the signing keys: %w", err)
	}
	defer func() { _ = storage.Unlock(context.WithoutCancel(ctx), name) }()
	document, err := readSigningKeys(ctx, storage, name)
	if err != nil {
		return nil, err
	}
	keys := openSigningKeys(ring, document)
	if document.settled(ring, keys, r, now()) {
		return keys, nil
	}
	if err := document.change(ring, keys, r, now()); err != nil {
		return nil, err
	}
	encoded, err := json.Marshal(document)
	if err != nil {
		return nil, fmt.Errorf("encoding the signing keys: %w", err)
	}
	if err := storage.Store(ctx, name, encoded); err != nil {
		return nil, fmt.Errorf("storing the signing keys: %w", err)
	}
	return openSigningKeys(ring, document), nil
}

// readSigningKeys returns an empty document when there is none.
func readSigningKeys(ctx context.Context, storage keyring.Storage, name string) (storedKeys, error) {
	var document storedKeys
	encoded, err := storage.Load(ctx, name)
	if errors.Is(err, fs.ErrNotExist) {
		return document, nil
	}
	if err != nil {
		return document, fmt.Errorf("loading the signing keys: %w", err)
	}
	if err := json.Unmarshal(encoded, &document); err != nil {
		return document, fmt.Errorf("decoding the signing keys: %w", err)
	}
	if document.Version > keysVersion {
		return document, fmt.Errorf("decoding the signing keys: a newer version of this module wrote them (version %d)", document.Version)
	}
	return document, nil
}

// openSigningKeys returns the keys that open under the keyring and are what
// their name says.
func openSigningKeys(ring *keyring.Keyring, document storedKeys) []signingKey {
	var keys []signingKey
	for _, stored := range document.Keys {
		plaintext, ok := ring.Open(signingKeyPurpose, stored.Sealed, stored.KeyID, stored.Algorithm)
		if !ok {
			continue
		}
		private, err := x509.ParsePKCS8PrivateKey(plaintext)
		if err != nil {
			continue
		}
		signer, ok := private.(crypto.Signer)
		if !ok {
			continue
		}
		keys = append(keys, signingKey{storedKey: stored, private: signer})
	}
	return keys
}

// missing lists the algorithms that have no key.
func missing(keys []signingKey) []string {
	var algorithms []string
	set := keySet{signing: keys}
	for _, algorithm := range []string{ES256, RS256} {
		if _, ok := set.current(algorithm, time.Time{}); !ok {
			algorithms = append(algorithms, algorithm)
		}
	}
	return algorithms
}

// newSigningKey makes a key that signs from a time on.
func newSigningKey(ring *keyring.Keyring, algorithm string, now, from time.Time) (signingKey, error) {
	private, err := generate(algorithm)
	if err != nil {
		return signingKey{}, fmt.Errorf("making a signing key: %w", err)
	}
	thumbprint, err := (&jose.JSONWebKey{Key: private.Public()}).Thumbprint(crypto.SHA256)
	if err != nil {
		return signingKey{}, fmt.Errorf("naming a signing key: %w", err)
	}
	key := signingKey{private: private, storedKey: storedKey{
		KeyID:      base64.RawURLEncoding.EncodeToString(thumbprint),
		Algorithm:  algorithm,
		Created:    now.UTC(),
		ActiveFrom: from.UTC(),
	}}
	return key, key.seal(ring)
}

// seal seals the private half under the secret that seals now.
func (k *signingKey) seal(ring *keyring.Keyring) error {
	plaintext, err := x509.MarshalPKCS8PrivateKey(k.private)
	if err != nil {
		return fmt.Errorf("encoding a signing key: %w", err)
	}
	k.Sealed = ring.Seal(signingKeyPurpose, plaintext, k.KeyID, k.Algorithm)
	return nil
}

func generate(algorithm string) (crypto.Signer, error) {
	if algorithm == RS256 {
		return rsa.GenerateKey(rand.Reader, rsaBits)
	}
	return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
}
