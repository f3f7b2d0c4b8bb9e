package keyring

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"
)

const keyringKey = "romm_oidc/gate/keyring.json"

// Nodes that start at once agree on one keyring, which is written once.
func TestLoadKeyring(t *testing.T) {
	t.Parallel()
	storage := newMemory()
	var wg sync.WaitGroup
	rings := make([]*Keyring, 20)
	for i := range rings {
		wg.Go(func() {
			var err error
			if rings[i], err = Load(t.Context(), storage, "gate", time.Now()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if storage.stores != 1 || len(storage.values) != 1 || len(storage.values[keyringKey]) == 0 {
		t.Errorf("%d times stored, %d values", storage.stores, len(storage.values))
	}
	sealed := rings[0].Seal("p", []byte("text"))
	for _, ring := range rings {
		if got, ok := ring.Open("p", sealed); !ok || string(got) != "text" || ring.Gate() != "gate" {
			t.Errorf("got %q, %v at %q", got, ok, ring.Gate())
		}
	}
	later, err := Load(t.Context(), storage, "gate", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := later.Open("p", sealed); !ok {
		t.Error("a restart lost the keyring")
	}
	other, err := Load(t.Context(), storage, "other", time.Now())
	if err != nil || bytes.Equal(other.secrets[0], later.secrets[0]) {
		t.Errorf("two gates share a secret, %v", err)
	}
	if len(storage.locks) != 2 || len(storage.locks[keyringKey]) != 0 {
		t.Errorf("a lock is held, or was never taken: %v", storage.locks)
	}
}

// A document that cannot be read is for a person to look at: a new one would
// end every session, and two nodes could go on with two.
func TestCorruptKeyring(t *testing.T) {
	t.Parallel()
	secret := strings.Repeat("A", 43) + "="
	for name, row := range map[string]struct{ document, fail string }{
		"empty":            {"", "decoding"},
		"no JSON":          {"\x00\x00", "decoding"},
		"cut short":        {`{"secrets":["` + secret, "decoding"},
		"null":             {"null", "needs a secret"},
		"no secrets":       {`{}`, "needs a secret"},
		"an empty list":    {`{"secrets":[]}`, "needs a secret"},
		"a short secret":   {`{"secrets":["AAAA"]}`, "this one has 3"},
		"a long secret":    {`{"secrets":["` + strings.Repeat("A", 44) + `"]}`, "this one has 33"},
		"one of two short": {`{"secrets":["` + secret + `","AAAA"]}`, "this one has 3"},
		"a null secret":    {`{"secrets":[null]}`, "this one has 0"},
		"no base64":        {`{"secrets":["!"]}`, "decoding"},
		"a later version":  {`{"version":2,"secrets":["` + secret + `"]}`, "a newer version of this module wrote it"},
		"a time too many":  {`{"secrets":["` + secret + `"],"times":[{},{}]}`, "1 secrets and the times of 2"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			storage := newMemory()
			storage.values[keyringKey] = []byte(row.document)
			ring, err := Load(t.Context(), storage, "gate", time.Now())
			if ring != nil || err == nil || !strings.Contains(err.Error(), row.fail) {
				t.Errorf("got %v, %v", ring, err)
			}
			if storage.stores != 0 || string(storage.values[keyringKey]) != row.document {
				t.Error("it was written over")
			}
		})
	}
}

func TestKeyringStorageFails(t *testing.T) {
	t.Parallel()
	away := errors.New("storage is away")
	for _, method := range []string{"Load", "Lock", "Store"} {
		storage := newMemory()
		storage.fail[method] = away
		ring, err := Load(t.Context(), storage, "gate", time.Now())
		if ring != nil || !errors.Is(err, away) || len(storage.values) != 0 {
			t.Errorf("%s: got %v, %v", method, ring, err)
		}
		delete(storage.fail, method)
		if _, err := Load(t.Context(), storage, "gate", time.Now()); err != nil {
			t.Errorf("after %s failed: %v", method, err)
		}
	}
}

// racing is a storage where another node is faster: its keyring is there once the lock is.
type racing struct{ *memory }

func (r racing) Lock(ctx context.Context, name string) error {
	if err := r.memory.Lock(ctx, name); err != nil {
		return err
	}
	return r.Store(ctx, name, []byte(`{"secrets":["`+strings.Repeat("A", 43)+`="]}`))
}

func TestKeyringOfAFasterNode(t *testing.T) {
	t.Parallel()
	storage := racing{newMemory()}
	ring, err := Load(t.Context(), storage, "gate", time.Now())
	if err != nil || storage.stores != 1 || !bytes.Equal(ring.secrets[0], make([]byte, 32)) {
		t.Errorf("got %v, %v, %d times stored", ring, err, storage.stores)
	}
	if len(storage.locks[keyringKey]) != 0 {
		t.Error("the lock is held")
	}
}

// What is unlocked is unlocked for good, though the request that locked it ended.
func TestKeyringUnlocksAfterTheRequest(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	storage := ending{newMemory(), cancel}
	_, _ = Load(ctx, storage, "gate", time.Now())
	if len(storage.locks[keyringKey]) != 0 {
		t.Error("the lock is held")
	}
}

// ending is a storage whose caller ends while it stores, and that does nothing for who ended.
type ending struct {
	*memory
	cancel context.CancelFunc
}

func (e ending) Store(ctx context.Context, key string, value []byte) error {
	e.cancel()
	return e.memory.Store(ctx, key, value)
}

func (e ending) Unlock(ctx context.Context, name string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return e.memory.Unlock(ctx, name)
}

func TestStoragePrefix(t *testing.T) {
	t.Parallel()
	if got := StoragePrefix("0123abcd"); got != "romm_oidc/0123abcd" {
		t.Errorf("got %q", got)
	}
}
