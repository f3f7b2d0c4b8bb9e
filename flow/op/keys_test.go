// Tests of loading the signing keys: nodes, restarts, failures.

package op

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/flow/keyring"
	"github.com/romm-oidc/caddy-romm-oidc/flow/keyring/keyringtest"
)

const keysPath = "romm_oidc/" + testGate + "/signing_keys.json"

// published returns the algorithms of the published keys by kid.
func published(t *testing.T, provider *Provider) map[string]string {
	t.Helper()
	var document struct {
		Keys []struct {
			KeyID     string `json:"kid"`
			Algorithm string `json:"alg"`
		} `json:"keys"`
	}
	recorder := getJWKS(provider)
	if err := json.Unmarshal(recorder.Body.Bytes(), &document); err != nil {
		t.Fatalf("decoding the JWK Set %q: %v", recorder.Body, err)
	}
	algorithms := map[string]string{}
	for _, key := range document.Keys {
		algorithms[key.KeyID] = key.Algorithm
	}
	return algorithms
}

// signingKID returns the kid of the next ID token.
func signingKID(t *testing.T, provider *Provider) string {
	t.Helper()
	kid, _ := part(t, redeem(t, provider, code(t, provider, testClaims))["id_token"], 0)["kid"].(string)
	return kid
}

// started returns the provider of a node that has its keys in memory.
func started(t *testing.T, storage keyring.Storage, now func() time.Time) *Provider {
	t.Helper()
	provider := newProvider(testGate, storage, now, testConfig)
	loadKeys(t, provider)
	return provider
}

// RomM keeps our keys until it restarts: a new key under an old kid, or keys
// that differ between nodes, would lock all users out.
func TestKeysSurviveARestart(t *testing.T) {
	storage, clock := keyringtest.New(), newClock()
	first := started(t, storage, clock.Now)
	stored := storage.Value(keysPath)
	clock.add(365 * 24 * time.Hour)
	second := started(t, storage, clock.Now)
	if before, after := published(t, first), published(t, second); !maps.Equal(before, after) {
		t.Errorf("published after a restart: %v, want %v", after, before)
	}
	if before, after := signingKID(t, first), signingKID(t, second); before != after {
		t.Errorf("key %s signs after a restart, want %s", after, before)
	}
	if !bytes.Equal(stored, storage.Value(keysPath)) {
		t.Error("a restart changed the stored keys, want no change")
	}
	if _, err := second.Code(t.Context(), testClaims, "n"); err != nil {
		t.Errorf("Code after a restart: %v, want a code", err)
	}
}

func TestNodesThatStartTogetherAgree(t *testing.T) {
	storage, clock := keyringtest.New(), newClock()
	providers := make([]*Provider, 4)
	var group sync.WaitGroup
	for i := range providers {
		group.Go(func() {
			providers[i] = newProvider(testGate, storage, clock.Now, testConfig)
			if _, err := providers[i].keys.await(t.Context(), nil); err != nil {
				t.Errorf("node %d: loading the keys: %v", i, err)
			}
		})
	}
	group.Wait()
	want := published(t, providers[0])
	if len(want) != 2 {
		t.Errorf("published keys %v, want one per algorithm", want)
	}
	for i, provider := range providers[1:] {
		if got := published(t, provider); !maps.Equal(got, want) {
			t.Errorf("node %d publishes %v, want %v", i+1, got, want)
		}
	}
}

// If the keyring is lost, its signing keys are lost too: the gate recovers by
// making others, and keeps those it cannot open.
func TestLostKeyring(t *testing.T) {
	storage, clock := keyringtest.New(), newClock()
	before := published(t, started(t, storage, clock.Now))
	if err := storage.Delete(t.Context(), "romm_oidc/"+testGate+"/keyring.json"); err != nil {
		t.Fatal(err)
	}
	provider := started(t, storage, clock.Now)
	for kid := range published(t, provider) {
		if _, old := before[kid]; old {
			t.Errorf("kid %s is published, want new kids for new keys", kid)
		}
	}
	signingKID(t, provider)
	if document := storedDocument(t, storage); len(document.Keys) != 4 {
		t.Errorf("%d keys are stored, want the two old and the two new ones", len(document.Keys))
	}
}

// storedDocument returns the document with the signing keys.
func storedDocument(t *testing.T, storage *keyringtest.Storage) storedKeys {
	t.Helper()
	var document storedKeys
	if err := json.Unmarshal(storage.Value(keysPath), &document); err != nil {
		t.Fatalf("decoding the stored keys: %v", err)
	}
	return document
}

