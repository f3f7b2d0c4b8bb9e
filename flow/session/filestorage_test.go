// A session's life on certmagic's file storage.

package session

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/caddyserver/certmagic"

	"github.com/romm-oidc/caddy-romm-oidc/flow/keyring"
)

// Most operators use certmagic's file storage, the default. Two nodes share a
// directory here, and a third opens it after a restart.
func TestFileStorage(t *testing.T) {
	dir := t.TempDir()
	node := func() *Store { return newTestStore(&certmagic.FileStorage{Path: dir}) }
	a := node()
	if entries, err := a.List(t.Context()); len(entries) != 0 || err != nil {
		t.Fatalf("List of an empty storage = %v, %v, want no entries", entries, err)
	}
	if err := poll(t.Context(), a); err != nil || a.Away() {
		t.Fatalf("poll of an empty storage: %v, away %v, want nil, false", err, a.Away())
	}
	ada, session := create(t, a, "ada")
	bob, _ := create(t, a, "bob")
	if err := a.Update(t.Context(), session, func(r *Record) { r.Tokens.Refresh = "rotated" }); err != nil {
		t.Fatal(err)
	}
	session.written.Store(0)
	mustOpen(t, a, ada)
	if err := a.writeLastUses(t.Context()); err != nil {
		t.Fatal(err)
	}

	b := node()
	there := mustOpen(t, b, ada)
	if there.Record().Tokens.Refresh != "rotated" {
		t.Errorf("the other node has refresh token %q, want %q", there.Record().Tokens.Refresh, "rotated")
	}
	if entries, err := b.List(t.Context()); len(entries) != 2 || err != nil {
		t.Fatalf("List = %v, %v, want two entries", entries, err)
	}
	if err := b.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n, err := a.EndUser(t.Context(), UserKey("https://auth.example.com", "sub-ada"), "sign_out"); n != 1 || err != nil {
		t.Fatalf("EndUser = %d, %v, want 1", n, err)
	}
	if err := poll(t.Context(), b); err != nil || !there.Ended() || there.endReason() != "sign_out" {
		t.Errorf("after poll (%v): ended %v with reason %q, want true with %q", err, there.Ended(), there.endReason(), "sign_out")
	}
	mustNot(t, b, ada)
	mustNot(t, node(), ada)
	mustOpen(t, node(), bob)
	if n, err := a.EndAll(t.Context(), "all"); n != 1 || err != nil {
		t.Errorf("EndAll = %d, %v, want 1", n, err)
	}
	mustNot(t, node(), bob)

	var left []string
	err := filepath.WalkDir(filepath.Join(dir, keyring.StoragePrefix(testGate)), func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			left = append(left, path)
		}
		return err
	})
	if err != nil || len(left) != 4 { // the keyring, the sweep's marker, two tombstones
		t.Errorf("files left: %q, %v, want the keyring, the sweep's marker and two tombstones", left, err)
	}
}
