package op

import (
	"bytes"
	"context"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/flow/keyring"
)

const keysName = "romm_oidc/" + testGate + "/signing_keys.json"

// published returns the algorithms of the published keys by kid.
func published(t *testing.T, provider *Provider) map[string]string {
	t.Helper()
	recorder := httptest.NewRecorder()
	provider.ServeJWKS(recorder, httptest.NewRequest(http.MethodGet, "http://caddy:9080"+IssuerPath+JWKSPath, nil))
	var document struct {
		Keys []struct {
			KeyID     string `json:"kid"`
			Algorithm string `json:"alg"`
		} `json:"keys"`
	}
	if err := json.Unmarshal(recorder.Body.Bytes(), &document); err != nil {
		t.Fatal(err)
	}
	algorithms := map[string]string{}
	for _, key := range document.Keys {
		algorithms[key.KeyID] = key.Algorithm
	}
	return algorithms
}

// signs returns the kid of the next ID token.
func signs(t *testing.T, provider *Provider) string {
	t.Helper()
	kid, _ := part(t, redeem(t, provider, code(t, provider, testClaims))["id_token"], 0)["kid"].(string)
	return kid
}

func ready(t *testing.T, storage keyring.Storage, now func() time.Time) *Provider {
	t.Helper()
	provider := New(node(testGate, storage, now), testConfig)
	if err := provider.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	return provider
}

// RomM keeps our keys until it restarts: a new key under an old kid, or keys
// that differ between nodes, would lock everybody out.
func TestKeysSurviveARestart(t *testing.T) {
	storage, clock := newMemory(), newClock()
	first := ready(t, storage, clock.Now)
	stored := storage.values[keysName]
	clock.add(365 * 24 * time.Hour)
	second := ready(t, storage, clock.Now)
	if !maps.Equal(published(t, first), published(t, second)) || signs(t, first) != signs(t, second) {
		t.Error("other keys after a restart")
	}
	if !bytes.Equal(stored, storage.values[keysName]) {
		t.Error("a restart writes nothing")
	}
	if _, err := second.Code(t.Context(), testClaims, "n"); err != nil {
		t.Error(err)
	}
}

