// keyFile: the document with a gate's signing keys in storage.

package op

import (
	"context"
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

// kind is what signing keys are for. The keys of one kind open nothing of another.
type kind struct {
	name       string // for errors
	file       string
	purpose    string // that they are sealed for
	remedy     string
	algorithms []string // there is a key for each
}

// ofTokens are the keys that sign ID tokens for RomM.
var ofTokens = kind{
	name: "the signing keys", file: "signing_keys.json", purpose: "signing key", algorithms: []string{ES256, RS256},
	remedy: "delete it: new keys are made, and no user is signed out",
}

// keyFile is the document of one gate, and what is needed to open and change it.
type keyFile struct {
	kind     kind
	document keyring.Document
	keyring  *keyring.Keyring
	rotation keyring.Rotation
	spare    []signingKey // those in memory, to write again if the document is damaged
}

func newKeyFile(kind kind, storage keyring.Storage, gate string) keyFile {
	return keyFile{kind: kind, document: keyring.Document{
		Storage: storage, Name: kind.name, Key: keyring.StoragePrefix(gate) + "/" + kind.file, Version: keysVersion, Remedy: kind.remedy,
	}}
}

// replacedError says that the document was not JSON and was replaced. The keys
// are usable.
type replacedError struct {
	key, aside string
	fromMemory bool
}

func (e *replacedError) Error() string {
	how := "new keys were made"
	if e.fromMemory {
		how = "written again from memory"
	}
	return e.key + " was not JSON: it was put aside as " + e.aside + " and " + how + "; no user is signed out"
}

// load returns the signing keys. If some are missing or f.rotation requires a
// change, it first changes the document under a storage lock, so that all
// nodes agree. If that fails but the stored keys are usable, it returns them
// and the error. It replaces a document that is not JSON, and then returns the new
// keys with a replacedError.
func (f keyFile) load(ctx context.Context) ([]signingKey, error) {
	document, err := f.read(ctx)
	if err != nil && !errors.Is(err, keyring.ErrNotJSON) {
		return nil, err
	}
	keys := f.open(document)
	if err == nil && f.settled(document, keys) {
		return keys, nil
	}
	changed, err := f.update(ctx)
	switch {
	case changed != nil:
		return changed, err
	case len(f.missing(keys)) > 0:
		return nil, err
	}
	return keys, err
}

// update locks the document and changes it, unless another node just did.
func (f keyFile) update(ctx context.Context) ([]signingKey, error) {
	if err := f.document.Storage.Lock(ctx, f.document.Key); err != nil {
		return nil, fmt.Errorf("locking %s: %w", f.kind.name, err)
	}
	defer func() { _ = f.document.Storage.Unlock(context.WithoutCancel(ctx), f.document.Key) }()
	var replaced error
	document, err := f.read(ctx)
	if errors.Is(err, keyring.ErrNotJSON) {
		var aside string
		aside, err = f.document.PutAside(ctx, f.rotation.At)
		replaced = &replacedError{f.document.Key, aside, len(f.spare) > 0}
		for _, key := range f.spare { // RomM and the other nodes know them
			document.Keys = append(document.Keys, key.storedKey)
		}
	}
	if err != nil {
		return nil, err
	}
	keys := f.open(document)
	if replaced == nil && f.settled(document, keys) {
		return keys, nil
	}
	if err := f.change(&document, keys); err != nil {
		return nil, err
	}
	if err := f.document.Store(ctx, document); err != nil {
		return nil, err
	}
	return f.open(document), replaced
}

// read returns the document, which is empty if it is absent.
func (f keyFile) read(ctx context.Context) (storedKeys, error) {
	var document storedKeys
	err := f.document.Read(ctx, &document)
	if errors.Is(err, fs.ErrNotExist) {
		return storedKeys{}, nil
	}
	if err != nil {
		return storedKeys{}, err
	}
	return document, nil
}

// open returns the keys of a document that open under the keyring.
func (f keyFile) open(d storedKeys) []signingKey {
	var keys []signingKey
	for _, stored := range d.Keys {
		if key, ok := stored.open(f.keyring, f.kind.purpose); ok {
			keys = append(keys, key)
		}
	}
	return keys
}

// missing returns the algorithms for which there is no key.
func (f keyFile) missing(keys []signingKey) []string {
	return slices.DeleteFunc(slices.Clone(f.kind.algorithms), func(algorithm string) bool {
		return slices.ContainsFunc(keys, func(key signingKey) bool { return key.Algorithm == algorithm })
	})
}
