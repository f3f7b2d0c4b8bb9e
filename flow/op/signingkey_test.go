// Tests of how a signing key is sealed, and of which key signs.

package op

import (
	"bytes"
	"crypto/rsa"
	"crypto/x509"
	"testing"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/flow/keyring"
	"github.com/romm-oidc/caddy-romm-oidc/flow/keyring/keyringtest"
)

// An attacker has a copy of the storage without the gate's keyring, and looks
// for a key to sign ID tokens with.
func TestKeysAtRestAreSealed(t *testing.T) {
	storage, clock := keyringtest.New(), newClock()
	provider := started(t, storage, clock.Now)
	stored, document := storage.Value(keysPath), storedDocument(t, storage)
	if len(document.Keys) != 2 {
		t.Fatalf("%d keys are stored, want 2", len(document.Keys))
	}
	keys := provider.keys.loaded.Load()
	for i, key := range document.Keys {
		private, err := x509.MarshalPKCS8PrivateKey(keys.signing[i].private)
		if err != nil {
			t.Fatal(err)
		}
		secret := private[len(private)-32:]
		if bytes.Contains(key.Sealed, secret) || bytes.Contains(stored, secret) {
			t.Errorf("%s: storage holds the private key in the clear, want it sealed", key.Algorithm)
		}
		if _, err := x509.ParsePKCS8PrivateKey(key.Sealed); err == nil {
			t.Errorf("%s: the stored key parses as PKCS #8, want it sealed", key.Algorithm)
		}
		otherKID, otherAlgorithm := key, key
		otherKID.KeyID, otherAlgorithm.Algorithm = "kid", "none"
		if opened := (keyFile{kind: ofTokens, keyring: keys.keyring}).open(storedKeys{Keys: []storedKey{otherKID, otherAlgorithm}}); len(opened) != 0 {
			t.Errorf("%s: %d keys open under another kid or algorithm, want none", key.Algorithm, len(opened))
		}
		if rsaKey, ok := keys.signing[i].private.(*rsa.PrivateKey); ok && rsaKey.N.BitLen() != 2048 {
			t.Errorf("the RSA key has %d bits, want 2048", rsaKey.N.BitLen())
		}
	}
	other, err := keyring.New(testGate, bytes.Repeat([]byte{1}, 32))
	if err != nil {
		t.Fatal(err)
	}
	if opened := (keyFile{kind: ofTokens, keyring: other}).open(document); len(opened) != 0 {
		t.Errorf("%d keys open under another keyring, want none", len(opened))
	}
}

func TestSigner(t *testing.T) {
	now := newClock().Now()
	key := func(name string, offset time.Duration) signingKey {
		key, err := newSigningKey(ES256, now, now.Add(offset))
		if err != nil {
			t.Fatal(err)
		}
		key.KeyID = name
		return key
	}
	old, newer, soon, later := key("old", -2*time.Hour), key("newer", -time.Hour), key("soon", time.Hour), key("later", 2*time.Hour)
	for name, row := range map[string]struct {
		keys []signingKey
		want string
	}{
		"no key":                      {nil, ""},
		"one active key":              {[]signingKey{old}, "old"},
		"two active, two future":      {[]signingKey{old, newer, soon, later}, "newer"},
		"two future, two active":      {[]signingKey{later, soon, newer, old}, "newer"},
		"only future, descending":     {[]signingKey{later, soon}, "soon"},
		"only future, ascending":      {[]signingKey{soon, later}, "soon"},
		"one future, then one active": {[]signingKey{soon, old}, "old"},
	} {
		t.Run(name, func(t *testing.T) {
			set := keySet{signing: row.keys}
			got, ok := set.signer(ES256, now)
			if got.KeyID != row.want || ok != (row.want != "") {
				t.Errorf("signer(ES256) = %q, %v, want %q", got.KeyID, ok, row.want)
			}
			if got, ok := set.signer(RS256, now); ok {
				t.Errorf("signer(RS256) = %q, want no key", got.KeyID)
			}
		})
	}
}
