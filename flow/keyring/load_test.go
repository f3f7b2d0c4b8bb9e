// Tests of loading a keyring: nodes, damaged documents, storage failures.

package keyring

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/flow/keyring/keyringtest"
)

const keyringPathOfGate = "romm_oidc/gate/keyring.json"

// Nodes that start at once agree on one keyring, which is written once.
func TestLoadKeyring(t *testing.T) {
	t.Parallel()
	storage := keyringtest.New()
	var wg sync.WaitGroup
	rings := make([]*Keyring, 20)
	for i := range rings {
		wg.Go(func() {
			var err error
			if rings[i], err = Load(t.Context(), storage, "gate", time.Now()); err != nil {
				t.Errorf("Load: %v, want a keyring", err)
			}
		})
	}
	wg.Wait()
	if storage.Calls("Store") != 1 || len(storage.Keys("")) != 1 || len(storage.Value(keyringPathOfGate)) == 0 {
		t.Errorf("%d writes, keys %q, want one write of one keyring", storage.Calls("Store"), storage.Keys(""))
	}
	sealed := rings[0].Seal("p", []byte("text"))
	for _, ring := range rings {
		if got, ok := ring.Open("p", sealed); !ok || string(got) != "text" || ring.gate != "gate" {
			t.Errorf("Open = %q, %v on gate %q, want text on gate", got, ok, ring.gate)
		}
	}
	later, err := Load(t.Context(), storage, "gate", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := later.Open("p", sealed); !ok {
		t.Error("the keyring does not open its value after a restart, want it to")
	}
	other, err := Load(t.Context(), storage, "other", time.Now())
	if err != nil || bytes.Equal(other.secrets[0], later.secrets[0]) {
		t.Errorf("another gate has the same secret (%v), want its own", err)
	}
	if locks := storage.Calls("Lock"); locks == 0 || len(storage.Locked()) != 0 {
		t.Errorf("%d locks taken, %q held, want some taken and none held", locks, storage.Locked())
	}
}

// Load never changes a document that it cannot use. The error names the file
// and the remedy. Only one that is not JSON may be replaced: of any other, a new
// one would end sessions that the operator can still save.
func TestCorruptKeyring(t *testing.T) {
	t.Parallel()
	secret := strings.Repeat("A", 43) + "="
	for name, row := range map[string]struct{ document, fail string }{
		"empty":                      {"", "not JSON"},
		"zeros":                      {"\x00\x00", "not JSON"},
		"cut short":                  {`{"secrets":["` + secret, "not JSON"},
		"null document":              {"null", "needs at least one secret"},
		"no secrets":                 {`{}`, "needs at least one secret"},
		"empty list":                 {`{"secrets":[]}`, "needs at least one secret"},
		"short secret":               {`{"secrets":["AAAA"]}`, "not 3"},
		"long secret":                {`{"secrets":["` + strings.Repeat("A", 44) + `"]}`, "not 33"},
		"second secret short":        {`{"secrets":["` + secret + `","AAAA"]}`, "not 3"},
		"null secret":                {`{"secrets":[null]}`, "not 0"},
		"not base64":                 {`{"secrets":["!"]}`, "illegal base64"},
		"later version":              {`{"version":2,"secrets":["` + secret + `"]}`, "a newer version of this module wrote it"},
		"later version, other shape": {`{"version":2,"secrets":{}}`, "a newer version of this module wrote it"},
		"a list":                     {`[]`, "restore it from a backup"},
		"more times than secrets":    {`{"secrets":["` + secret + `"],"times":[{},{}]}`, "1 secrets but times for 2"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			storage := keyringtest.New()
			storage.Put(keyringPathOfGate, []byte(row.document))
			ring, err := Load(t.Context(), storage, "gate", time.Now())
			if ring != nil || err == nil || !strings.Contains(err.Error(), row.fail) {
				t.Errorf("Load = %v, %v, want the error %q", ring, err, row.fail)
			}
			damaged, ok := errors.AsType[*DocumentError](err)
			if !ok || damaged.Key != keyringPathOfGate || damaged.Remedy == "" || errors.Is(err, ErrNotJSON) != (row.fail == "not JSON") {
				t.Errorf("Load = %v, want an error with the file and the remedy that says whether it is JSON", err)
			}
			if !errors.Is(err, ErrNotJSON) {
				if _, _, err := Replace(t.Context(), storage, "gate", Replacement{Now: time.Now()}); err == nil {
					t.Error("Replace replaced a document that is JSON")
				}
			}
			if storage.Calls("Store") != 0 || string(storage.Value(keyringPathOfGate)) != row.document {
				t.Error("the document was overwritten, want it unchanged")
			}
		})
	}
}

