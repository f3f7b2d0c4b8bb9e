package romm

import (
	"context"
	"errors"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/romm-oidc/caddy-romm-oidc/flow"
	"github.com/romm-oidc/caddy-romm-oidc/flow/keyring"
	"github.com/romm-oidc/caddy-romm-oidc/handler/problem"
)

const (
	testGate   = "0123456789abcdef"
	testIssuer = "https://auth.example.com"
)

// memory is a storage in memory that can stop taking writes after some.
type memory struct {
	values map[string][]byte
	writes int // that still succeed; below zero: all
}

var errFull = errors.New("no space left on device")

func newMemory() *memory { return &memory{values: map[string][]byte{}, writes: -1} }

func (m *memory) Lock(context.Context, string) error   { return nil }
func (m *memory) Unlock(context.Context, string) error { return nil }

func (m *memory) write() error {
	if m.writes == 0 {
		return errFull
	}
	m.writes--
	return nil
}

func (m *memory) Store(_ context.Context, key string, value []byte) error {
	if err := m.write(); err != nil {
		return err
	}
	m.values[key] = value
	return nil
}

func (m *memory) Load(_ context.Context, key string) ([]byte, error) {
	value, ok := m.values[key]
	if !ok {
		return nil, fs.ErrNotExist
	}
	return value, nil
}

func (m *memory) Delete(_ context.Context, key string) error {
	if err := m.write(); err != nil {
		return err
	}
	delete(m.values, key)
	return nil
}

func (m *memory) List(_ context.Context, path string, _ bool) ([]string, error) {
	keys := slices.DeleteFunc(slices.Sorted(maps.Keys(m.values)), func(key string) bool { return !strings.HasPrefix(key, path+"/") })
	if len(keys) == 0 {
		return nil, fs.ErrNotExist
	}
	return keys, nil
}

// linked returns links of Ada and Bob, and their storage.
func linked(t *testing.T) (*Links, *memory) {
	t.Helper()
	storage := newMemory()
	links := NewLinks(testGate, func() keyring.Storage { return storage })
	for _, link := range []Link{
		{Issuer: testIssuer, Subject: "ada-1", ID: 7, Username: "ada", Email: "ada@example.com"},
		{Issuer: testIssuer, Subject: "bob-1", ID: 8, Username: "bob", Email: "bob@example.com"},
	} {
		if err := links.pin(t.Context(), link); err != nil {
			t.Fatal(err)
		}
	}
	return links, storage
}

func identityOf(subject, email string) *flow.Identity {
	return &flow.Identity{Issuer: testIssuer, Subject: subject, Email: email}
}

// isTaken reports whether err is link_taken, whatever its cause.
func isTaken(err error) bool {
	problem, ok := errors.AsType[*problem.Problem](err)
	return ok && problem.Code == errLinkTaken.Code
}

func TestMoveLink(t *testing.T) {
	t.Parallel()
	for name, account := range map[string]string{"by e-mail address": "ADA@example.com", "by user name": "ada"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			links, _ := linked(t)
			moved, former, err := links.Move(t.Context(), account, "ada-2")
			if err != nil || moved.Subject != "ada-2" || moved.ID != 7 || len(former) != 1 || former[0].Subject != "ada-1" {
				t.Fatalf("Move = %+v, %+v, %v", moved, former, err)
			}
			for subject, want := range map[string]int{"ada-1": 0, "ada-2": 7, "bob-1": 8} {
				link, err := links.of(t.Context(), identityOf(subject, ""))
				if err != nil || (link == nil) != (want == 0) || link != nil && link.ID != want {
					t.Errorf("%s has %+v, %v", subject, link, err)
				}
			}
			byEmail, _ := links.ofEmail(t.Context(), "ada@example.com")
			byAccount, _ := links.ofAccount(t.Context(), 7)
			if byEmail == nil || *byEmail != moved || byAccount == nil || *byAccount != moved {
				t.Errorf("by e-mail address %+v, by account %+v", byEmail, byAccount)
			}
			// Whoever had it is a newcomer whose address is taken.
			if err := links.pin(t.Context(), former[0]); !isTaken(err) {
				t.Errorf("the former subject got it back: %v", err)
			}
			// Moving it where it is changes nothing.
			if again, former, err := links.Move(t.Context(), account, "ada-2"); again != moved || len(former) != 0 || err != nil {
				t.Errorf("Move = %+v, %+v, %v", again, former, err)
			}
		})
	}
}

