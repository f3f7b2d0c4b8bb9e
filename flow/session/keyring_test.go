// The keyring: sharing, reload, rotation across nodes.

package session

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/flow/keyring"
)

// watchKeyring counts how often the keyring is written.
func watchKeyring(storage *fakeStorage) (writes func() int) {
	n := 0
	storage.before = func(operation, key string) error {
		if operation == "store" && strings.HasSuffix(key, "/keyring.json") {
			storage.mu.Lock()
			n++
			storage.mu.Unlock()
		}
		return nil
	}
	return func() int {
		storage.mu.Lock()
		defer storage.mu.Unlock()
		return n
	}
}

// Two nodes run for 120 days. The keyring rotates on schedule, once each time,
// and every session opens on both nodes until its lifetime ends.
func TestRotationLosesNoSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		storage := newFakeStorage()
		writes := watchKeyring(storage)
		nodes := []*Store{newTestStore(storage), newTestStore(storage)}
		limits := Limits{Idle: 30 * 24 * time.Hour, Lifetime: 30 * 24 * time.Hour, Rotate: 10 * 24 * time.Hour}
		for _, s := range nodes {
			s.Configure(storage, limits)
			if _, err := s.Keyring(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		type signedIn struct {
			ticket string
			ends   time.Time
		}
		all := make([]signedIn, 0, 240)
		const step = 12 * time.Hour
		for i := range 2 * 120 { // half a day each; Run itself would poll 5 million times
			maker := nodes[i%2]
			ticket, _ := create(t, maker, "ada")
			all = append(all, signedIn{ticket, time.Now().Add(limits.Lifetime)})
			for range 3 { // the hour in which a new secret waits, at its ends
				time.Sleep(keyring.Lead / 2)
				for _, s := range nodes {
					if err := s.maintainKeyring(t.Context()); err != nil {
						t.Fatal(err)
					}
				}
			}
			fresh := newTestStore(storage) // has nothing in memory
			fresh.Configure(storage, limits)
			for j := 0; j < len(all); j += 1 + len(all)/8 {
				if time.Now().Before(all[j].ends) {
					mustOpen(t, fresh, all[j].ticket)
				}
			}
			mustOpen(t, nodes[(i+1)%2], ticket)
			time.Sleep(step - 3*keyring.Lead/2)
		}
		// 120 days: one at the start, one every ten days and what was dropped.
		if n := writes(); n < 12 || n > 24 {
			t.Errorf("the keyring was written %d times, want 12 to 24", n)
		}
	})
}

// After the operator's command, every node knows the new secret before it seals.
// A node that did not read the keyring in that time answers with an error: it
// must not treat a valid ticket as forged.
func TestOutdatedNodeDeniesNoSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		storage := newFakeStorage()
		a, b := newTestStore(storage), newTestStore(storage)
		old, _ := create(t, a, "ada")
		mustOpen(t, b, old)
		forged := ticket{1}.String()
		mustNot(t, b, forged)
		for range 2 { // the second call finds a secret that is not in use yet
			if err := a.Rotate(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(keyring.Lead)
		if err := a.maintainKeyring(t.Context()); err != nil {
			t.Fatal(err)
		}
		late, _ := create(t, a, "bob")
		if session, err := b.Lookup(t.Context(), late); session != nil || !errors.Is(err, errOutdated) {
			t.Errorf("Lookup on a node with an outdated keyring = %v, %v, want %v", session, err, errOutdated)
		}
		mustOpen(t, b, old)
		if err := b.maintainKeyring(t.Context()); err != nil {
			t.Fatal(err)
		}
		mustOpen(t, b, late)
		mustNot(t, b, forged)
	})
}

// Run reads new secrets without help.
func TestRunReadsTheKeyring(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		storage := newFakeStorage()
		a, b := newTestStore(storage), newTestStore(storage)
		old, _ := create(t, a, "ada")
		mustOpen(t, b, old)
		start(t, b)
		if err := a.Rotate(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(keyringEvery + time.Second)
		synctest.Wait()
		time.Sleep(keyring.Lead)
		if err := a.maintainKeyring(t.Context()); err != nil {
			t.Fatal(err)
		}
		late, _ := create(t, a, "bob")
		mustOpen(t, b, late)
	})
}

// A rotation that storage refuses changes nothing and can be repeated.
func TestRotationWithStorageAway(t *testing.T) {
	storage := newFakeStorage()
	s := newTestStore(storage)
	ticket, session := create(t, s, "ada")
	for _, failing := range []string{"lock", "store", "load"} {
		storage.before = func(operation, key string) error {
			if operation == failing && strings.HasSuffix(key, "/keyring.json") {
				return errAway
			}
			return nil
		}
		if err := s.Rotate(t.Context()); !errors.Is(err, errAway) {
			t.Errorf("Rotate without %s: %v, want %v", failing, err, errAway)
		}
		s.memory.evict(session)
		session = mustOpen(t, s, ticket)
	}
	storage.before = nil
	if err := s.Rotate(t.Context()); err != nil {
		t.Error(err)
	}
	mustOpen(t, newTestStore(storage), ticket)
}

func TestKeyringIsSharedAndFailureIsNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		storage := newFakeStorage()
		storage.latency = time.Second
		s := newTestStore(storage)
		storage.away.Store(true)
		if _, err := s.Keyring(t.Context()); !errors.Is(err, errAway) {
			t.Fatalf("Keyring without storage: %v, want %v", err, errAway)
		}
		storage.away.Store(false)

		hasty, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		began := time.Now()
		if _, err := s.Keyring(hasty); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Keyring with a context of 10 ms: %v, want a deadline error", err)
		}
		if waited := time.Since(began); waited > 10*time.Millisecond {
			t.Errorf("Keyring waited %v, want 10 ms", waited)
		}
		keyrings := make([]*keyring.Keyring, 50)
		var wait sync.WaitGroup
		for i := range keyrings {
			wait.Go(func() { keyrings[i], _ = s.Keyring(t.Context()) })
		}
		wait.Wait()
		for _, keys := range keyrings {
			if keys == nil || keys != keyrings[0] {
				t.Fatal("concurrent callers got different keyrings")
			}
		}
		if n := storage.count("store"); n != 1 {
			t.Errorf("the keyring was stored %d times, want once", n)
		}
	})
}

func TestKeyringFollowsAReload(t *testing.T) {
	s := newTestStore(newFakeStorage())
	first, _ := s.Keyring(t.Context())
	other := newFakeStorage()
	s.Configure(other, defaultLimits)
	if err := poll(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	second, _ := s.Keyring(t.Context())
	if first == second || other.get(keyring.StoragePrefix(testGate)+"/keyring.json") == nil {
		t.Error("after Configure, the keyring is still that of the previous storage")
	}
}