// A new key is published before it signs, and the old one after it did, so
// that RomM never meets a kid that is not published.
func TestRotationOverlaps(t *testing.T) {
	storage, clock := keyringtest.New(), newClock()
	provider := started(t, storage, clock.Now)
	old := signingKID(t, provider)
	next, err := newSigningKey(ES256, clock.Now(), clock.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	if err := next.seal(provider.keys.loaded.Load().keyring, ofTokens.purpose); err != nil {
		t.Fatal(err)
	}
	document := storedDocument(t, storage)
	// Insert it in front, to show that the order in the document does not matter.
	document.Keys = slices.Insert(document.Keys, 0, next.storedKey)
	encoded, err := json.Marshal(document)
	if err != nil {
		t.Fatal(err)
	}
	storage.Put(keysPath, encoded)
	refresh := func() {
		loadKeys(t, provider) // starts a read in the background
		until(t, "fresh keys", func() bool {
			keys, load := provider.keys.current(context.Background(), nil)
			return keys != nil && load == nil
		})
	}
	clock.add(keysFresh)
	refresh()
	if got := signingKID(t, provider); got != old {
		t.Errorf("key %s signs before the new one is active, want %s", got, old)
	}
	if keys := published(t, provider); len(keys) != 3 || keys[next.KeyID] != ES256 {
		t.Errorf("published keys %v, want three with %s", keys, next.KeyID)
	}
	clock.add(time.Hour)
	refresh()
	if got := signingKID(t, provider); got != next.KeyID {
		t.Errorf("key %s signs after the new one is active, want %s", got, next.KeyID)
	}
	if keys := published(t, provider); len(keys) != 3 || keys[old] != ES256 {
		t.Errorf("published keys %v, want three with %s", keys, old)
	}
}

func TestLoadErrors(t *testing.T) {
	for name, row := range map[string]struct {
		arrange func(*keyringtest.Storage)
		want    string
	}{
		"storage is unavailable": {
			func(s *keyringtest.Storage) { s.Fail(keyringtest.ErrUnavailable) },
			"reading the keyring: loading the keyring: storage is unavailable",
		},
		"storage panics": {
			func(s *keyringtest.Storage) { s.Before(func(context.Context, string, string) error { panic("oops") }) },
			"reading the signing keys: panic: oops",
		},
		"document is of a later version": {
			func(s *keyringtest.Storage) { s.Put(keysPath, []byte(`{"version":2,"keys":{}}`)) },
			keysPath + " cannot be used: a newer version of this module wrote it (version 2); update this Caddy to that version of the module",
		},
		"document is something else": {
			func(s *keyringtest.Storage) { s.Put(keysPath, []byte(`[]`)) },
			keysPath + " cannot be used: json: cannot unmarshal array into Go value of type op.storedKeys; delete it: new keys are made, and no user is signed out",
		},
	} {
		t.Run(name, func(t *testing.T) {
			storage := keyringtest.New()
			row.arrange(storage)
			provider := newProvider(testGate, storage, newClock().Now, testConfig)
			if _, err := provider.Code(t.Context(), testClaims, "n"); err == nil || err.Error() != row.want {
				t.Errorf("Code: %v, want the error %s", err, row.want)
			}
			wantAnswer(t, post(provider, tokenRequest(tokenForm("x"))), http.StatusServiceUnavailable, "")
		})
	}
}

// Signing keys that are not JSON are put aside and made anew, once, and the log
// says so. RomM reads the new ones when it meets their IDs.
func TestSigningKeysCutOff(t *testing.T) {
	for name, document := range map[string]string{"empty": "", "cut off": `{"keys":[`, "zeros": "\x00\x00"} {
		t.Run(name, func(t *testing.T) {
			storage, heard := keyringtest.New(), &events{}
			storage.Put(keysPath, []byte(document))
			config := testConfig
			config.Report = heard.report
			provider := newProvider(testGate, storage, newClock().Now, config)
			redeem(t, provider, code(t, provider, testClaims))
			aside := keysPath + ".broken-20260301T120000Z"
			until(t, "a report", func() bool {
				return slices.ContainsFunc(heard.all(), func(line string) bool {
					return strings.HasPrefix(line, eventKeys+": "+keysPath+" was not JSON: it was put aside as "+aside)
				})
			})
			if string(storage.Value(aside)) != document {
				t.Errorf("put aside: %q, want %q", storage.Value(aside), document)
			}
			if err := provider.keys.Check(t.Context()); err != nil {
				t.Errorf("Check = %v, want no error", err)
			}
		})
	}
}

// An algorithm that was not checked signs nothing, least of all HS256 or none.
func TestUnknownAlgorithmSignsNothing(t *testing.T) {
	for _, algorithm := range []string{"", "none", "HS256", "es256"} {
		config := testConfig
		config.Algorithm = algorithm
		provider, _ := loaded(t, config)
		recorder := post(provider, tokenRequest(tokenForm(code(t, provider, testClaims))))
		wantAnswer(t, recorder, http.StatusServiceUnavailable, "temporarily_unavailable")
	}
}

func TestWaitingForKeysEndsWithItsContext(t *testing.T) {
	storage := keyringtest.New()
	release := make(chan struct{})
	storage.Before(func(context.Context, string, string) error { <-release; return nil })
	provider := newProvider(testGate, storage, newClock().Now, testConfig)
	cause := errors.New("the browser has gone")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(cause)
	if _, err := provider.Code(ctx, testClaims, "n"); !errors.Is(err, cause) {
		t.Errorf("Code = %v, want the cause of the context's end", err)
	}
	close(release) // the load continues for the other callers
	if _, err := provider.Code(t.Context(), testClaims, "n"); err != nil {
		t.Errorf("Code after storage recovered: %v, want a code", err)
	}
}

// While storage is unavailable, anonymous requests for the keys must not flood
// it, but it is tried again.
func TestFailedLoadIsTriedAgainAfterASecond(t *testing.T) {
	storage, clock, heard := keyringtest.New(), newClock(), &events{}
	storage.Fail(keyringtest.ErrUnavailable)
	config := testConfig
	config.Report = heard.report
	provider := newProvider(testGate, storage, clock.Now, config)
	for range 100 {
		if recorder := getJWKS(provider); recorder.Code != http.StatusServiceUnavailable {
			t.Fatalf("JWK Set: %d %s, want 503", recorder.Code, recorder.Body)
		}
	}
	until(t, "a report", func() bool { return len(heard.all()) > 0 })
	getJWKS(provider)
	if loads := storage.Calls("Load"); loads != 1 || !strings.HasPrefix(heard.all()[0], eventKeys) {
		t.Errorf("%d reads from storage, reported %q, want one read and %s", loads, heard.all(), eventKeys)
	}
	storage.Fail(nil)
	clock.add(loadPause)
	if _, err := provider.Code(t.Context(), testClaims, "n"); err != nil {
		t.Errorf("Code after %s: %v, want a code", loadPause, err)
	}
}