func TestMoveLinkRefused(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		account, subject string
		want             error
		says             string
	}{
		"unknown account":        {"carol", "x", ErrLinkUnknown, "e-mail address"},
		"name in other case":     {"Ada", "x", ErrLinkUnknown, ""},
		"subject has an account": {"ada", "bob-1", ErrSubjectLinked, "bob@example.com"},
		"name of two":            {"twin", "x", ErrLinkAmbiguous, "e-mail address"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			links, storage := linked(t)
			for _, link := range []Link{
				{Issuer: testIssuer, Subject: "twin-1", ID: 9, Username: "twin", Email: "twin1@example.com"},
				{Issuer: testIssuer, Subject: "twin-2", ID: 10, Username: "twin", Email: "twin2@example.com"},
			} {
				if err := links.pin(t.Context(), link); err != nil {
					t.Fatal(err)
				}
			}
			before := maps.Clone(storage.values)
			if _, _, err := links.Move(t.Context(), c.account, c.subject); !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("Move: %v", err)
			}
			if !maps.EqualFunc(before, storage.values, slices.Equal[[]byte]) {
				t.Error("links changed")
			}
		})
	}
}

// A move that a full disk cut short, wherever, loses nobody's account, and is
// finished by moving again.
func TestMoveLinkInterrupted(t *testing.T) {
	t.Parallel()
	for writes := range 4 {
		links, storage := linked(t)
		storage.writes = writes
		if _, _, err := links.Move(t.Context(), "ada", "ada-2"); !errors.Is(err, errFull) {
			t.Fatalf("after %d writes: %v", writes, err)
		}
		storage.writes = -1
		if link, err := links.ofAccount(t.Context(), 7); link == nil || err != nil {
			t.Errorf("after %d writes the account has no link: %v", writes, err)
		}
		if moved, _, err := links.Move(t.Context(), "ada@example.com", "ada-2"); moved.Subject != "ada-2" || err != nil {
			t.Errorf("after %d writes: %+v, %v", writes, moved, err)
		}
		all, err := links.List(t.Context())
		if len(all) != 2 || err != nil || slices.ContainsFunc(all, func(l Link) bool { return l.Subject == "ada-1" }) {
			t.Errorf("after %d writes: %+v, %v", writes, all, err)
		}
	}
}

// A RomM account is one subject's, under whatever address RomM has it now. An
// account of the same number that RomM made at another time is another one.
func TestLinkedAccountIsTaken(t *testing.T) {
	t.Parallel()
	const then, later = "2026-01-02T15:04:05", "2026-02-02T15:04:05"
	for name, c := range map[string]struct {
		first, second string // when the account of each link was made
		taken         bool
	}{
		"the same":                {then, then, true},
		"made anew":               {then, later, false},
		"RomM does not say":       {"", "", true},
		"it did not say before":   {"", then, true},
		"it does not say anymore": {then, "", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			links, storage := linked(t)
			bob := Link{Issuer: testIssuer, Subject: "bob-1", ID: 8, Username: "bob", Email: "bob@example.com", Created: c.first}
			carol := Link{Issuer: testIssuer, Subject: "carol-1", ID: 8, Username: "bob", Email: "carol@example.com", Created: c.second}
			if err := links.pin(t.Context(), bob); err != nil {
				t.Fatal(err)
			}
			before := maps.Clone(storage.values)
			err := links.pin(t.Context(), carol)
			if c.taken {
				if !isTaken(err) || !maps.EqualFunc(before, storage.values, slices.Equal[[]byte]) {
					t.Errorf("%v, links %v", err, slices.Sorted(maps.Keys(storage.values)))
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			// Bob gets another account, which takes nothing from Carol's.
			bob.ID, bob.Created = 9, later
			if err := links.pin(t.Context(), bob); err != nil {
				t.Error(err)
			}
			if link, err := links.ofAccount(t.Context(), 8); err != nil || link == nil || *link != carol {
				t.Errorf("the account has %+v, %v", link, err)
			}
		})
	}
}

// Whom the operator may have to move the link to stands in the log.
func TestLinkTakenNamesBothSubjects(t *testing.T) {
	t.Parallel()
	links, _ := linked(t)
	_, err := New(Config{Links: links}).linkFor(t.Context(), identityOf("ada-2", "ada@example.com"))
	problem, ok := errors.AsType[*problem.Problem](err)
	if !ok || problem.Code != "link_taken" || !strings.Contains(problem.Cause.Error(), "ada-1") || !strings.Contains(problem.Cause.Error(), "ada-2") {
		t.Errorf("%v", err)
	}
}

func TestForgetLink(t *testing.T) {
	t.Parallel()
	links, storage := linked(t)
	if link, err := links.Forget(t.Context(), "Ada@example.com"); link == nil || link.Subject != "ada-1" || err != nil {
		t.Errorf("Forget = %+v, %v", link, err)
	}
	if link, err := links.Forget(t.Context(), "ada@example.com"); link != nil || err != nil {
		t.Errorf("Forget again = %+v, %v", link, err)
	}
	if len(storage.values) != 3 { // Bob's
		t.Errorf("left: %v", slices.Sorted(maps.Keys(storage.values)))
	}
}
