// Tests of the client's keys.

package op

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/romm-oidc/caddy-romm-oidc/flow/keyring"
	"github.com/romm-oidc/caddy-romm-oidc/flow/keyring/keyringtest"
)

// clientNode returns the client's keys at one node.
func clientNode(storage *keyringtest.Storage, now func() time.Time) *Keys {
	return NewClientKeys(testGate, func(ctx context.Context) (*keyring.Keyring, error) {
		return keyring.Load(ctx, storage, testGate, now())
	}, func() keyring.Storage { return storage }, now)
}

// kidOf returns the kid that a node signs with.
func kidOf(t *testing.T, keys *Keys) string {
	t.Helper()
	key, err := keys.SigningKey(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return key.Key.(jose.JSONWebKey).KeyID
}

// publishes returns what a node publishes, and the kid of each key.
func publishes(t *testing.T, keys *Keys) (body string, kids []string) {
	t.Helper()
	recorder := httptest.NewRecorder()
	keys.ServeJWKS(recorder, httptest.NewRequest(http.MethodGet, "https://romm.example.com/", nil))
	var set jose.JSONWebKeySet
	if err := json.Unmarshal(recorder.Body.Bytes(), &set); err != nil || recorder.Code != http.StatusOK {
		t.Fatalf("the keys are answered with %d %s (%v)", recorder.Code, recorder.Body, err)
	}
	for _, key := range set.Keys {
		if !key.IsPublic() || !key.Valid() || key.Use != "sig" || key.Algorithm == "" {
			t.Errorf("published %+v, want a public key for signatures", key)
		}
		kids = append(kids, key.KeyID)
	}
	return recorder.Body.String(), kids
}

// All nodes have the same key, and it is another one than those of ID tokens.
func TestClientKeysAreShared(t *testing.T) {
	t.Parallel()
	storage, clock := keyringtest.New(), newClock()
	a, b := clientNode(storage, clock.Now), clientNode(storage, clock.Now)
	kid := kidOf(t, a)
	if _, kids := publishes(t, b); kidOf(t, b) != kid || !slices.Equal(kids, []string{kid}) {
		t.Errorf("another node signs with %s and publishes %q, want %s", kidOf(t, b), kids, kid)
	}
	if a.Algorithm() != RS256 {
		t.Errorf("it signs with %s, want RS256, which every provider takes", a.Algorithm())
	}
	provider := newProvider(testGate, storage, clock.Now, testConfig)
	loadKeys(t, provider)
	if _, kids := publishes(t, provider.keys); slices.Contains(kids, kid) {
		t.Error("ID tokens are signed with the client's key, want keys of their own")
	}
	for _, key := range storage.Keys("") {
		if bytes.Contains(storage.Value(key), []byte("PRIVATE KEY")) {
			t.Errorf("%s holds a private key in the clear", key)
		}
	}
	var document storedKeys // what is sealed as one kind does not open as the other
	if err := json.Unmarshal(storage.Value(keyring.StoragePrefix(testGate)+"/"+ofClient.file), &document); err != nil {
		t.Fatal(err)
	}
	ring, err := keyring.Load(t.Context(), storage, testGate, clock.Now())
	if err != nil || len((keyFile{kind: ofTokens, keyring: ring}).open(document)) != 0 || len((keyFile{kind: ofClient, keyring: ring}).open(document)) != 1 {
		t.Errorf("the client's key opens as a key of ID tokens, or not at all (%v)", err)
	}
}

// Rotation: a node that has not read the new key yet goes on with the old one,
// which stays published for a day; the new one is published an hour before it signs.
func TestClientKeyRotationOverlaps(t *testing.T) {
	t.Parallel()
	storage, clock := keyringtest.New(), newClock()
	a, b := clientNode(storage, clock.Now), clientNode(storage, clock.Now)
	old := kidOf(t, a)
	kidOf(t, b)
	if err := a.Rotate(t.Context()); err != nil {
		t.Fatal(err)
	}
	_, kids := publishes(t, a)
	if kidOf(t, a) != old || kidOf(t, b) != old || len(kids) != 2 {
		t.Errorf("at once, the nodes sign with %s and %s, and %q are published, want the old key %s and two", kidOf(t, a), kidOf(t, b), kids, old)
	}
	clock.add(keyring.Lead + time.Second)
	stale := b.loaded.Load().signing
	if err := a.refresh(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	next := kidOf(t, a)
	if _, kids = publishes(t, a); next == old || !slices.Contains(kids, old) || len(stale) != 1 {
		t.Errorf("after the lead, %s signs and %q are published, want a new key beside %s", next, kids, old)
	}
	if err := b.refresh(t.Context(), false); err != nil || kidOf(t, b) != next {
		t.Errorf("the other node signs with %s (%v), want %s", kidOf(t, b), err, next)
	}
	clock.add(keysKept)
	a.Configure(90 * 24 * time.Hour)
	if err := a.refresh(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	if _, kids = publishes(t, a); !slices.Equal(kids, []string{next}) {
		t.Errorf("a day later %q are published, want %s alone", kids, next)
	}
}

// The address of the keys shows public parts only, whatever the type of the key.
func TestClientJWKSHasNoPrivateParts(t *testing.T) {
	t.Parallel()
	all := map[string]*Keys{"made by the gate": clientNode(keyringtest.New(), newClock().Now)}
	for name, key := range privateKeys(t) {
		fixed, err := FixedKey(pkcs8(t, key))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		all[name] = fixed
	}
	for name, keys := range all {
		body, kids := publishes(t, keys)
		if len(kids) != 1 || kids[0] != kidOf(t, keys) {
			t.Errorf("%s: %q are published, want %s", name, kids, kidOf(t, keys))
		}
		var set struct {
			Keys []map[string]any `json:"keys"`
		}
		if err := json.Unmarshal([]byte(body), &set); err != nil {
			t.Fatal(err)
		}
		for _, member := range []string{"d", "p", "q", "dp", "dq", "qi", "oth", "k"} {
			if _, ok := set.Keys[0][member]; ok {
				t.Errorf("%s: %s is published", name, member)
			}
		}
	}
	recorder := httptest.NewRecorder()
	all["made by the gate"].ServeJWKS(recorder, httptest.NewRequest(http.MethodPost, "https://romm.example.com/", strings.NewReader("{}")))
	if recorder.Code != http.StatusMethodNotAllowed {
		t.Errorf("POST is answered with %d, want 405", recorder.Code)
	}
}

// privateKeys returns a key for each algorithm.
func privateKeys(t *testing.T) map[string]crypto.Signer {
	t.Helper()
	keys := map[string]crypto.Signer{}
	for algorithm, curve := range map[string]elliptic.Curve{"ES256": elliptic.P256(), "ES384": elliptic.P384(), "ES512": elliptic.P521()} {
		key, err := ecdsa.GenerateKey(curve, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		keys[algorithm] = key
	}
	rsaKey, err := rsa.GenerateKey(rand.Reader, rsaBits)
	if err != nil {
		t.Fatal(err)
	}
	_, edKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	keys["RS256"], keys["EdDSA"] = rsaKey, edKey
	return keys
}

func pkcs8(t *testing.T, key any) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

// A PEM file decides on the algorithm, in any of the forms that openssl writes.
func TestClientKeyFile(t *testing.T) {
	t.Parallel()
	keys := privateKeys(t)
	for algorithm, key := range keys {
		fixed, err := FixedKey(pkcs8(t, key))
		if err != nil || fixed.Algorithm() != algorithm {
			t.Fatalf("%s: %v", algorithm, err)
		}
		signing, err := fixed.SigningKey(t.Context())
		if err != nil || string(signing.Algorithm) != algorithm {
			t.Errorf("%s: signs with %s, %v", algorithm, signing.Algorithm, err)
		}
	}
	ec, ok := keys["ES256"].(*ecdsa.PrivateKey)
	rsaKey, alsoOK := keys["RS256"].(*rsa.PrivateKey)
	if !ok || !alsoOK {
		t.Fatal("keys of other types")
	}
	sec1, err := x509.MarshalECPrivateKey(ec)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{
		"ES256": {Type: "EC PRIVATE KEY", Bytes: sec1}, "RS256": {Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(rsaKey)},
	} {
		if fixed, err := FixedKey(pem.EncodeToMemory(block)); err != nil || fixed.Algorithm() != name {
			t.Errorf("%s: %v, want %s", block.Type, err, name)
		}
	}
	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	p224, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	public, err := x509.MarshalPKIXPublicKey(ec.Public())
	if err != nil {
		t.Fatal(err)
	}
	for says, file := range map[string][]byte{
		"nothing in PEM form":                []byte("secret"),
		"BEGIN CERTIFICATE":                  pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: public}),
		"BEGIN PUBLIC KEY":                   pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public}),
		"without a password":                 pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: sec1}),
		"its private key cannot be read":     pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte("x")}),
		"has 1024 bits: make one of 2048":    pkcs8(t, weak),
		"can sign none of RS256, ES256, ES3": pkcs8(t, p224),
	} {
		if _, err := FixedKey(file); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%.60q: %v, want an error with %q", file, err, says)
		}
	}
}