// A keyring that is not JSON is put aside and replaced, once, by the keyring
// that a node has in memory or by a new one. A storage that does not answer, or
// takes no copy, changes nothing.
func TestReplaceKeyring(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 27, 3, 0, 0, 0, time.UTC)
	const aside = keyringPathOfGate + ".broken-20261127T030000Z"
	before := keyringtest.New()
	spare, err := Load(t.Context(), before, "gate", now)
	if err != nil {
		t.Fatal(err)
	}
	sealed := spare.Seal("p", []byte("text"))
	for name, known := range map[string]*Keyring{"from memory": spare, "made anew": nil} {
		storage := keyringtest.New()
		storage.Put(keyringPathOfGate, []byte("\x00\x00"))
		for _, method := range []string{"Load", "Lock", "Store"} {
			storage.Fail(keyringtest.ErrUnavailable, method)
			if ring, _, err := Replace(t.Context(), storage, "gate", Replacement{Spare: known, Now: now}); ring != nil || !errors.Is(err, keyringtest.ErrUnavailable) {
				t.Errorf("%s, %s fails: Replace = %v, %v, want the storage's error", name, method, ring, err)
			}
			storage.Fail(nil, method)
			if len(storage.Keys("")) != 1 || string(storage.Value(keyringPathOfGate)) != "\x00\x00" {
				t.Errorf("%s, %s fails: stored %q, want the document unchanged", name, method, storage.Keys(""))
			}
		}
		ring, at, err := Replace(t.Context(), storage, "gate", Replacement{Spare: known, Now: now})
		if err != nil || at != aside || string(storage.Value(aside)) != "\x00\x00" {
			t.Fatalf("%s: Replace put it aside as %q, %v, want %s with its content", name, at, err, aside)
		}
		if _, opens := ring.Open("p", sealed); opens != (known != nil) {
			t.Errorf("%s: the keyring opens earlier values: %v, want %v", name, opens, known != nil)
		}
		again, at, err := Replace(t.Context(), storage, "gate", Replacement{Now: now})
		if err != nil || at != "" || !bytes.Equal(again.secrets[0], ring.secrets[0]) {
			t.Errorf("%s: the second Replace put %q aside, %v, want the first one's keyring", name, at, err)
		}
		if len(storage.Locked()) != 0 {
			t.Errorf("%s: locks %q are held, want none", name, storage.Locked())
		}
	}
}

func TestKeyringStorageFails(t *testing.T) {
	t.Parallel()
	for _, method := range []string{"Load", "Lock", "Store"} {
		storage := keyringtest.New()
		storage.Fail(keyringtest.ErrUnavailable, method)
		ring, err := Load(t.Context(), storage, "gate", time.Now())
		if ring != nil || !errors.Is(err, keyringtest.ErrUnavailable) || len(storage.Keys("")) != 0 {
			t.Errorf("%s fails: Load = %v, %v, want the storage's error and nothing stored", method, ring, err)
		}
		storage.Fail(nil, method)
		if _, err := Load(t.Context(), storage, "gate", time.Now()); err != nil {
			t.Errorf("Load after %s failed once: %v, want a keyring", method, err)
		}
	}
}

// Another node makes the keyring between this node's read and its lock.
func TestKeyringOfAFasterNode(t *testing.T) {
	t.Parallel()
	storage := keyringtest.New()
	storage.Before(func(_ context.Context, method, key string) error {
		if method == "Lock" {
			storage.Put(key, []byte(`{"secrets":["`+strings.Repeat("A", 43)+`="]}`))
		}
		return nil
	})
	ring, err := Load(t.Context(), storage, "gate", time.Now())
	if err != nil || !bytes.Equal(ring.secrets[0], make([]byte, 32)) {
		t.Errorf("Load = %v, %v, want the other node's keyring", ring, err)
	}
	if n := storage.Calls("Store"); n != 0 {
		t.Errorf("%d writes, want none", n)
	}
	if len(storage.Locked()) != 0 {
		t.Errorf("locks %q are held, want none", storage.Locked())
	}
}

// The keyring is unlocked even if the request that locked it has ended.
func TestKeyringUnlocksAfterTheRequest(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	storage := keyringtest.New()
	storage.Before(func(_ context.Context, method, _ string) error {
		if method == "Store" {
			cancel()
		}
		return nil
	})
	_, _ = Load(ctx, storage, "gate", time.Now())
	if len(storage.Locked()) != 0 {
		t.Errorf("locks %q are held, want none", storage.Locked())
	}
}

func TestStoragePrefix(t *testing.T) {
	t.Parallel()
	if got := StoragePrefix("0123abcd"); got != "romm_oidc/0123abcd" {
		t.Errorf("StoragePrefix = %q, want romm_oidc/0123abcd", got)
	}
}
