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

// A document that cannot be read needs an operator: a new one would end every
// session, and two nodes could end up with two keyrings.
func TestCorruptKeyring(t *testing.T) {
	t.Parallel()
	secret := strings.Repeat("A", 43) + "="
	for name, row := range map[string]struct{ document, fail string }{
		"empty":                   {"", "decoding"},
		"not JSON":                {"\x00\x00", "decoding"},
		"cut short":               {`{"secrets":["` + secret, "decoding"},
		"null document":           {"null", "needs at least one secret"},
		"no secrets":              {`{}`, "needs at least one secret"},
		"empty list":              {`{"secrets":[]}`, "needs at least one secret"},
		"short secret":            {`{"secrets":["AAAA"]}`, "not 3"},
		"long secret":             {`{"secrets":["` + strings.Repeat("A", 44) + `"]}`, "not 33"},
		"second secret short":     {`{"secrets":["` + secret + `","AAAA"]}`, "not 3"},
		"null secret":             {`{"secrets":[null]}`, "not 0"},
		"not base64":              {`{"secrets":["!"]}`, "decoding"},
		"later version":           {`{"version":2,"secrets":["` + secret + `"]}`, "a newer version of this module wrote it"},
		"more times than secrets": {`{"secrets":["` + secret + `"],"times":[{},{}]}`, "1 secrets but times for 2"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			storage := keyringtest.New()
			storage.Put(keyringPathOfGate, []byte(row.document))
			ring, err := Load(t.Context(), storage, "gate", time.Now())
			if ring != nil || err == nil || !strings.Contains(err.Error(), row.fail) {
				t.Errorf("Load = %v, %v, want the error %q", ring, err, row.fail)
			}
			if storage.Calls("Store") != 0 || string(storage.Value(keyringPathOfGate)) != row.document {
				t.Error("the document was overwritten, want it unchanged")
			}
		})
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
