// Links between users and RomM accounts.

package romm

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/romm-oidc/caddy-romm-oidc/flow"
	"github.com/romm-oidc/caddy-romm-oidc/flow/keyring"
	"github.com/romm-oidc/caddy-romm-oidc/flow/keyring/keyringtest"
	"github.com/romm-oidc/caddy-romm-oidc/handler/problem"
)

const (
	testGate   = "0123456789abcdef"
	testIssuer = "https://auth.example.com"
)

var errFull = errors.New("no space left on device")

// same reports whether two storages have the same values.
func same(a, b *keyringtest.Storage) bool {
	keys := a.Keys("")
	return slices.Equal(keys, b.Keys("")) && !slices.ContainsFunc(keys, func(key string) bool { return !bytes.Equal(a.Value(key), b.Value(key)) })
}

// linked returns the links of Ada and Bob, and their storage.
func linked(t *testing.T) (*Links, *keyringtest.Storage) {
	t.Helper()
	storage := keyringtest.New()
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
			before := storage.Clone()
			if _, _, err := links.Move(t.Context(), c.account, c.subject); !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("Move = %v, want %v with %q", err, c.want, c.says)
			}
			if !same(before, storage) {
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
		left := writes
		storage.Before(func(_ context.Context, method, _ string) error {
			if method != "Store" && method != "Delete" {
				return nil
			}
			if left--; left < 0 {
				return errFull
			}
			return nil
		})
		if _, _, err := links.Move(t.Context(), "ada", "ada-2"); !errors.Is(err, errFull) {
			t.Fatalf("Move with room for %d writes = %v, want %v", writes, err, errFull)
		}
		storage.Before(nil)
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
			before := storage.Clone()
			err := links.pin(t.Context(), carol)
			if c.taken {
				if !isTaken(err) || !same(before, storage) {
					t.Errorf("pinning carol = %v with links %v, want link_taken and the links unchanged", err, storage.Keys(""))
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
		if shut, err := links.isShut(t.Context(), &Link{ID: 7}); len(storage.Keys("")) != 3 || !shut || err != nil {
			t.Errorf("storage has %v, want bob's two keys, and that ada's account is shut", storage.Keys(""))
		}
	}
}