func TestNodesThatStartTogetherAgree(t *testing.T) {
	storage, clock := newMemory(), newClock()
	providers := make([]*Provider, 4)
	var group sync.WaitGroup
	for i := range providers {
		group.Go(func() {
			providers[i] = New(node(testGate, storage, clock.Now), testConfig)
			if err := providers[i].Prepare(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	want := published(t, providers[0])
	if len(want) != 2 {
		t.Errorf("%v", want)
	}
	for _, provider := range providers[1:] {
		if got := published(t, provider); !maps.Equal(got, want) {
			t.Errorf("%v, want %v", got, want)
		}
	}
}

// A backup of the storage without the gate's keyring, or a look into it, must
// not let anybody sign in RomM's name for us.
func TestKeysAtRestAreSealed(t *testing.T) {
	storage, clock := newMemory(), newClock()
	provider := ready(t, storage, clock.Now)
	stored := storage.values[keysName]
	var document storedKeys
	if err := json.Unmarshal(stored, &document); err != nil {
		t.Fatal(err)
	}
	if len(document.Keys) != 2 {
		t.Fatalf("%d keys", len(document.Keys))
	}
	keys := provider.state.loaded.Load()
	for i, key := range document.Keys {
		private, err := x509.MarshalPKCS8PrivateKey(keys.signing[i].private)
		if err != nil {
			t.Fatal(err)
		}
		secret := private[len(private)-32:]
		if bytes.Contains(key.Sealed, secret) || bytes.Contains(stored, secret) {
			t.Error("the key is readable")
		}
		if _, err := x509.ParsePKCS8PrivateKey(key.Sealed); err == nil {
			t.Error("not sealed")
		}
		renamed, recast := key, key
		renamed.KeyID, recast.Algorithm = "kid", "none"
		if opened := openSigningKeys(keys.keyring, storedKeys{Keys: []storedKey{renamed, recast}}); len(opened) != 0 {
			t.Error("a key can be given another kid or algorithm")
		}
		if rsaKey, ok := keys.signing[i].private.(*rsa.PrivateKey); ok && rsaKey.N.BitLen() != 2048 {
			t.Errorf("%d bits", rsaKey.N.BitLen())
		}
	}
	other, err := keyring.New(testGate, bytes.Repeat([]byte{1}, 32))
	if err != nil {
		t.Fatal(err)
	}
	if opened := openSigningKeys(other, document); len(opened) != 0 {
		t.Error("another keyring opens the keys")
	}
}

// With the keyring lost its signing keys are lost too: the gate makes others
// and heals, and keeps what it cannot open.
func TestLostKeyring(t *testing.T) {
	storage, clock := newMemory(), newClock()
	before := published(t, ready(t, storage, clock.Now))
	if err := storage.Delete(t.Context(), "romm_oidc/"+testGate+"/keyring.json"); err != nil {
		t.Fatal(err)
	}
	provider := ready(t, storage, clock.Now)
	for kid := range published(t, provider) {
		if _, old := before[kid]; old {
			t.Errorf("%s: an old kid for a new key", kid)
		}
	}
	signs(t, provider)
	var document storedKeys
	if err := json.Unmarshal(storage.values[keysName], &document); err != nil {
		t.Fatal(err)
	}
	if len(document.Keys) != 4 {
		t.Errorf("%d keys stored", len(document.Keys))
	}
}

// A new key is published before it signs, and the old one after it did, so
// that no RomM meets a kid that is nowhere.
func TestRotationOverlaps(t *testing.T) {
	storage, clock := newMemory(), newClock()
	provider := ready(t, storage, clock.Now)
	old := signs(t, provider)
	keyring := provider.state.loaded.Load().keyring
	next, err := newSigningKey(keyring, ES256, clock.Now(), clock.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	var document storedKeys
	if err := json.Unmarshal(storage.values[keysName], &document); err != nil {
		t.Fatal(err)
	}
	// In front, so that the order in the document decides nothing.
	document.Keys = slices.Insert(document.Keys, 0, next.storedKey)
	encoded, err := json.Marshal(document)
	if err != nil {
		t.Fatal(err)
	}
	if err := storage.Store(t.Context(), keysName, encoded); err != nil {
		t.Fatal(err)
	}
	refresh := func() {
		if err := provider.Prepare(t.Context()); err != nil { // starts reading again, in the background
			t.Fatal(err)
		}
		until(t, "fresh keys", func() bool {
			keys, flight := provider.state.keys(context.Background(), nil)
			return keys != nil && flight == nil
		})
	}
	clock.add(keysFresh)
	refresh()
	if got := signs(t, provider); got != old {
		t.Errorf("%s signs too early", got)
	}
	if keys := published(t, provider); len(keys) != 3 || keys[next.KeyID] != ES256 {
		t.Errorf("%v", keys)
	}
	clock.add(time.Hour)
	refresh()
	if got := signs(t, provider); got != next.KeyID {
		t.Errorf("%s signs, want %s", got, next.KeyID)
	}
	if keys := published(t, provider); len(keys) != 3 || keys[old] != ES256 {
		t.Errorf("%v", keys)
	}
}

func TestCurrentKey(t *testing.T) {
	_, clock := prepared(t, testConfig)
	now := clock.Now()
	ring, err := keyring.New(testGate, make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	key := func(name string, offset time.Duration) signingKey {
		key, err := newSigningKey(ring, ES256, now, now.Add(offset))
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
		"none":                     {nil, ""},
		"one":                      {[]signingKey{old}, "old"},
		"newest active":            {[]signingKey{old, newer, soon, later}, "newer"},
		"newest active, reversed":  {[]signingKey{later, soon, newer, old}, "newer"},
		"clock behind":             {[]signingKey{later, soon}, "soon"},
		"clock behind, reversed":   {[]signingKey{soon, later}, "soon"},
		"active before the future": {[]signingKey{soon, old}, "old"},
	} {
		t.Run(name, func(t *testing.T) {
			set := keySet{signing: row.keys}
			got, ok := set.current(ES256, now)
			if got.KeyID != row.want || ok != (row.want != "") {
				t.Errorf("%q, %v", got.KeyID, ok)
			}
			if _, ok := set.current(RS256, now); ok {
				t.Error("a key of another algorithm")
			}
		})
	}
}

func TestPrepareErrors(t *testing.T) {
	for name, row := range map[string]struct {
		arrange func(*memory, *Config)
		want    string
	}{
		"storage away":      {func(m *memory, _ *Config) { m.hook(func() error { return errStorage }) }, "reading the keyring: loading the keyring: storage is away"},
		"storage panics":    {func(m *memory, _ *Config) { m.hook(func() error { panic("oops") }) }, "reading the signing keys: panic: oops"},
		"broken document":   {func(m *memory, _ *Config) { m.values[keysName] = []byte("{") }, "decoding the signing keys: unexpected end of JSON input"},
		"unknown algorithm": {func(_ *memory, c *Config) { c.Algorithm = "HS256" }, `no signing key for "HS256": the algorithm is ES256 or RS256`},
	} {
		t.Run(name, func(t *testing.T) {
			storage, config := newMemory(), testConfig
			row.arrange(storage, &config)
			provider := New(node(testGate, storage, newClock().Now), config)
			if err := provider.Prepare(t.Context()); err == nil || err.Error() != row.want {
				t.Errorf("%v, want %s", err, row.want)
			}
			// An algorithm that nobody checked signs nothing, least of all with HS256 or none.
			if recorder := post(provider, tokenRequest(tokenForm("x"))); recorder.Code != http.StatusServiceUnavailable {
				t.Errorf("%d %s", recorder.Code, recorder.Body)
			}
		})
	}
}

func TestPrepareEndsWithItsContext(t *testing.T) {
	storage := newMemory()
	release := make(chan struct{})
	storage.hook(func() error { <-release; return nil })
	provider := New(node(testGate, storage, newClock().Now), testConfig)
	gone := errors.New("gone")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(gone)
	if err := provider.Prepare(ctx); !errors.Is(err, gone) {
		t.Errorf("%v", err)
	}
	// The load goes on for the others.
	close(release)
	if err := provider.Prepare(t.Context()); err != nil {
		t.Error(err)
	}
}

// A storage that is away must not be hammered by strangers who ask for the
// keys, nor be given up.
func TestFailedLoadIsTriedAgainAfterASecond(t *testing.T) {
	storage, clock, heard := newMemory(), newClock(), &events{}
	storage.hook(func() error { return errStorage })
	config := testConfig
	config.Report = heard.report
	provider := New(node(testGate, storage, clock.Now), config)
	jwks := func() int {
		recorder := httptest.NewRecorder()
		provider.ServeJWKS(recorder, httptest.NewRequest(http.MethodGet, "http://caddy:9080"+IssuerPath+JWKSPath, nil))
		return recorder.Code
	}
	for range 100 {
		if got := jwks(); got != http.StatusServiceUnavailable {
			t.Fatal(got)
		}
	}
	until(t, "a report", func() bool { return len(heard.all()) > 0 })
	if jwks(); storage.loads != 1 || !strings.HasPrefix(heard.all()[0], EventKeys) {
		t.Errorf("%d loads, heard %v", storage.loads, heard.all())
	}
	storage.hook(nil)
	clock.add(loadAgain)
	if err := provider.Prepare(t.Context()); err != nil {
		t.Error(err)
	}
}
