// Tests of rotation.

package keyring

import (
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/flow/keyring/keyringtest"
)

const day = 24 * time.Hour

var quarterly = Rotation{Every: 90 * day, Keep: 30 * day}

func quarterlyAt(at time.Time) Rotation {
	r := quarterly
	r.At = at
	return r
}

// withKeyring returns a storage with a keyring that was made at a time.
func withKeyring(t *testing.T, at time.Time) *keyringtest.Storage {
	t.Helper()
	storage := keyringtest.New()
	if _, err := Load(t.Context(), storage, "gate", at); err != nil {
		t.Fatal(err)
	}
	return storage
}

func ringAt(t *testing.T, storage Storage, at time.Time) *Keyring {
	t.Helper()
	ring, err := Load(t.Context(), storage, "gate", at)
	if err != nil {
		t.Fatal(err)
	}
	return ring
}

func rotate(t *testing.T, storage Storage, r Rotation, at time.Time) *Keyring {
	t.Helper()
	r.At = at
	ring, err := Rotate(t.Context(), storage, "gate", r)
	if err != nil {
		t.Fatal(err)
	}
	return ring
}

func opens(ring *Keyring, sealed []byte) bool {
	_, ok := ring.Open("p", sealed)
	return ok
}

// Every node knows a new secret an hour before it seals, and the old one opens
// its values for as long as a session may last.
func TestKeyringRotation(t *testing.T) {
	t.Parallel()
	begin := time.Now()
	storage := withKeyring(t, begin)
	first := ringAt(t, storage, begin)
	sealed := first.Seal("p", nil)

	due := begin.Add(quarterly.Every)
	rotate(t, storage, quarterly, due.Add(-time.Second))
	if storage.Calls("Store") != 1 {
		t.Fatalf("%d writes before a rotation is due, want only the first", storage.Calls("Store"))
	}
	ring := rotate(t, storage, quarterly, due)
	if storage.Calls("Store") != 2 || !ring.Current("p", sealed) || !first.Current("p", ring.Seal("p", nil)) {
		t.Fatal("the new secret is missing or seals before other nodes know it, want it stored but not sealing")
	}
	rotate(t, storage, quarterly, due.Add(time.Minute))
	if storage.Calls("Store") != 2 {
		t.Errorf("%d writes a minute after a rotation, want no second rotation", storage.Calls("Store"))
	}
	learned := ringAt(t, storage, due.Add(Lead-time.Second)) // another node, the last to read it
	active := due.Add(Lead)
	ring = ringAt(t, storage, active)
	if ring.Current("p", sealed) || !opens(ring, sealed) {
		t.Error("the new secret does not seal or the old one does not open, want both")
	}
	late := ring.Seal("p", nil)
	if opens(first, late) || !opens(learned, late) {
		t.Error("a node that knows the new secret does not open its values, or one that does not know it does")
	}
	if !ring.CheckMAC("p", []byte("x"), first.MAC("p", []byte("x"))) {
		t.Error("a MAC under the old secret is refused, want it accepted")
	}

	end := active.Add(quarterly.Keep + keyGrace)
	if ring = rotate(t, storage, quarterly, end.Add(-time.Second)); !opens(ring, sealed) {
		t.Error("the old secret was dropped while a session may need it, want it kept")
	}
	if ring = rotate(t, storage, quarterly, end); opens(ring, sealed) || !ring.Current("p", late) {
		t.Error("the old secret was not dropped, or the new one was, want only the new one")
	}
	if ring = ringAt(t, storage, end); opens(ring, sealed) {
		t.Error("the dropped secret is still stored, want it deleted")
	}
	if len(storage.Locked()) != 0 {
		t.Errorf("locks %q are held, want none", storage.Locked())
	}
}

// An operator's command rotates at once, but not twice within the hour.
func TestKeyringRotationByHand(t *testing.T) {
	t.Parallel()
	begin := time.Now()
	storage := withKeyring(t, begin)
	now := Rotation{Every: 90 * day, Keep: 30 * day, Now: true}
	for range 3 {
		rotate(t, storage, now, begin.Add(time.Minute))
	}
	if storage.Calls("Store") != 2 {
		t.Errorf("%d writes after three commands, want the first and one rotation", storage.Calls("Store"))
	}
	at := begin
	var err error
	for range 200 { // each hour
		at = at.Add(Lead + time.Minute)
		now.At = at
		if _, err = Rotate(t.Context(), storage, "gate", now); err != nil {
			break
		}
	}
	if !errors.Is(err, errTooManySecrets) {
		t.Errorf("Rotate 200 times = %v, want %v", err, errTooManySecrets)
	}
	rotate(t, storage, quarterly, at.Add(60*day))
	if ring := rotate(t, storage, now, at.Add(60*day)); len(ring.secrets) > 2 {
		t.Errorf("%d secrets are kept after 60 days, want at most 2", len(ring.secrets))
	}
}

// Caddy was off for a year: records that expired during that time can be read for
// another day, so that the sweep can remove them.
func TestKeyringAfterAYearOff(t *testing.T) {
	t.Parallel()
	begin := time.Now()
	storage := withKeyring(t, begin)
	sealed := ringAt(t, storage, begin).Seal("p", nil)
	rotate(t, storage, quarterly, begin.Add(quarterly.Every))
	back := begin.Add(365 * day)
	for _, after := range []time.Duration{0, time.Minute, Lead + time.Minute} { // in this order: the first begins the day
		if !opens(rotate(t, storage, quarterly, back.Add(after)), sealed) {
			t.Errorf("the oldest secret is gone %s after the start, want it kept for a day", after)
		}
	}
	if opens(rotate(t, storage, quarterly, back.Add(keyGrace)), sealed) {
		t.Error("the oldest secret is kept after a day, want it dropped")
	}
}

