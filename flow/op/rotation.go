package op

import (
	"context"
	"slices"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/flow/keyring"
)

// Configure sets how old a signing key gets before there is another; never if
// it is 0. Every instance of the gate calls it; the last call wins.
func (s *Keys) Configure(rotate time.Duration) { s.rotate.Store(int64(rotate)) }

// Run reads the keys anew each minute until ctx ends, so that a node at which
// nobody signs in learns of the others' keys, and makes and drops them when it
// is time. report hears of EventKeys.
func (s *Keys) Run(ctx context.Context, report func(string, error)) {
	ticker := time.NewTicker(keysFresh)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if s.loaded.Load() == nil {
			continue // nobody has needed them
		}
		if err := s.tend(ctx, false); err != nil && ctx.Err() == nil {
			report(EventKeys, err)
		}
	}
}

// Rotate makes a new signing key of each algorithm. It is published at once and
// signs from an hour on, when every node knows it; until then a second call
// makes no other.
func (s *Keys) Rotate(ctx context.Context) error { return s.tend(ctx, true) }

// tend reads the keys and changes them if it is time, or in any case if rotate.
func (s *Keys) tend(ctx context.Context, rotate bool) error {
	ctx, cancel := context.WithTimeout(ctx, loadTimeout)
	defer cancel()
	keys, err := s.read(ctx, keyring.Rotation{Every: time.Duration(s.rotate.Load()), Keep: keysKept, Now: rotate})
	if keys != nil {
		s.loaded.Store(keys)
	}
	return err
}

// settled reports whether nothing is to be done to the document, of which keys
// were opened.
func (d *storedKeys) settled(ring *keyring.Keyring, keys []signingKey, r keyring.Rotation, now time.Time) bool {
	return len(wanted(keys, r, now)) == 0 &&
		!slices.ContainsFunc(d.Keys, func(stored storedKey) bool { return stored.done(keys, r, now) }) &&
		!slices.ContainsFunc(keys, func(key signingKey) bool { return key.fading(ring, r) })
}

// change makes the keys that are wanted, drops those whose work is done, and
// seals anew those that an old secret seals. What does not open it keeps until
// there are newer ones: another node may have the keyring for it.
func (d *storedKeys) change(ring *keyring.Keyring, keys []signingKey, r keyring.Rotation, now time.Time) error {
	d.Keys = slices.DeleteFunc(d.Keys, func(stored storedKey) bool { return stored.done(keys, r, now) })
	for _, key := range keys {
		if !key.fading(ring, r) {
			continue
		}
		if err := key.seal(ring); err != nil {
			return err
		}
		for i := range d.Keys {
			if d.Keys[i].KeyID == key.KeyID {
				d.Keys[i] = key.storedKey
			}
		}
	}
	for algorithm, from := range wanted(keys, r, now) {
		key, err := newSigningKey(ring, algorithm, now, from)
		if err != nil {
			return err
		}
		d.Keys = append(d.Keys, key.storedKey)
	}
	d.Version = keysVersion
	return nil
}

// wanted returns the algorithms that want a key, and when it is to sign: at
// once where there is none, else when every node and RomM can know it.
func wanted(keys []signingKey, r keyring.Rotation, now time.Time) map[string]time.Time {
	from := map[string]time.Time{}
	for _, algorithm := range missing(keys) {
		from[algorithm] = now
	}
	newest := map[string]signingKey{}
	for _, key := range keys {
		if key.ActiveFrom.After(newest[key.Algorithm].ActiveFrom) {
			newest[key.Algorithm] = key
		}
	}
	for algorithm, key := range newest {
		if r.Due(key.Created, key.ActiveFrom, now) {
			from[algorithm] = now.Add(keyring.Lead)
		}
	}
	return from
}

// done reports whether a newer one of keys has signed for so long that nothing
// that this one signed can still be looked at.
func (k *storedKey) done(keys []signingKey, r keyring.Rotation, now time.Time) bool {
	return r.Keep > 0 && slices.ContainsFunc(keys, func(key signingKey) bool {
		return key.Algorithm == k.Algorithm && key.ActiveFrom.After(k.ActiveFrom) && now.Sub(key.ActiveFrom) >= r.Keep
	})
}

// fading reports whether a secret seals the key that will be dropped some day:
// a newer one seals now.
func (k *signingKey) fading(ring *keyring.Keyring, r keyring.Rotation) bool {
	return r.Keep > 0 && !ring.Current(signingKeyPurpose, k.Sealed, k.KeyID, k.Algorithm)
}
