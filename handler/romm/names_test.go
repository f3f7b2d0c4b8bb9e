// Names that were another account's a moment ago.

package romm

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/flow/keyring"
	"github.com/romm-oidc/caddy-romm-oidc/flow/keyring/keyringtest"
	"github.com/romm-oidc/caddy-romm-oidc/handler/application"
)

// A name that an account gave up, here or at another node, goes to no other account
// for some seconds, and to the same account at once. One that it may be giving up goes
// to no other account for minutes. No sign-in waits for longer than 5 s.
func TestNamesRest(t *testing.T) {
	t.Parallel()
	bob := &account{ID: 2, Username: "bob", Created: "x"}
	named := func(name string) *account { return &account{ID: 2, Username: name, Created: "x"} }
	for name, c := range map[string]struct {
		before func(ctx context.Context, l *Links) // at another node
		wait   time.Duration
		free   bool
	}{
		"never had": {func(ctx context.Context, l *Links) {
			l.noteNames(ctx, bob, &Link{Username: "bob"})
		}, 0, true},
		"has it": {func(ctx context.Context, l *Links) { // then RomM refuses it
			l.noteNames(ctx, named("alice"), &Link{Username: "alice"})
		}, 0, true},
		"given up": {func(ctx context.Context, l *Links) {
			l.noteNames(ctx, bob, &Link{Username: "alice"})
		}, nameRest, true},
		"given up before the link knew it": {func(ctx context.Context, l *Links) {
			l.noteNames(ctx, named("Alice"), &Link{Username: "alice"})
			l.noteNames(ctx, bob, &Link{Username: "bob"})
		}, nameRest, true},
		"the answers came in the wrong order": {func(ctx context.Context, l *Links) {
			l.noteNames(ctx, bob, &Link{Username: "bob"})
			l.noteNames(ctx, named("alice"), &Link{Username: "bob"})
		}, nameRest, true},
		"given up a while ago": {func(ctx context.Context, l *Links) {
			l.noteNames(ctx, bob, &Link{Username: "alice"})
			time.Sleep(nameRest)
		}, 0, true},
		"may be given up": {func(ctx context.Context, l *Links) {
			l.noteUnsettled(ctx, named("alice"))
			time.Sleep(time.Minute)
		}, nameWait, false},
		"may be given up, long ago": {func(ctx context.Context, l *Links) {
			l.noteUnsettled(ctx, named("alice"))
			time.Sleep(unsettledFor + time.Second)
		}, 0, true},
		"given up again and again": {func(ctx context.Context, l *Links) {
			go func() {
				for range 10 {
					l.noteNames(ctx, named("alice"), nil)
					l.noteNames(ctx, bob, nil)
					time.Sleep(time.Second)
				}
			}()
			time.Sleep(time.Millisecond)
		}, nameWait, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				storage := keyringtest.New()
				here, there := NewLinks(testGate, func() keyring.Storage { return storage }), NewLinks(testGate, func() keyring.Storage { return storage })
				c.before(t.Context(), there)
				for which, links := range map[string]*Links{"the same node": there, "another node": here} {
					if free, err := links.awaitName(t.Context(), "alice", bob.key()); !free || err != nil {
						t.Errorf("at %s, the name is free for its former account: %v, %v, want true at once", which, free, err)
					}
				}
				began := time.Now()
				free, err := here.awaitName(t.Context(), "alice", "3 y")
				if waited := time.Since(began).Round(10 * time.Millisecond); free != c.free || err != nil || waited != c.wait {
					t.Errorf("the name is free: %v, %v, after %s, want %v after %s", free, err, waited, c.free, c.wait)
				}
				time.Sleep(time.Minute)
			})
		})
	}
}

// A user who renames themselves all the time fills neither memory nor storage.
func TestNamesAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := newNames()
		for i := range 3 * formerKept {
			n.renamed(&account{ID: i % 3, Username: time.Duration(i).String(), Created: "x"}, "", time.Now())
			if i%100 == 0 {
				time.Sleep(time.Millisecond)
			}
		}
		for id := range heldKept + 10 {
			n.renamed(&account{ID: id, Username: "x", Created: "x"}, "", time.Now())
		}
		if len(n.former) > formerKept || len(n.held) > heldKept {
			t.Errorf("%d former names and %d accounts are kept, want %d and %d at most", len(n.former), len(n.held), formerKept, heldKept)
		}
		time.Sleep(time.Hour)
		n.renamed(&account{ID: 1, Username: "late", Created: "x"}, "x", time.Now())
		if len(n.former) > 2 {
			t.Errorf("%d former names are kept after an hour, want those of the last rename", len(n.former))
		}
	})
}

// Each process that sees a rename stores a document. Those of processes that are gone
// do not stay: every sign-in reads all of them.
func TestNamesOfFormerProcessesAreRemoved(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		storage := keyringtest.New()
		node := func() *Links { return NewLinks(testGate, func() keyring.Storage { return storage }) }
		for range 10 {
			node().noteNames(t.Context(), &account{ID: 2, Username: "bob", Created: "x"}, &Link{Username: "alice"})
		}
		here := node()
		for _, left := range []int{10, 0} {
			if free, err := here.awaitName(t.Context(), "carol", ""); !free || err != nil {
				t.Errorf("a name is free: %v, %v, want true", free, err)
			}
			if len(storage.Keys("")) != left {
				t.Errorf("%d documents are stored, want %d", len(storage.Keys("")), left)
			}
			time.Sleep(namesKept)
		}
	})
}

// Bob, who has alice's name for a moment, makes his account larger than the gate reads
// before he gives the name back, which signs him out. The gate still learns that the
// name is not his any more: it refuses his tokens for it, and lets it rest.
func TestNameOfALargeAccount(t *testing.T) {
	t.Parallel()
	app := appOf(t, "5.2.0")
	link := Link{Issuer: testIssuer, Subject: "bob-1", ID: 2, Username: "alice", Email: "bob@example.com", Created: "2026-01-01T00:00:00", Role: "user"}
	if err := app.config.Links.pin(t.Context(), link); err != nil {
		t.Fatal(err)
	}
	signedOut := func(context.Context, application.Call) (*application.Answer, error) {
		return &application.Answer{Status: http.StatusUnauthorized, Header: http.Header{}}, nil
	}
	body := []byte(`{"id":2,"username":"bob","email":"bob@example.com","enabled":true,"role":"user","oauth_scopes":["me.read"],"ui_settings":{"a":"` + strings.Repeat("a", application.ResponseLimit))
	forwarded := application.Forwarded{Request: httptest.NewRequest(http.MethodPut, "/api/users/2", nil), Path: "/api/users/2", Client: fixedCaller(signedOut)}
	if !app.AfterResponse(t.Context(), forwarded, application.Response{Status: http.StatusOK, Body: body[:application.ResponseLimit]}) {
		t.Error("the response changed nothing, want a doubt")
	}
	now, err := app.config.Links.ofAccount(t.Context(), 2)
	if err != nil || now == nil || now.Username != "bob" {
		t.Errorf("the link is %+v, %v, want bob's name", now, err)
	}
	if since, _, err := app.config.Links.rests(t.Context(), "alice", "3 2026-01-02T00:00:00"); since.IsZero() || err != nil {
		t.Errorf("the name alice rests since %v, %v, want since now", since, err)
	}
	if shut, err := app.IsShut(t.Context(), "Bearer "+jwtUntil(time.Now().Add(time.Hour)), link.Account()); !shut || err != nil {
		t.Errorf("bob's token for the name alice is refused: %v, %v, want true", shut, err)
	}
}
