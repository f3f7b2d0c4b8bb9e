// Links in storage: their layout, writes and locks.

package romm

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/flow/keyring"
	"github.com/romm-oidc/caddy-romm-oidc/flow/keyring/keyringtest"
)

// Links of the former layout, which has an index by e-mail address and keeps in
// the link itself that the account is shut, are read without loss.
func TestFormerLinks(t *testing.T) {
	t.Parallel()
	storage := keyringtest.New()
	links := NewLinks(testGate, func() keyring.Storage { return storage })
	const created = "2026-01-02T15:04:05"
	ada := Link{Issuer: testIssuer, Subject: "ada-1", ID: 7, Username: "ada", Email: "ada@example.com", Created: created}
	document := []byte(`{"iss":"` + testIssuer + `","sub":"ada-1","romm_id":7,"username":"ada","email":"ada@example.com","romm_created":"` + created + `","shut":true}`)
	for _, path := range []string{links.path("email", "ada@example.com"), links.accountPath(7), links.subjectPath(&ada)} {
		storage.Put(path, document)
	}
	shut := ada
	shut.Shut = true
	if all, err := links.List(t.Context()); err != nil || len(all) != 1 || all[0] != shut {
		t.Errorf("List = %+v, %v, want ada's shut link", all, err)
	}
	app := New(Config{Links: links})
	user := &account{ID: 7, Username: "ada", Email: "new@example.com", Created: created + "Z", Role: "user"}
	for name, change := range map[string]func() error{
		"nothing":         func() error { return nil },
		"profile changed": func() error { return links.refresh(t.Context(), user) },
		"moved":           func() error { _, _, err := links.Move(t.Context(), "ada", "ada-2"); return err },
		"forgotten":       func() error { _, err := links.Forget(t.Context(), "ada"); return err },
	} {
		before := storage.Clone()
		if err := change(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if is, err := app.isShut(t.Context(), user); !is || err != nil {
			t.Errorf("%s: shut = %v, %v, want true", name, is, err)
		}
		storage = before
	}
	if err := links.pin(t.Context(), ada); err != nil {
		t.Fatal(err)
	}
	if err := app.Open(t.Context(), *identityOf("ada-1", "")); err != nil {
		t.Fatal(err)
	}
	if is, err := app.isShut(t.Context(), user); is || err != nil {
		t.Errorf("after the next sign-in shut = %v, %v, want false", is, err)
	}
}

// A first sign-in costs two writes, and one that changes nothing costs none.
func TestLinkWrites(t *testing.T) {
	t.Parallel()
	storage := keyringtest.New()
	links := NewLinks(testGate, func() keyring.Storage { return storage })
	for _, want := range []int{2, 0} {
		before := storage.Calls("Store", "Delete")
		err := links.pin(t.Context(), Link{Issuer: testIssuer, Subject: "ada-1", ID: 7, Username: "ada"})
		if writes := storage.Calls("Store", "Delete") - before; err != nil || writes != want {
			t.Errorf("pin = %v with %d writes, want %d", err, writes, want)
		}
	}
}

// One user's flood of profile changes holds up no other user's sign-in, and a
// storage that never answers holds up nothing for ever.
func TestLinkLocks(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		links, _ := linked(t)
		unlock, err := links.lock(t.Context(), 7)
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		if err := links.refresh(t.Context(), &account{ID: 8, Username: "robert"}); err != nil || time.Since(began) != 0 {
			t.Errorf("refreshing bob's link took %v, %v, want no wait for ada's", time.Since(began), err)
		}
		if err := links.refresh(t.Context(), &account{ID: 7, Username: "ada2"}); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != lockTimeout {
			t.Errorf("refreshing ada's link took %v, %v, want an error after %v", time.Since(began), err, lockTimeout)
		}
		unlock()
		if err := links.refresh(t.Context(), &account{ID: 7, Username: "ada2"}); err != nil {
			t.Errorf("refreshing ada's link after the unlock: %v, want success", err)
		}
	})
}

// Two sign-ins of one user at the same moment, of which one has older claims, read the
// link before the other one writes it. The older claims, written last, do not bring the
// lost role back.
func TestOlderClaimsWrittenLast(t *testing.T) {
	t.Parallel()
	links := appOf(t, "").config.Links
	link := Link{Issuer: "i", Subject: "s", ID: 2, Username: "bob", Email: "bob@example.com", Created: "x"}
	newer, older := link, link
	newer.Claimed, older.Claimed = claimed{RoleUser, 2}, claimed{RoleAdmin, 1}
	for _, written := range []Link{newer, older} {
		if err := links.pin(t.Context(), written); err != nil {
			t.Fatal(err)
		}
	}
	if now, err := links.ofAccount(t.Context(), 2); err != nil || now.Claimed != newer.Claimed {
		t.Errorf("the link has the claims %+v, %v, want %+v", now.Claimed, err, newer.Claimed)
	}
}

// A sign-in waits for the operator's trust in an account that is renamed then. The
// operator trusts it by the name that it has, though another one has the former name.
func TestTrustOfARenamedAccount(t *testing.T) {
	t.Parallel()
	links := appOf(t, "").config.Links
	waiting := Link{Issuer: "i", Subject: "s", ID: 2, Username: "mallory", Email: "alice@example.com", Created: "x"}
	if err := links.wait(t.Context(), waiting); err != nil {
		t.Fatal(err)
	}
	if err := links.refreshWaiting(t.Context(), &account{ID: 2, Username: "alice", Email: "alice@example.com", Created: "x"}); err != nil {
		t.Fatal(err)
	}
	if err := links.pin(t.Context(), Link{Issuer: "i", Subject: "other", ID: 3, Username: "mallory", Email: "m@example.com", Created: "y"}); err != nil {
		t.Fatal(err)
	}
	if trusted, err := links.Trust(t.Context(), "mallory"); err != nil || trusted.ID != 3 {
		t.Errorf("Trust(mallory) = %v, %v, want account 3", &trusted, err)
	}
	if trusted, err := links.Trust(t.Context(), "alice"); err != nil || trusted.ID != 2 {
		t.Errorf("Trust(alice) = %v, %v, want account 2", &trusted, err)
	}
}
