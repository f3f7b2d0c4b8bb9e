// Tests of the rotation of the signing keys.

package op

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/flow/keyring"
	"github.com/romm-oidc/caddy-romm-oidc/flow/keyring/keyringtest"
)

const rotateEvery = 90 * 24 * time.Hour

// refreshed returns provider after it rotated its keys if that was due.
func refreshed(t *testing.T, provider *Provider) *Provider {
	t.Helper()
	provider.keys.Configure(rotateEvery)
	if err := provider.keys.refresh(t.Context(), false); err != nil {
		t.Fatalf("refreshing the keys: %v", err)
	}
	return provider
}

// A document that is damaged while nodes have its keys in memory is written
// again from there: RomM and the other nodes go on with the keys that they know.
func TestDamagedSigningKeysComeBackFromMemory(t *testing.T) {
	storage, clock := keyringtest.New(), newClock()
	a, b := started(t, storage, clock.Now), started(t, storage, clock.Now)
	known := published(t, a)
	storage.Put(keysPath, nil)
	if err := b.keys.refresh(t.Context(), false); err == nil {
		t.Error("refreshing says nothing of the damage")
	}
	for name, provider := range map[string]*Provider{"the node that found it": b, "a node that starts": started(t, storage, clock.Now)} {
		if got := published(t, provider); !maps.Equal(got, known) {
			t.Errorf("%s publishes %v, want the keys from before, %v", name, got, known)
		}
	}
}

// A node starts while the document is damaged. It makes no keys that RomM and the
// other nodes do not know, but waits for a node that has them.
func TestNewNodeWaitsForTheSigningKeysOfAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		storage, clock := keyringtest.New(), newClock()
		serving := started(t, storage, clock.Now)
		known := published(t, serving)
		maintain(t, serving, nil)
		for _, other := range []bool{true, false} {
			storage.Put(keysPath, nil)
			node := newProvider(testGate, storage, clock.Now, testConfig)
			node.keys.AwaitRepair = func(ctx context.Context, read func(context.Context) error) error {
				if other {
					serving.keys.Doubt()
				}
				time.Sleep(3 * time.Second)
				return read(ctx)
			}
			if _, err := node.keys.await(t.Context(), node.config.Report); err != nil {
				t.Fatal(err)
			}
			if got := published(t, node); maps.Equal(got, known) != other {
				t.Errorf("another node has the keys: %t. The node that started publishes %v, the other one %v", other, got, known)
			}
		}
	})
}

// At each moment of a rotation, every node publishes the key that any node
// signs with: RomM never meets a kid that is not published.
func TestSigningKeysRotate(t *testing.T) {
	storage, clock := keyringtest.New(), newClock()
	a, b := started(t, storage, clock.Now), started(t, storage, clock.Now)
	old := signingKID(t, a)
	clock.add(rotateEvery)
	refreshed(t, a)
	if got := signingKID(t, a); got != old || len(published(t, a)) != 4 {
		t.Errorf("key %s signs and %d are published, want %s and 4", got, len(published(t, a)), old)
	}
	refreshed(t, b)
	if !maps.Equal(published(t, a), published(t, b)) {
		t.Errorf("the second node publishes %v, want %v", published(t, b), published(t, a))
	}
	clock.add(keyring.Lead)
	refreshed(t, a)
	next := signingKID(t, a)
	if _, known := published(t, b)[next]; next == old || !known { // b read the keys before
		t.Errorf("key %s signs and the other node publishes %v, want a new key that it publishes", next, published(t, b))
	}
	clock.add(keysKept - time.Second)
	if keys := published(t, refreshed(t, a)); len(keys) != 4 || keys[old] != ES256 {
		t.Errorf("published keys %v just before the old ones expire, want 4 with %s", keys, old)
	}
	clock.add(time.Second)
	if keys := published(t, refreshed(t, a)); len(keys) != 2 || keys[next] != ES256 {
		t.Errorf("published keys %v after the old ones expired, want 2 with %s", keys, next)
	}
}

