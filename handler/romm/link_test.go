// Links between users and RomM accounts.

package romm

import (
	"context"
	"errors"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/romm-oidc/caddy-romm-oidc/flow"
	"github.com/romm-oidc/caddy-romm-oidc/flow/keyring"
	"github.com/romm-oidc/caddy-romm-oidc/handler/problem"
)

const (
	testGate   = "0123456789abcdef"
	testIssuer = "https://auth.example.com"
)

// memory is a storage in memory that can run full.
type memory struct {
	mu     sync.Mutex
	values map[string][]byte
	writes int // how many more writes succeed; negative: all
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
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.write(); err != nil {
		return err
	}
	m.values[key] = value
	return nil
}

func (m *memory) Load(_ context.Context, key string) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	value, ok := m.values[key]
	if !ok {
		return nil, fs.ErrNotExist
	}
	return value, nil
}

func (m *memory) Delete(_ context.Context, key string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.write(); err != nil {
		return err
	}
	delete(m.values, key)
	return nil
}

func (m *memory) List(_ context.Context, path string, _ bool) ([]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	keys := slices.DeleteFunc(slices.Sorted(maps.Keys(m.values)), func(key string) bool { return !strings.HasPrefix(key, path+"/") })
	if len(keys) == 0 {
		return nil, fs.ErrNotExist
	}
	return keys, nil
}

// linked returns the links of Ada and Bob, and their storage.
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

// isTaken reports whether err is link_taken, with any cause.
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
					t.Errorf("the subject %s has the link %+v, %v, want one to account %d (0: none)", subject, link, err, want)
				}
			}
			if byAccount, _ := links.ofAccount(t.Context(), 7); byAccount == nil || *byAccount != moved {
				t.Errorf("the link is %+v by account, want %+v", byAccount, moved)
			}
			// The former subject is a new user with an address that is taken.
			if err := links.pin(t.Context(), former[0]); !isTaken(err) {
				t.Errorf("pinning the former subject again = %v, want link_taken", err)
			}
			// Moving the link to where it is changes nothing.
			if again, former, err := links.Move(t.Context(), account, "ada-2"); again != moved || len(former) != 0 || err != nil {
				t.Errorf("Move to the same subject = %+v, %+v, %v, want no change", again, former, err)
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
		"name in another case":   {"Ada", "x", ErrLinkUnknown, ""},
		"subject has an account": {"ada", "bob-1", ErrSubjectLinked, "bob@example.com"},
		"name of two accounts":   {"twin", "x", ErrLinkAmbiguous, "e-mail address"},
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
				t.Errorf("Move = %v, want %v with %q", err, c.want, c.says)
			}
			if !maps.EqualFunc(before, storage.values, slices.Equal[[]byte]) {
				t.Error("the refused move changed the stored links, want them untouched")
			}
		})
	}
}

// A move that a full disk interrupts at any point loses no account, and moving
// again completes it.
func TestMoveLinkInterrupted(t *testing.T) {
	t.Parallel()
	for writes := range 3 {
		links, storage := linked(t)
		storage.writes = writes
		if _, _, err := links.Move(t.Context(), "ada", "ada-2"); !errors.Is(err, errFull) {
			t.Fatalf("Move with room for %d writes = %v, want %v", writes, err, errFull)
		}
		storage.writes = -1
		if link, err := links.ofAccount(t.Context(), 7); link == nil || err != nil {
			t.Errorf("after %d writes the account has no link (%v), want one", writes, err)
		}
		if moved, _, err := links.Move(t.Context(), "ada@example.com", "ada-2"); moved.Subject != "ada-2" || err != nil {
			t.Errorf("moving again after %d writes = %+v, %v, want subject ada-2", writes, moved, err)
		}
		all, err := links.List(t.Context())
		if len(all) != 2 || err != nil || slices.ContainsFunc(all, func(l Link) bool { return l.Subject == "ada-1" }) {
			t.Errorf("after %d writes and a second move the links are %+v, %v, want two without ada-1", writes, all, err)
		}
	}
}

// A RomM account belongs to one subject, whatever its address is now. An account
// with the same ID that RomM created at another time is another account.
func TestLinkedAccountIsTaken(t *testing.T) {
	t.Parallel()
	const then, later = "2026-01-02T15:04:05", "2026-02-02T15:04:05"
	for name, c := range map[string]struct {
		first, second string // when RomM created the account of each link
		taken         bool
	}{
		"same time":                  {then, then, true},
		"recreated":                  {then, later, false},
		"time not reported":          {"", "", true},
		"time not reported at first": {"", then, true},
		"time no longer reported":    {then, "", true},
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
					t.Errorf("pinning carol = %v with links %v, want link_taken and the links unchanged", err, slices.Sorted(maps.Keys(storage.values)))
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			// Bob gets another account, which leaves Carol's link alone.
			bob.ID, bob.Created = 9, later
			if err := links.pin(t.Context(), bob); err != nil {
				t.Errorf("pinning bob to another account = %v, want no error", err)
			}
			if link, err := links.ofAccount(t.Context(), 8); err != nil || link == nil || *link != carol {
				t.Errorf("account 8 has the link %+v, %v, want carol's", link, err)
			}
		})
	}
}

// The log names both subjects, which the operator needs to move the link.
func TestLinkTakenNamesBothSubjects(t *testing.T) {
	t.Parallel()
	links, _ := linked(t)
	err := links.pin(t.Context(), Link{Issuer: testIssuer, Subject: "ada-2", ID: 7, Username: "ada", Email: "ada@example.com"})
	problem, ok := errors.AsType[*problem.Problem](err)
	if !ok || problem.Code != "link_taken" || !strings.Contains(problem.Cause.Error(), "ada-1") || !strings.Contains(problem.Cause.Error(), "ada-2") {
		t.Errorf("pin = %v, want link_taken with both subjects in the cause", err)
	}
}

func TestForgetLink(t *testing.T) {
	t.Parallel()
	for _, account := range []string{"Ada@example.com", "ada"} {
		links, storage := linked(t)
		if forgotten, err := links.Forget(t.Context(), account); len(forgotten) != 1 || forgotten[0].Subject != "ada-1" || err != nil {
			t.Errorf("Forget(%s) = %+v, %v, want the link of ada-1", account, forgotten, err)
		}
		if forgotten, err := links.Forget(t.Context(), account); len(forgotten) != 0 || !errors.Is(err, ErrLinkUnknown) {
			t.Errorf("Forget(%s) of a forgotten link = %+v, %v, want ErrLinkUnknown", account, forgotten, err)
		}
		if shut, err := links.isShut(t.Context(), &Link{ID: 7}); len(storage.values) != 3 || !shut || err != nil {
			t.Errorf("storage has %v, want bob's two keys, and that ada's account is shut", slices.Sorted(maps.Keys(storage.values)))
		}
	}
}
