package op

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/flow/keyring"
)

const rotateEvery = 90 * 24 * time.Hour

// tended is a node that rotates, and its keys are up to date.
func tended(t *testing.T, provider *Provider) *Provider {
	t.Helper()
	provider.state.Configure(rotateEvery)
	if err := provider.state.tend(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	return provider
}

// RomM meets no kid that is nowhere: at each moment of a rotation, what one
// node signs with every node publishes.
func TestSigningKeysRotate(t *testing.T) {
	storage, clock := newMemory(), newClock()
	a, b := ready(t, storage, clock.Now), ready(t, storage, clock.Now)
	old := signs(t, a)
	clock.add(rotateEvery)
	tended(t, a)
	if got := signs(t, a); got != old || len(published(t, a)) != 4 {
		t.Errorf("%s signs, %d published", got, len(published(t, a)))
	}
	tended(t, b)
	if !maps.Equal(published(t, a), published(t, b)) {
		t.Error("two nodes made keys")
	}
	clock.add(keyring.Lead)
	tended(t, a)
	next := signs(t, a)
	if _, known := published(t, b)[next]; next == old || !known { // b read the keys before
		t.Errorf("%s signs, and b publishes %v", next, published(t, b))
	}
	clock.add(keysKept - time.Second)
	if keys := published(t, tended(t, a)); len(keys) != 4 || keys[old] != ES256 {
		t.Errorf("an old key was dropped early: %v", keys)
	}
	clock.add(time.Second)
	if keys := published(t, tended(t, a)); len(keys) != 2 || keys[next] != ES256 {
		t.Errorf("published: %v", keys)
	}
}

func TestSigningKeysRotateByHand(t *testing.T) {
	storage, clock := newMemory(), newClock()
	provider := ready(t, storage, clock.Now)
	for range 3 {
		clock.add(time.Minute)
		if err := provider.state.Rotate(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if keys := published(t, provider); len(keys) != 4 {
		t.Errorf("%d keys: not one more of each algorithm", len(keys))
	}
}

func TestSigningKeysRotateOnceInACluster(t *testing.T) {
	storage, clock := newMemory(), newClock()
	nodes := make([]*Provider, 8)
	for i := range nodes {
		nodes[i] = ready(t, storage, clock.Now)
	}
	clock.add(rotateEvery)
	var group sync.WaitGroup
	for _, provider := range nodes {
		group.Go(func() { tended(t, provider) })
	}
	group.Wait()
	for _, provider := range nodes {
		if keys := published(t, provider); len(keys) != 4 {
			t.Errorf("%d keys", len(keys))
		}
	}
}

// The secret that sealed the signing keys is dropped one day. They are sealed
// anew before, or each drop would cost RomM's keys.
func TestSigningKeysOutliveTheirSecret(t *testing.T) {
	storage, clock := newMemory(), newClock()
	provider := ready(t, storage, clock.Now)
	before := published(t, provider)
	ring, err := keyring.Rotate(t.Context(), storage, testGate, keyring.Rotation{Now: true}, clock.Now())
	if err != nil {
		t.Fatal(err)
	}
	first := ring // seals with the first secret
	clock.add(keyring.Lead)
	tended(t, provider)
	var document storedKeys
	if err := json.Unmarshal(storage.values[keysName], &document); err != nil {
		t.Fatal(err)
	}
	for _, key := range document.Keys {
		if first.Current(signingKeyPurpose, key.Sealed, key.KeyID, key.Algorithm) {
			t.Error("still sealed under the old secret")
		}
	}
	stored := slices.Clone(storage.values[keysName])
	tended(t, provider)
	if !slices.Equal(stored, storage.values[keysName]) {
		t.Error("sealed again and again")
	}
	if got := published(t, ready(t, storage, clock.Now)); !maps.Equal(got, before) {
		t.Errorf("published %v, before %v", got, before)
	}
}

// A rotation that fails leaves the keys as they were, in memory and in
// storage, and is made up for.
func TestSigningKeyRotationIsInterrupted(t *testing.T) {
	storage, clock := newMemory(), newClock()
	failing := &readOnly{memory: storage}
	provider := ready(t, failing, clock.Now)
	before := slices.Clone(storage.values[keysName])
	clock.add(rotateEvery)
	failing.err = errStorage
	provider.state.Configure(rotateEvery)
	if err := provider.state.tend(t.Context(), false); !errors.Is(err, errStorage) {
		t.Errorf("%v", err)
	}
	if len(published(t, provider)) != 2 || !slices.Equal(before, storage.values[keysName]) {
		t.Error("half a rotation")
	}
	signs(t, provider)
	failing.err = nil
	if keys := published(t, tended(t, provider)); len(keys) != 4 {
		t.Errorf("%d keys", len(keys))
	}
}

// readOnly is a storage that takes nothing while err is set, as on a full disk.
type readOnly struct {
	*memory
	err error
}

func (s *readOnly) Store(ctx context.Context, key string, value []byte) error {
	if s.err != nil {
		return s.err
	}
	return s.memory.Store(ctx, key, value)
}

// What a later version wrote is not written over.
func TestSigningKeysOfALaterVersion(t *testing.T) {
	storage := newMemory()
	const document = `{"version":2,"keys":[]}`
	storage.values[keysName] = []byte(document)
	provider := New(node(testGate, storage, newClock().Now), testConfig)
	if err := provider.Prepare(t.Context()); err == nil || string(storage.values[keysName]) != document {
		t.Errorf("%v, stored %s", err, storage.values[keysName])
	}
}

// A node at which nobody signs in learns of new keys, since RomM may ask it.
func TestIdleNodeLearnsOfNewKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		storage, heard := newMemory(), &events{}
		a, b := ready(t, storage, time.Now), ready(t, storage, time.Now)
		a.state.Configure(rotateEvery)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); b.state.Run(ctx, heard.report) }()
		if err := a.state.Rotate(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(keysFresh + time.Second)
		synctest.Wait()
		if keys := b.state.loaded.Load(); len(keys.signing) != 4 {
			t.Errorf("%d keys", len(keys.signing))
		}
		storage.hook(func() error { return errStorage })
		time.Sleep(keysFresh)
		synctest.Wait()
		if len(heard.all()) != 1 {
			t.Errorf("heard %v", heard.all())
		}
		cancel()
		<-done
	})
}