func TestSigningKeysRotateByHand(t *testing.T) {
	storage, clock := keyringtest.New(), newClock()
	provider := started(t, storage, clock.Now)
	for range 3 {
		clock.add(time.Minute)
		if err := provider.keys.Rotate(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if keys := published(t, provider); len(keys) != 4 {
		t.Errorf("%d keys are published, want one more for each algorithm", len(keys))
	}
}

func TestSigningKeysRotateOnceInACluster(t *testing.T) {
	storage, clock := keyringtest.New(), newClock()
	nodes := make([]*Provider, 8)
	for i := range nodes {
		nodes[i] = started(t, storage, clock.Now)
	}
	clock.add(rotateEvery)
	var group sync.WaitGroup
	for _, provider := range nodes {
		group.Go(func() { refreshed(t, provider) })
	}
	group.Wait()
	for _, provider := range nodes {
		if keys := published(t, provider); len(keys) != 4 {
			t.Errorf("%d keys are published, want 4", len(keys))
		}
	}
}

// The secret that sealed the signing keys is dropped some day. They are sealed
// anew before that, or they would be lost with it.
func TestSigningKeysOutliveTheirSecret(t *testing.T) {
	storage, clock := keyringtest.New(), newClock()
	provider := started(t, storage, clock.Now)
	before := published(t, provider)
	ring, err := keyring.Rotate(t.Context(), storage, testGate, keyring.Rotation{At: clock.Now(), Now: true})
	if err != nil {
		t.Fatal(err)
	}
	first := ring // seals with the first secret
	clock.add(keyring.Lead)
	refreshed(t, provider)
	for _, key := range storedDocument(t, storage).Keys {
		if first.Current(ofTokens.purpose, key.Sealed, key.KeyID, key.Algorithm) {
			t.Errorf("key %s is sealed under the old secret, want the new one", key.KeyID)
		}
	}
	stored := slices.Clone(storage.Value(keysPath))
	refreshed(t, provider)
	if !slices.Equal(stored, storage.Value(keysPath)) {
		t.Error("a second refresh changed the stored keys, want no change")
	}
	if got := published(t, started(t, storage, clock.Now)); !maps.Equal(got, before) {
		t.Errorf("published keys %v, want %v", got, before)
	}
}

// A failed rotation leaves the keys as they were, in memory and in storage, and
// happens at the next attempt.
func TestSigningKeyRotationIsInterrupted(t *testing.T) {
	storage, clock := keyringtest.New(), newClock()
	provider := started(t, storage, clock.Now)
	before := storage.Value(keysPath)
	clock.add(rotateEvery)
	storage.Fail(keyringtest.ErrUnavailable, "Store")
	provider.keys.Configure(rotateEvery)
	if err := provider.keys.refresh(t.Context(), false); !errors.Is(err, keyringtest.ErrUnavailable) {
		t.Errorf("refresh = %v, want the storage's error", err)
	}
	if keys := published(t, provider); len(keys) != 2 {
		t.Errorf("%d keys are published after a failed rotation, want 2", len(keys))
	}
	if !slices.Equal(before, storage.Value(keysPath)) {
		t.Error("a failed rotation changed the stored keys, want no change")
	}
	signingKID(t, provider)
	storage.Fail(nil, "Store")
	if keys := published(t, refreshed(t, provider)); len(keys) != 4 {
		t.Errorf("%d keys are published after storage recovered, want 4", len(keys))
	}
}

// The keys of a later version of this module are not overwritten.
func TestSigningKeysOfALaterVersion(t *testing.T) {
	storage := keyringtest.New()
	const document = `{"version":2,"keys":[]}`
	storage.Put(keysPath, []byte(document))
	provider := newProvider(testGate, storage, newClock().Now, testConfig)
	if _, err := provider.Code(t.Context(), testClaims, "n"); err == nil {
		t.Error("Code succeeded, want an error")
	}
	if got := string(storage.Value(keysPath)); got != document {
		t.Errorf("stored keys %s, want %s", got, document)
	}
}

// A node without sign-ins learns of new keys, since RomM may ask it for them.
func TestIdleNodeLearnsOfNewKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		storage, heard := keyringtest.New(), &events{}
		a, b := started(t, storage, time.Now), started(t, storage, time.Now)
		a.keys.Configure(rotateEvery)
		maintain(t, b, heard.report)
		if err := a.keys.Rotate(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(keysFresh + time.Second)
		synctest.Wait()
		if keys := b.keys.loaded.Load(); len(keys.signing) != 4 {
			t.Errorf("%d keys on the idle node, want 4", len(keys.signing))
		}
		storage.Fail(keyringtest.ErrUnavailable)
		time.Sleep(keysFresh)
		synctest.Wait()
		if len(heard.all()) != 1 {
			t.Errorf("reported events %q, want one failure", heard.all())
		}
	})
}

// A gate rested for months, and another node made new keys. What RomM asks it first
// has them: the former ones are not known to RomM any more. If the storage is away,
// RomM does not wait for it long.
func TestRestedGateReadsTheSigningKeysFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, away := range []bool{false, true} {
			storage := keyringtest.New()
			a, b := started(t, storage, time.Now), started(t, storage, time.Now)
			old := signingKID(t, a)
			if err := b.keys.Rotate(t.Context()); err != nil {
				t.Fatal(err)
			}
			time.Sleep(keyring.Lead)
			if away {
				storage.Delay(loadTimeout)
			}
			began := time.Now()
			_ = published(t, a)
			if waited := time.Since(began); waited > loadWait {
				t.Errorf("storage away %t: RomM waited %s, want at most %s", away, waited, loadWait)
			}
			if got := signingKID(t, a); (got == old) != away {
				t.Errorf("storage away %t: key %s signs, the former is %s", away, got, old)
			}
			time.Sleep(2 * loadTimeout)
		}
	})
}

// maintain maintains provider's keys until the test ends. report may be nil.
func maintain(t *testing.T, provider *Provider, report func(Event)) {
	t.Helper()
	ctx := t.Context()
	go func() {
		for ctx.Err() == nil {
			if err := provider.keys.Maintain(ctx); err != nil && report != nil {
				report(Event{eventKeys, err})
			}
			select {
			case <-time.After(MaintainEvery):
			case <-ctx.Done():
			}
		}
	}()
}
