// Sealed values: where they open, and what becomes of unreadable ones.

package session

import (
	"errors"
	"slices"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/romm-oidc/caddy-romm-oidc/flow"
)

func TestRecordOpensOnlyWhereItBelongs(t *testing.T) {
	key, id := [32]byte{1}, ID{2}
	sealed, err := sealRecord(key, testGate, id, &snapshot{Revision: 3, Record: recordOf("ada")})
	if err != nil {
		t.Fatal(err)
	}
	if s, err := openRecord(key, testGate, id, sealed); err != nil || s.Revision != 3 || s.Record.Tokens.Access != "authelia_at_ada" {
		t.Fatalf("openRecord = %v, %v, want revision 3 of ada's record", s, err)
	}
	newer := slices.Clone(sealed)
	newer[len(magic)] = formatVersion + 1
	for name, c := range map[string]struct {
		key   [32]byte
		gate  string
		id    ID
		value []byte
		want  error
	}{
		"another ticket": {[32]byte{9}, testGate, id, sealed, errUnreadable},
		"another gate":   {key, "other", id, sealed, errUnreadable},
		"another id":     {key, testGate, ID{9}, sealed, errUnreadable},
		"truncated":      {key, testGate, id, sealed[:len(sealed)-1], errUnreadable},
		"only the magic": {key, testGate, id, sealed[:len(magic)], errUnreadable},
		"header only":    {key, testGate, id, sealed[:len(magic)+1], errUnreadable},
		"empty":          {key, testGate, id, nil, errUnreadable},
		"not ours":       {key, testGate, id, []byte("{}"), errUnreadable},
		"newer version":  {key, testGate, id, newer, errNewer},
		"newer, no body": {key, testGate, id, newer[:len(magic)+1], errNewer},
	} {
		t.Run(name, func(t *testing.T) {
			if s, err := openRecord(c.key, c.gate, c.id, c.value); !errors.Is(err, c.want) || s != nil {
				t.Errorf("openRecord = %v, %v, want %v", s, err, c.want)
			}
		})
	}
}

func TestHeadOpensOnlyWhereItBelongs(t *testing.T) {
	keys, id := testKeyring(t, testGate, 1), ID{2}
	sealed, err := sealHead(keys, id, &Head{User: "ada"})
	if err != nil {
		t.Fatal(err)
	}
	if h, err := openHead(keys, id, sealed); err != nil || h.User != "ada" {
		t.Fatalf("openHead = %v, %v, want ada's head", h, err)
	}
	if _, err := openHead(keys, ID{9}, sealed); !errors.Is(err, errUnreadable) {
		t.Errorf("a head under another ID: %v, want %v", err, errUnreadable)
	}
	if _, err := openHead(testKeyring(t, testGate, 2), id, sealed); !errors.Is(err, errUnreadable) {
		t.Errorf("a head under another keyring: %v, want %v", err, errUnreadable)
	}
	if used := openLastUse(keys, id, sealLastUse(keys, ID{9}, 7)); used != 0 {
		t.Errorf("openLastUse of another session's value = %d, want 0", used)
	}
	if used := openLastUse(keys, id, sealLastUse(keys, id, 7)); used != 7 {
		t.Errorf("openLastUse = %d, want 7", used)
	}
}

func TestUnreadableRecordIsAbsentAndLeftAlone(t *testing.T) {
	for name, damage := range map[string]func([]byte) []byte{
		"truncated": func(v []byte) []byte { return v[:len(v)/2] },
		"empty":     func([]byte) []byte { return nil },
		"not ours":  func([]byte) []byte { return []byte("\x00\x01 not ours") },
		"newer":     func(v []byte) []byte { v[len(magic)]++; return v },
	} {
		for _, folder := range []string{folderRecords, folderHeads} {
			t.Run(name+" in "+folder, func(t *testing.T) {
				storage := newFakeStorage()
				ticket, session := create(t, newTestStore(storage), "ada")
				core, logs := observer.New(zap.WarnLevel)
				restarted := newTestStore(storage, func(o *Options) { o.Logger = zap.New(core) })
				key := storageKey(folder, session.ID())
				damaged := damage(slices.Clone(storage.get(key)))
				storage.put(key, damaged)

				mustNot(t, restarted, ticket)
				if logs.Len() != 1 {
					t.Errorf("%d log lines, want 1", logs.Len())
				}
				if _, err := restarted.List(t.Context()); err != nil {
					t.Errorf("List: %v", err)
				}
				if err := restarted.Sweep(t.Context()); err != nil {
					t.Errorf("Sweep: %v, want nil", err)
				}
				if !slices.Equal(storage.get(key), damaged) {
					t.Error("the unreadable value was changed or deleted")
				}
			})
		}
	}
}

func FuzzRecord(f *testing.F) {
	key, id := [32]byte{1}, ID{2}
	keys := testKeyring(f, testGate, 1)
	record, _ := sealRecord(key, testGate, id, &snapshot{Record: Record{Created: time.Unix(1, 0)}})
	head, _ := sealHead(keys, id, &Head{User: "ada"})
	f.Add(record)
	f.Add(head)
	f.Add(sealLastUse(keys, id, 1))
	f.Add([]byte{})
	f.Add([]byte("romm"))
	f.Add([]byte("romm\x01"))
	f.Add([]byte("romm\x02future"))
	f.Add([]byte(`{"reason":"sign_out"}`))
	f.Fuzz(func(t *testing.T, value []byte) {
		if s, err := openRecord(key, testGate, id, value); (s == nil) != (err != nil) || (s != nil && s.Record.Created.Unix() != 1) {
			t.Errorf("openRecord(%x) = %v, %v", value, s, err)
		}
		if h, err := openHead(keys, id, value); (h == nil) != (err != nil) || (h != nil && h.User != "ada") {
			t.Errorf("openHead(%x) = %v, %v", value, h, err)
		}
		openLastUse(keys, id, value)
		if reasonIn(value) == "" {
			t.Errorf("reasonIn(%x) is empty", value)
		}
	})
}

// What a node with a wrong clock has stored binds no other one: tokens end within a
// day, and claims of the future are older than all others.
func TestStoredByAWrongClock(t *testing.T) {
	t.Parallel()
	now := time.Now()
	for _, ahead := range []time.Duration{-15 * 24 * time.Hour, 0, 15 * 24 * time.Hour} {
		there := now.Add(ahead).Round(0)
		stored := &snapshot{Record: Record{
			Created: there, UnprovenSince: there, Tokens: flow.Tokens{Expires: there.Add(time.Hour)}, Identity: flow.Identity{Said: there.UnixMilli()},
		}}
		stored.anchor(now)
		r := &stored.Record
		if r.Created.After(now) || r.UnprovenSince.After(now) || r.Tokens.Expires.After(now.Add(flow.AccessTokenMax)) || r.Identity.Said > now.UnixMilli() {
			t.Errorf("stored %s ahead: %+v, want nothing later than it can be at %s", ahead, r, now)
		}
		if wanted := min(0, ahead) == ahead; wanted && (r.Identity.Said != there.UnixMilli() || !r.Tokens.Expires.Round(0).Equal(there.Add(time.Hour))) {
			t.Errorf("stored %s ahead: %+v, want it as it was", ahead, r)
		}
	}
}
