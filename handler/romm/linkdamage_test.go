// Damaged links: they stop their own user only, and the error says what to do.

package romm

import (
	"strings"
	"testing"

	"github.com/romm-oidc/caddy-romm-oidc/flow"
)

func TestDamagedLinkStopsNoOtherUser(t *testing.T) {
	t.Parallel()
	for name, document := range map[string]string{"empty": "", "cut off": `{"iss":`, "zeros": "\x00\x00", "something else": `[1]`} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			links, storage := linked(t)
			ada, bob := Link{Issuer: testIssuer, Subject: "ada-1"}, &flow.Identity{Issuer: testIssuer, Subject: "bob-1"}
			path := links.subjectPath(&ada)
			storage.Put(path, []byte(document))
			if link, err := links.of(t.Context(), bob); err != nil || link == nil || link.ID != 8 {
				t.Errorf("bob's link is %+v, %v, want the one to account 8", link, err)
			}
			_, err := links.of(t.Context(), &flow.Identity{Issuer: testIssuer, Subject: "ada-1"})
			if err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "delete it") {
				t.Errorf("ada's link: %v, want an error with the file and the remedy", err)
			}
			if all, err := links.List(t.Context()); err != nil || len(all) != 2 {
				t.Errorf("List = %+v, %v, want both accounts", all, err)
			}
			storage.Put(links.accountPath(7), []byte(document))
			if all, err := links.List(t.Context()); err != nil || len(all) != 1 || all[0].ID != 8 {
				t.Errorf("List = %+v, %v, want bob's link", all, err)
			}
			if _, _, err := links.Move(t.Context(), "bob", "bob-2"); err != nil {
				t.Errorf("Move of bob's account: %v, want no error", err)
			}
		})
	}
}

// A mark that an account is shut counts by its existence, whatever became of its
// content: the account stays shut, its owner can sign in again, and no other user
// is hindered.
func TestDamagedShutMark(t *testing.T) {
	t.Parallel()
	for name, document := range map[string]string{"empty": "", "cut off": `{"iss":`, "zeros": "\x00\x00", "something else": `[1]`} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			links, storage := linked(t)
			app := New(Config{Links: links, Release: NewReleaseCache()})
			ada, err := links.ofAccount(t.Context(), 7)
			if err != nil || ada == nil {
				t.Fatal(err)
			}
			identity := flow.Identity{Issuer: ada.Issuer, Subject: ada.Subject}
			if err := app.Shut(t.Context(), identity); err != nil {
				t.Fatal(err)
			}
			storage.Put(links.shutPath(ada), []byte(document))
			if shut, err := links.isShut(t.Context(), ada); !shut || err != nil {
				t.Errorf("the account is shut: %v, %v, want true", shut, err)
			}
			if err := app.Shut(t.Context(), identity); err != nil {
				t.Errorf("Shut again: %v", err)
			}
			if all, err := links.List(t.Context()); err != nil || len(all) != 2 {
				t.Errorf("List = %+v, %v, want both accounts", all, err)
			}
			if err := app.Open(t.Context(), identity); err != nil {
				t.Errorf("Open: %v", err)
			}
			if shut, err := links.isShut(t.Context(), ada); shut || err != nil {
				t.Errorf("after a sign-in the account is shut: %v, %v, want false", shut, err)
			}
		})
	}
}
