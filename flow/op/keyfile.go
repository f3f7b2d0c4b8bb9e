// keyFile: the document with a gate's signing keys in storage.

package op

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/romm-oidc/caddy-romm-oidc/flow/keyring"
)

// keysVersion is the version of the document. A document without one is of version 1.
const keysVersion = 1

// storedKeys is the document. It is a list so that a key can be published
// before and after the time in which it signs: RomM keeps our keys until it
// meets a kid that it does not know.
type storedKeys struct {
	Version int         `json:"version,omitempty"`
	Keys    []storedKey `json:"keys"`
}

// keyFile is the document of one gate, and what is needed to open and change it.
type keyFile struct {
	storage  keyring.Storage
	path     string
	keyring  *keyring.Keyring
	rotation keyring.Rotation
}

// load returns the signing keys. If some are missing or f.rotation requires a
// change, it first changes the document under a storage lock, so that all
// nodes agree. If that fails but the stored keys are usable, it returns them
// and the error.
func (f keyFile) load(ctx context.Context) ([]signingKey, error) {
	document, err := f.read(ctx)
	if err != nil {
		return nil, err
	}
	keys := document.open(f.keyring)
	if f.settled(document, keys) {
		return keys, nil
	}
	changed, err := f.update(ctx)
	if err != nil && len(missing(keys)) > 0 {
		return nil, err
	}
	if err != nil {
		return keys, err
	}
	return changed, nil
}

// update locks the document and changes it, unless another node just did.
func (f keyFile) update(ctx context.Context) ([]signingKey, error) {
	if err := f.storage.Lock(ctx, f.path); err != nil {
		return nil, fmt.Errorf("locking the signing keys: %w", err)
	}
	defer func() { _ = f.storage.Unlock(context.WithoutCancel(ctx), f.path) }()
	document, err := f.read(ctx)
	if err != nil {
		return nil, err
	}
	keys := document.open(f.keyring)
	if f.settled(document, keys) {
		return keys, nil
	}
	if err := f.change(&document, keys); err != nil {
		return nil, err
	}
	encoded, err := json.Marshal(document)
	if err != nil {
		return nil, fmt.Errorf("encoding the signing keys: %w", err)
	}
	if err := f.storage.Store(ctx, f.path, encoded); err != nil {
		return nil, fmt.Errorf("storing the signing keys: %w", err)
	}
	return document.open(f.keyring), nil
}

// read returns the document, which is empty if it is absent.
func (f keyFile) read(ctx context.Context) (storedKeys, error) {
	var document storedKeys
	encoded, err := f.storage.Load(ctx, f.path)
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

// open returns the keys that open under ring.
func (d storedKeys) open(ring *keyring.Keyring) []signingKey {
	var keys []signingKey
	for _, stored := range d.Keys {
		if key, ok := stored.open(ring); ok {
			keys = append(keys, key)
		}
	}
	return keys
}

// missing returns the algorithms for which there is no key.
func missing(keys []signingKey) []string {
	return slices.DeleteFunc([]string{ES256, RS256}, func(algorithm string) bool {
		return slices.ContainsFunc(keys, func(key signingKey) bool { return key.Algorithm == algorithm })
	})
}
