// Rotation of the signing keys: when keys are made, dropped and sealed anew.

package op

import (
	"context"
	"slices"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/flow/keyring"
)

// keysKept is how long an old key stays published after the next key became
// active. RomM checks an ID token once and at once; the rest allows for clocks
// that differ.
const keysKept = 24 * time.Hour

// Configure sets the age at which a signing key gets a successor. Every
// configuration of the gate calls it; the last call wins. Until the first call,
// keys are made only where they are missing.
func (k *Keys) Configure(rotate time.Duration) { k.rotate.Store(int64(rotate)) }

// Doubt makes Maintain read the keys: the document may be damaged, and this node
// may have the keys in memory.
func (k *Keys) Doubt() { k.doubted.Store(true) }

// MaintainEvery is how often to call Maintain.
const MaintainEvery = 2 * time.Second

// Maintain reads the keys once a minute, or if Doubt was called, and makes and
// drops keys when due. This way a node without sign-ins learns of keys that other
// nodes made. It does nothing until a request has needed the keys. One goroutine at
// a time calls it.
func (k *Keys) Maintain(ctx context.Context) error {
	doubted := k.doubted.Swap(false)
	if k.loaded.Load() == nil || !doubted && k.now().Sub(k.maintained) < keysFresh {
		return nil
	}
	k.maintained = k.now()
	return k.refresh(ctx, false)
}

// Rotate makes a new signing key for each algorithm. It is published at once
// and signs an hour later, when every node knows it. Until then, further calls
// make none.
func (k *Keys) Rotate(ctx context.Context) error { return k.refresh(ctx, true) }

// refresh reads the keys and rotates them if that is due, or if rotate is set.
func (k *Keys) refresh(ctx context.Context, rotate bool) error {
	ctx, cancel := context.WithTimeout(ctx, loadTimeout)
	defer cancel()
	keys, err := k.read(ctx, keyring.Rotation{Every: time.Duration(k.rotate.Load()), Keep: keysKept, Now: rotate})
	if keys != nil {
		k.loaded.Store(keys)
	}
	return err
}

// settled reports whether the document, from which keys were opened, needs no change.
func (f keyFile) settled(document storedKeys, keys []signingKey) bool {
	return len(f.due(keys)) == 0 &&
		!slices.ContainsFunc(document.Keys, func(stored storedKey) bool { return f.obsolete(stored, keys) }) &&
		!slices.ContainsFunc(keys, f.needsSealing)
}

// change adds the keys that are due, drops obsolete ones, and seals keys anew
// that an old secret seals. It keeps keys that do not open until newer ones
// replace them: another node may have the keyring for them.
func (f keyFile) change(document *storedKeys, keys []signingKey) error {
	document.Keys = slices.DeleteFunc(document.Keys, func(stored storedKey) bool { return f.obsolete(stored, keys) })
	for _, key := range keys {
		if !f.needsSealing(key) {
			continue
		}
		if err := key.seal(f.keyring, f.kind.purpose); err != nil {
			return err
		}
		for i := range document.Keys {
			if document.Keys[i].KeyID == key.KeyID {
				document.Keys[i] = key.storedKey
			}
		}
	}
	for algorithm, activeFrom := range f.due(keys) {
		key, err := newSigningKey(algorithm, f.rotation.At, activeFrom)
		if err != nil {
			return err
		}
		if err := key.seal(f.keyring, f.kind.purpose); err != nil {
			return err
		}
		document.Keys = append(document.Keys, key.storedKey)
	}
	document.Version = keysVersion
	return nil
}

// due returns the algorithms that need a new key, and when it becomes active:
// at once if it is the first, otherwise when every node and RomM can know it.
func (f keyFile) due(keys []signingKey) map[string]time.Time {
	activeFrom := map[string]time.Time{}
	for _, algorithm := range f.missing(keys) {
		activeFrom[algorithm] = f.rotation.At
	}
	newest := map[string]signingKey{}
	for _, key := range keys {
		if key.ActiveFrom.After(newest[key.Algorithm].ActiveFrom) {
			newest[key.Algorithm] = key
		}
	}
	for algorithm, key := range newest {
		if f.rotation.Due(key.Created, key.ActiveFrom) {
			activeFrom[algorithm] = f.rotation.At.Add(keyring.Lead)
		}
	}
	return activeFrom
}

// obsolete reports whether a newer one of keys has been active for so long
// that RomM cannot still be checking a signature of stored.
func (f keyFile) obsolete(stored storedKey, keys []signingKey) bool {
	return f.rotation.Keep > 0 && slices.ContainsFunc(keys, func(key signingKey) bool {
		return key.Algorithm == stored.Algorithm && key.ActiveFrom.After(stored.ActiveFrom) &&
			f.rotation.At.Sub(key.ActiveFrom) >= f.rotation.Keep
	})
}

// needsSealing reports whether key is sealed under an old secret, which will
// be dropped some day.
func (f keyFile) needsSealing(key signingKey) bool {
	return f.rotation.Keep > 0 && !f.keyring.Current(f.kind.purpose, key.Sealed, key.KeyID, key.Algorithm)
}
