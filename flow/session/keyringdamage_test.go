// A damaged keyring: put aside, written again, made anew, or left alone.

package session

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/romm-oidc/caddy-romm-oidc/flow/keyring"
)

// If the keyring in storage is deleted, incomplete or replaced by a later version
// while Caddy runs, sessions continue and the stored value is not overwritten. If it
// is not even JSON, the node writes its own again.
func TestKeyringSpoiledWhileServing(t *testing.T) {
	for name, document := range map[string][]byte{
		"deleted": nil, "incomplete": []byte("{}"), "later version": []byte(`{"version":9,"secrets":[]}`),
	} {
		t.Run(name, func(t *testing.T) {
			storage := newFakeStorage()
			s := newTestStore(storage)
			ticket, session := create(t, s, "ada")
			key := keyring.StoragePrefix(testGate) + "/keyring.json"
			if document == nil {
				_ = storage.Delete(t.Context(), key)
			} else {
				storage.put(key, document)
			}
			if err := s.maintainKeyring(t.Context()); err == nil {
				t.Error("maintainKeyring = nil, want an error")
			}
			s.memory.evict(session)
			mustOpen(t, s, ticket)
			create(t, s, "bob")
			if string(storage.get(key)) != string(document) {
				t.Errorf("the stored keyring is %q, want it unchanged", storage.get(key))
			}
		})
	}
}

func TestKeyringCutOffWhileServing(t *testing.T) {
	for name, document := range map[string]string{"empty": "", "cut off": "{", "zeros": "\x00\x00"} {
		t.Run(name, func(t *testing.T) {
			storage := newFakeStorage()
			core, logs := observer.New(zapcore.ErrorLevel)
			s := newTestStore(storage, func(o *Options) { o.Logger = zap.New(core) })
			ticket, _ := create(t, s, "ada")
			key := keyring.StoragePrefix(testGate) + "/keyring.json"
			storage.put(key, []byte(document))
			if err := s.maintainKeyring(t.Context()); err != nil {
				t.Error(err)
			}
			mustOpen(t, newTestStore(storage), ticket)
			lines := logs.FilterMessage("keyring in storage was damaged, written again from memory: no session ended").All()
			if len(lines) != 1 {
				t.Fatalf("%d lines about it, want one", len(lines))
			}
			if aside, _ := lines[0].ContextMap()["put_aside"].(string); string(storage.get(aside)) != document || !strings.HasPrefix(aside, key+".broken-") {
				t.Errorf("put aside as %q, want a copy beside the keyring", aside)
			}
		})
	}
}

// A keyring that is not JSON when Caddy starts is put aside and made anew: the
// old sessions end, new ones begin. All nodes get the same new keyring.
func TestKeyringCutOffBeforeTheStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		storage := newFakeStorage()
		old, _ := create(t, newTestStore(storage), "ada")
		key := keyring.StoragePrefix(testGate) + "/keyring.json"
		storage.put(key, nil)
		core, logs := observer.New(zapcore.ErrorLevel)
		nodes := make([]*Store, 5)
		tickets := make([]string, len(nodes))
		var wait sync.WaitGroup
		for i := range nodes {
			nodes[i] = newTestStore(storage, func(o *Options) { o.Logger = zap.New(core) })
			wait.Go(func() { tickets[i], _ = create(t, nodes[i], "bob") })
		}
		wait.Wait()
		for _, s := range nodes {
			mustNot(t, s, old)
			for _, ticket := range tickets {
				mustOpen(t, s, ticket)
			}
		}
		if n := logs.FilterMessage("keyring in storage was damaged, made anew: all sessions ended, users sign in again").Len(); n != 1 || logs.Len() != 1 {
			t.Errorf("%d lines about it of %d, want one", n, logs.Len())
		}
	})
}

// A node starts while the keyring is damaged, before any other one has noticed. It
// waits for one that has the keyring in memory, and no session ends.
func TestNewNodeWaitsForTheKeyringOfAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		storage := newFakeStorage()
		serving := newTestStore(storage)
		ticket, _ := create(t, serving, "ada")
		go serving.Run(t.Context())
		time.Sleep(5 * pollEvery)
		storage.put(keyring.StoragePrefix(testGate)+"/keyring.json", nil)
		core, logs := observer.New(zapcore.ErrorLevel)
		started := newTestStore(storage, func(o *Options) { o.Logger = zap.New(core) })
		mustOpen(t, started, ticket)
		mustOpen(t, serving, ticket)
		if logs.Len() > 0 {
			t.Errorf("the node that started logged %v, want nothing", logs.All())
		}
	})
}

// Storage that does not give the keyring is no reason to replace it.
func TestKeyringIsNotReplacedIfStorageFails(t *testing.T) {
	storage := newFakeStorage()
	ticket, _ := create(t, newTestStore(storage), "ada")
	before := string(storage.get(keyring.StoragePrefix(testGate) + "/keyring.json"))
	storage.before = func(operation, _ string) error {
		if operation == "load" {
			return fmt.Errorf("input/output error: %w", errAway)
		}
		return nil
	}
	s := newTestStore(storage)
	if _, _, err := s.Create(t.Context(), recordOf("bob")); !errors.Is(err, errAway) {
		t.Errorf("Create = %v, want %v", err, errAway)
	}
	storage.before = nil
	if string(storage.get(keyring.StoragePrefix(testGate)+"/keyring.json")) != before {
		t.Error("the keyring was replaced, want it unchanged")
	}
	mustOpen(t, s, ticket)
}
