package session

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/caddyserver/certmagic"

	"github.com/romm-oidc/caddy-romm-oidc/flow/keyring"
)

// The storage that most will have: certmagic's directory of files. Two nodes
// over one directory, one after the other is dead.
func TestFileStorage(t *testing.T) {
	dir := t.TempDir()
	node := func() *Store { return newTestStore(&certmagic.FileStorage{Path: dir}) }
	a := node()
	if entries, err := a.List(t.Context()); len(entries) != 0 || err != nil {
		t.Fatalf("List of nothing = %v, %v", entries, err)
	}
	if err := poll(t.Context(), a); err != nil || a.Away() {
		t.Fatalf("poll of nothing: %v, away %v", err, a.Away())
	}
	ada, session := create(t, a, "ada")
	bob, _ := create(t, a, "bob")
	if err := a.Update(t.Context(), session, func(r *Record) { r.Tokens.Refresh = "rotated" }); err != nil {
		t.Fatal(err)
	}
	session.written.Store(0)
	mustOpen(t, a, ada)
	if err := a.writeLastUse(t.Context()); err != nil {
		t.Fatal(err)
	}

	b := node()
	there := mustOpen(t, b, ada)
	if there.Record().Tokens.Refresh != "rotated" {
		t.Errorf("b has %q", there.Record().Tokens.Refresh)
	}
	if entries, err := b.List(t.Context()); len(entries) != 2 || err != nil {
		t.Fatalf("List = %v, %v", entries, err)
	}
	if err := b.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n, err := a.EndUser(t.Context(), UserKey("https://auth.example.com", "sub-ada"), "sign_out"); n != 1 || err != nil {
		t.Fatalf("EndUser = %d, %v", n, err)
	}
	if err := poll(t.Context(), b); err != nil || !there.Ended() || there.endReason() != "sign_out" {
		t.Errorf("poll: %v, ended %v, reason %q", err, there.Ended(), there.endReason())
	}
	mustNot(t, b, ada)
	mustNot(t, node(), ada)
	mustOpen(t, node(), bob)
	if n, err := a.EndAll(t.Context(), "all"); n != 1 || err != nil {
		t.Errorf("EndAll = %d, %v", n, err)
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
		t.Errorf("files left: %q, %v", left, err)
	}
}
