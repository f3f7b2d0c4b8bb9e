package keyring

import (
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"
)

const day = 24 * time.Hour

var quarterly = Rotation{Every: 90 * day, Keep: 30 * day}

// rotating is a storage with a keyring that was made at a time.
func rotating(t *testing.T, at time.Time) *memory {
	t.Helper()
	storage := newMemory()
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
	ring, err := Rotate(t.Context(), storage, "gate", r, at)
	if err != nil {
		t.Fatal(err)
	}
	return ring
}

func opens(ring *Keyring, sealed []byte) bool {
	_, ok := ring.Open("p", sealed)
	return ok
}

// A new secret is known for an hour before it seals, and the old one opens
// what it sealed for as long as a session may live.
func TestKeyringRotation(t *testing.T) {
	t.Parallel()
	begin := time.Now()
	storage := rotating(t, begin)
	first := ringAt(t, storage, begin)
	sealed := first.Seal("p", nil)

	due := begin.Add(quarterly.Every)
	rotate(t, storage, quarterly, due.Add(-time.Second))
	if storage.stores != 1 {
		t.Fatal("rotated before it was time")
	}
	ring := rotate(t, storage, quarterly, due)
	if storage.stores != 2 || !ring.Current("p", sealed) || !first.Current("p", ring.Seal("p", nil)) {
		t.Fatal("the new secret seals before other nodes know it")
	}
	rotate(t, storage, quarterly, due.Add(time.Minute))
	if storage.stores != 2 {
		t.Error("rotated twice")
	}
	learned := ringAt(t, storage, due.Add(Lead-time.Second)) // another node, the last to read it
	active := due.Add(Lead)
	ring = ringAt(t, storage, active)
	if ring.Current("p", sealed) || !opens(ring, sealed) {
		t.Error("the new secret does not seal when its time has come, or the old one opens nothing")
	}
	late := ring.Seal("p", nil)
	if opens(first, late) || !opens(learned, late) {
		t.Error("another node does not open what the new secret sealed")
	}
	if !ring.CheckMAC("p", []byte("x"), first.MAC("p", []byte("x"))) {
		t.Error("the old secret's MAC does not count")
	}

	end := active.Add(quarterly.Keep + keyGrace)
	if ring = rotate(t, storage, quarterly, end.Add(-time.Second)); !opens(ring, sealed) {
		t.Error("the old secret was dropped while a session may need it")
	}
	if ring = rotate(t, storage, quarterly, end); opens(ring, sealed) || !ring.Current("p", late) {
		t.Error("the old secret was not dropped, or the wrong one was")
	}
	if ring = ringAt(t, storage, end); opens(ring, sealed) {
		t.Error("it is still stored")
	}
	if len(storage.locks[keyringKey]) != 0 {
		t.Error("the lock is held")
	}
}

// An operator's command rotates at once, but not twice within the hour.
func TestKeyringRotationByHand(t *testing.T) {
	t.Parallel()
	begin := time.Now()
	storage := rotating(t, begin)
	now := Rotation{Every: 90 * day, Keep: 30 * day, Now: true}
	for range 3 {
		rotate(t, storage, now, begin.Add(time.Minute))
	}
	if storage.stores != 2 {
		t.Errorf("%d times stored", storage.stores)
	}
	at := begin
	var err error
	for range 200 { // each hour, which nobody's patience outlasts
		at = at.Add(Lead + time.Minute)
		if _, err = Rotate(t.Context(), storage, "gate", now, at); err != nil {
			break
		}
	}
	if !errors.Is(err, ErrRotatedTooOften) {
		t.Errorf("got %v", err)
	}
	rotate(t, storage, quarterly, at.Add(60*day))
	if ring := rotate(t, storage, now, at.Add(60*day)); len(ring.secrets) > 2 {
		t.Errorf("%d secrets are kept", len(ring.secrets))
	}
}

// Caddy was off for a year: what expired meanwhile can still be read when it
// is back, for a day, so that it can be removed.
func TestKeyringAfterALongSleep(t *testing.T) {
	t.Parallel()
	begin := time.Now()
	storage := rotating(t, begin)
	sealed := ringAt(t, storage, begin).Seal("p", nil)
	rotate(t, storage, quarterly, begin.Add(quarterly.Every))
	back := begin.Add(365 * day)
	for _, after := range []time.Duration{0, time.Minute, Lead + time.Minute} { // in this order: the first begins the day
		if !opens(rotate(t, storage, quarterly, back.Add(after)), sealed) {
			t.Errorf("after %s it is gone", after)
		}
	}
	if opens(rotate(t, storage, quarterly, back.Add(keyGrace)), sealed) {
		t.Error("the oldest secret is kept for ever")
	}
}