// Nodes for which a rotation is due at once make one secret.
func TestKeyringRotatesOnceInACluster(t *testing.T) {
	t.Parallel()
	begin := time.Now()
	storage := withKeyring(t, begin)
	due := begin.Add(quarterly.Every)
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if _, err := Rotate(t.Context(), storage, "gate", quarterlyAt(due)); err != nil {
				t.Errorf("Rotate: %v, want no error", err)
			}
		})
	}
	wg.Wait()
	if ring := ringAt(t, storage, due); storage.Calls("Store") != 2 || len(ring.secrets) != 2 {
		t.Errorf("%d writes, %d secrets, want 2 and 2", storage.Calls("Store"), len(ring.secrets))
	}
}

// Whichever step fails, the document does not change, the caller keeps a
// keyring that opens everything, and the next attempt succeeds.
func TestKeyringRotationIsInterrupted(t *testing.T) {
	t.Parallel()
	for _, method := range []string{"Lock", "Store", "Load"} {
		begin := time.Now()
		storage := withKeyring(t, begin)
		before := string(storage.Value(keyringPathOfGate))
		sealed := ringAt(t, storage, begin).Seal("p", nil)
		due := begin.Add(quarterly.Every)
		storage.Fail(keyringtest.ErrUnavailable, method)
		ring, err := Rotate(t.Context(), storage, "gate", quarterlyAt(due))
		if !errors.Is(err, keyringtest.ErrUnavailable) || string(storage.Value(keyringPathOfGate)) != before {
			t.Errorf("%s fails: Rotate = %v, want the storage's error and no change", method, err)
		}
		if method != "Load" && (ring == nil || !opens(ring, sealed)) {
			t.Errorf("%s fails: Rotate returned %v, want the keyring as it was", method, ring)
		}
		if len(storage.Locked()) != 0 {
			t.Errorf("%s fails: locks %q are held, want none", method, storage.Locked())
		}
		storage.Fail(nil, method)
		if ring = rotate(t, storage, quarterly, due); len(ring.secrets) != 2 {
			t.Errorf("after %s failed once: %d secrets, want 2", method, len(ring.secrets))
		}
	}
	if _, err := Rotate(t.Context(), keyringtest.New(), "gate", quarterlyAt(time.Now())); err == nil {
		t.Error("Rotate without a keyring succeeded, want an error")
	}
}

// A node of an earlier version reads the document and keeps sealing with a
// secret that all nodes know.
func TestKeyringOfAnEarlierVersion(t *testing.T) {
	t.Parallel()
	storage := keyringtest.New()
	storage.Put(keyringPathOfGate, []byte(`{"secrets":["`+strings.Repeat("A", 43)+`="]}`))
	now := time.Now()
	two := keyringtest.New()
	two.Put(keyringPathOfGate, []byte(`{"secrets":["`+strings.Repeat("A", 43)+`=","`+strings.Repeat("B", 42)+`A="]}`))
	if ring := ringAt(t, two, now); ring.secrets[0][0] != 0 || len(ring.secrets) != 2 {
		t.Errorf("of two secrets without times, %v seals, want the first", ring.secrets[0][:1])
	}
	old := ringAt(t, storage, now)
	ring := rotate(t, storage, quarterly, now) // a secret of unknown age is due
	if len(ring.secrets) != 2 || !opens(ring, old.Seal("p", nil)) {
		t.Fatalf("%d secrets after a rotation, want 2 with the first", len(ring.secrets))
	}
	var earlier struct {
		Secrets [][]byte `json:"secrets"` // the only field it knows
	}
	if err := json.Unmarshal(storage.Value(keyringPathOfGate), &earlier); err != nil {
		t.Fatal(err)
	}
	its, err := New("gate", earlier.Secrets...)
	if err != nil {
		t.Fatal(err)
	}
	later := ringAt(t, storage, now.Add(Lead))
	if !opens(later, its.Seal("p", nil)) || !opens(its, later.Seal("p", nil)) || !old.Current("p", its.Seal("p", nil)) {
		t.Error("the two versions do not open each other's values, want them to")
	}
}

// A node with a clock that is behind the one that made the keyring.
func TestKeyringOfTheFuture(t *testing.T) {
	t.Parallel()
	begin := time.Now()
	storage := withKeyring(t, begin)
	ring := rotate(t, storage, Rotation{Every: day, Keep: day, Now: true}, begin.Add(-time.Hour))
	if storage.Calls("Store") != 1 || len(ring.secrets) != 1 {
		t.Errorf("%d writes, %d secrets, want 1 and 1", storage.Calls("Store"), len(ring.secrets))
	}
}

func TestRotationDue(t *testing.T) {
	t.Parallel()
	now := time.Now()
	for name, row := range map[string]struct {
		rotation            Rotation
		created, activeFrom time.Time
		want                bool
	}{
		"old enough":                       {Rotation{Every: day}, now.Add(-day), now.Add(-day), true},
		"too young":                        {Rotation{Every: day}, now.Add(-day + 1), now.Add(-day), false},
		"rotation is off":                  {Rotation{}, now.Add(-1000 * day), now.Add(-day), false},
		"by command":                       {Rotation{Now: true}, now, now, true},
		"by command, successor not active": {Rotation{Now: true}, now, now.Add(1), false},
		"age unknown":                      {Rotation{Every: day}, time.Time{}, time.Time{}, true},
	} {
		row.rotation.At = now
		if got := row.rotation.Due(row.created, row.activeFrom); got != row.want {
			t.Errorf("%s: Due = %v, want %v", name, got, row.want)
		}
	}
}