// Nodes that find it is time at once make one secret.
func TestKeyringRotatesOnceInACluster(t *testing.T) {
	t.Parallel()
	begin := time.Now()
	storage := rotating(t, begin)
	due := begin.Add(quarterly.Every)
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if _, err := Rotate(t.Context(), storage, "gate", quarterly, due); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if ring := ringAt(t, storage, due); storage.stores != 2 || len(ring.secrets) != 2 {
		t.Errorf("%d times stored, %d secrets", storage.stores, len(ring.secrets))
	}
}

// Whatever step fails, the document is the old one or the new one, the caller
// goes on with a keyring that opens everything, and the next attempt does it.
func TestKeyringRotationIsInterrupted(t *testing.T) {
	t.Parallel()
	away := errors.New("storage is away")
	for _, method := range []string{"Lock", "Store", "Load"} {
		begin := time.Now()
		storage := rotating(t, begin)
		before := string(storage.values[keyringKey])
		sealed := ringAt(t, storage, begin).Seal("p", nil)
		due := begin.Add(quarterly.Every)
		storage.fail[method] = away
		ring, err := Rotate(t.Context(), storage, "gate", quarterly, due)
		if !errors.Is(err, away) || string(storage.values[keyringKey]) != before {
			t.Errorf("%s: got %v", method, err)
		}
		if method != "Load" && (ring == nil || !opens(ring, sealed)) {
			t.Errorf("%s: the keyring was not returned", method)
		}
		if len(storage.locks[keyringKey]) != 0 {
			t.Errorf("%s: the lock is held", method)
		}
		delete(storage.fail, method)
		if ring = rotate(t, storage, quarterly, due); len(ring.secrets) != 2 {
			t.Errorf("%s: not made up for", method)
		}
	}
	if _, err := Rotate(t.Context(), newMemory(), "gate", quarterly, time.Now()); err == nil {
		t.Error("a keyring that is not there was rotated")
	}
}

// A node of an earlier version reads the document: it goes on sealing with a
// secret that all nodes know.
func TestKeyringOfAnEarlierVersion(t *testing.T) {
	t.Parallel()
	storage := newMemory()
	storage.values[keyringKey] = []byte(`{"secrets":["` + strings.Repeat("A", 43) + `="]}`)
	now := time.Now()
	two := newMemory()
	two.values[keyringKey] = []byte(`{"secrets":["` + strings.Repeat("A", 43) + `=","` + strings.Repeat("B", 42) + `A="]}`)
	if ring := ringAt(t, two, now); ring.secrets[0][0] != 0 || len(ring.secrets) != 2 {
		t.Error("of two secrets without times it is not the first that seals")
	}
	old := ringAt(t, storage, now)
	ring := rotate(t, storage, quarterly, now) // its age is unknown: it is due
	if len(ring.secrets) != 2 || !opens(ring, old.Seal("p", nil)) {
		t.Fatalf("%d secrets", len(ring.secrets))
	}
	var earlier struct {
		Secrets [][]byte `json:"secrets"` // all that it knows
	}
	if err := json.Unmarshal(storage.values[keyringKey], &earlier); err != nil {
		t.Fatal(err)
	}
	its, err := New("gate", earlier.Secrets...)
	if err != nil {
		t.Fatal(err)
	}
	later := ringAt(t, storage, now.Add(Lead))
	if !opens(later, its.Seal("p", nil)) || !opens(its, later.Seal("p", nil)) || !old.Current("p", its.Seal("p", nil)) {
		t.Error("the two versions do not open each other's")
	}
}

// A node whose clock is behind that of the one that made the keyring.
func TestKeyringOfTheFuture(t *testing.T) {
	t.Parallel()
	begin := time.Now()
	storage := rotating(t, begin)
	ring := rotate(t, storage, Rotation{Every: day, Keep: day, Now: true}, begin.Add(-time.Hour))
	if storage.stores != 1 || len(ring.secrets) != 1 {
		t.Errorf("%d times stored", storage.stores)
	}
}

func TestRotationDue(t *testing.T) {
	t.Parallel()
	now := time.Now()
	for name, row := range map[string]struct {
		rotation      Rotation
		created, from time.Time
		want          bool
	}{
		"old":                  {Rotation{Every: day}, now.Add(-day), now.Add(-day), true},
		"young":                {Rotation{Every: day}, now.Add(-day + 1), now.Add(-day), false},
		"never":                {Rotation{}, now.Add(-1000 * day), now.Add(-day), false},
		"by hand":              {Rotation{Now: true}, now, now, true},
		"by hand, one waiting": {Rotation{Now: true}, now, now.Add(1), false},
		"of unknown age":       {Rotation{Every: day}, time.Time{}, time.Time{}, true},
	} {
		if got := row.rotation.Due(row.created, row.from, now); got != row.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
