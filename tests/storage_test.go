// Storage that is read-only, and documents in it that cannot be used.

package tests

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/certmagic"

	"github.com/romm-oidc/caddy-romm-oidc/handler/admin"
	"github.com/romm-oidc/caddy-romm-oidc/tests/authelia"
)

func init() { caddy.RegisterModule(new(fillableStorage)) }

// fillableStorage is Caddy's storage of files on a disk that can be full.
type fillableStorage struct{ certmagic.FileStorage }

var diskFull atomic.Bool

// CaddyModule implements caddy.Module.
func (*fillableStorage) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "caddy.storage.fillable", New: func() caddy.Module { return new(fillableStorage) }}
}

// UnmarshalCaddyfile implements caddyfile.Unmarshaler.
func (f *fillableStorage) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next()
	if !d.AllArgs(&f.Path) {
		return d.ArgErr()
	}
	return nil
}

// CertMagicStorage implements caddy.StorageConverter.
func (f *fillableStorage) CertMagicStorage() (certmagic.Storage, error) {
	return f, nil
}

// Store implements certmagic.Storage.
func (f *fillableStorage) Store(ctx context.Context, key string, value []byte) error {
	if diskFull.Load() {
		return errors.New("no space left on device")
	}
	return f.FileStorage.Store(ctx, key, value)
}

// The disk is full: it takes locks but cannot be written. A refresh would use up the
// refresh token and lose its successor, so the gate asks for none. Users play
// on, and the operator is told. When there is space again, all works.
func TestFullDiskUsesUpNoTokens(t *testing.T) {
	t.Cleanup(func() { diskFull.Store(false) })
	o := options{
		directive: rolesByMail + recheckSoon + refreshingScopes, authelia: refreshing, global: "storage fillable " + t.TempDir(),
	}
	s := start(t, o)
	alice := s.as("alice")
	away := func(want string) func() bool {
		return func() bool {
			alice.fetch("/api/users/me") // a gate in use looks after its storage
			return strings.Contains(s.browser().do("http://localhost:2999/metrics").body, "caddy_romm_oidc_storage_away "+want)
		}
	}
	if !away("0")() {
		t.Error("the metrics say that storage is away, want that it is not")
	}
	diskFull.Store(true)
	s.authelia.ExpireAccessTokens()
	s.authelia.ForgetRequests()
	for deadline := time.Now().Add(3 * time.Second); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if answer := alice.fetch("/api/users/me"); answer.StatusCode != http.StatusOK {
			t.Fatalf("/api/users/me on a full disk answered %d, want 200", answer.StatusCode)
		}
	}
	if n := s.authelia.Calls(authelia.EndpointToken); n != 0 {
		t.Errorf("Authelia got %d refresh requests, want none before their result can be stored", n)
	}
	if !away("1")() {
		t.Error("the metrics say that storage is not away, want that it is")
	}
	if output, code := s.command("status"); code != 1 || !strings.Contains(output, "no space left on device") {
		t.Errorf("status exited with %d, want 1 and the reason: %s", code, output)
	}
	diskFull.Store(false)
	eventually(t, away("0"))
	// A new Caddy does not wait until the pause after the failed checks is over.
	s.unload()
	s.load(o)
	for n := range 2 { // the second one needs the token that the first one brought
		eventually(t, func() bool { alice.fetch("/api/users/me"); return s.authelia.Calls(authelia.EndpointToken) > n })
		s.authelia.ExpireAccessTokens()
	}
	if answer := alice.open("/"); answer.StatusCode != http.StatusOK {
		t.Errorf("a navigation after the refreshes answered %d, want 200 with a living token family", answer.StatusCode)
	}
}

// document returns the path of a document of the gate.
func (s *stack) document(name string) string {
	s.t.Helper()
	files, err := filepath.Glob(filepath.Join(s.storage, "romm_oidc", "*", name))
	if err != nil || len(files) != 1 {
		s.t.Fatalf("the storage has %v as %s, want one file; error: %v", files, name, err)
	}
	return files[0]
}

// A crash or a full disk left a document empty, cut off or full of zeros. It is
// put aside and made anew, and users sign in again.
func TestDocumentsCutOffAreMadeAnew(t *testing.T) {
	for _, name := range []string{"keyring.json", "signing_keys.json"} {
		for label, content := range map[string]string{"empty": "", "cut off": `{"version":1,`, "zeros": "\x00\x00\x00"} {
			t.Run(name+" "+label, func(t *testing.T) {
				p := launch(t, users)
				p.Run()
				alice := p.as("alice")
				p.Kill()
				file := p.document(name)
				if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
					t.Fatal(err)
				}
				p.Run()
				p.as("bob")
				if got, want := alice.in(), name == "signing_keys.json"; got != want {
					t.Errorf("alice is signed in: %v, want %v", got, want)
				}
				aside, err := filepath.Glob(file + ".broken-*")
				if err != nil || len(aside) != 1 {
					t.Fatalf("put aside: %v, %v, want one copy", aside, err)
				}
				if kept, err := os.ReadFile(aside[0]); err != nil || string(kept) != content {
					t.Errorf("the copy is %q, %v, want %q", kept, err, content)
				}
				eventually(t, func() bool { return len(p.Logged(filepath.Base(aside[0]))) > 0 })
			})
		}
	}
}

// A document that is JSON but cannot be used is left alone. Status fails, and it
// and the log name the file and what to do.
func TestUnusableDocumentsAreNamed(t *testing.T) {
	for label, row := range map[string]struct{ name, content, remedy string }{
		"a keyring without secrets":            {"keyring.json", `{}`, "restore it from a backup"},
		"a keyring with a short secret":        {"keyring.json", `{"version":1,"secrets":["AAAA"],"times":[{}]}`, "restore it from a backup"},
		"a keyring of a later version":         {"keyring.json", `{"version":9,"ring":[]}`, "update this Caddy"},
		"signing keys of a later version":      {"signing_keys.json", `{"version":9,"keys":{}}`, "update this Caddy"},
		"signing keys that are something else": {"signing_keys.json", `[1]`, "delete it"},
	} {
		t.Run(label, func(t *testing.T) {
			s := start(t, options{directive: rolesByMail})
			s.as("alice")
			s.unload()
			file := s.document(row.name)
			if err := os.WriteFile(file, []byte(row.content), 0o600); err != nil {
				t.Fatal(err)
			}
			s.load(options{directive: rolesByMail})
			if answer := s.browser().open("/"); row.name == "keyring.json" && answer.StatusCode != http.StatusServiceUnavailable {
				t.Errorf("a navigation answered %d, want 503", answer.StatusCode)
			}
			output, code := s.command("status")
			if code != 1 || !strings.Contains(output, "romm_oidc/"+filepath.Base(filepath.Dir(file))+"/"+row.name) || !strings.Contains(output, row.remedy) {
				t.Errorf("status exited with %d, want 1, the file and %q: %s", code, row.remedy, output)
			}
			if all := managed[admin.Status](s, admin.StatusPath); len(all) != 1 || all[0].KeysError == "" {
				t.Errorf("the admin API's status is %+v, want a keys_error", all)
			}
			if kept, err := os.ReadFile(file); err != nil || string(kept) != row.content {
				t.Errorf("the document is %q, %v, want it unchanged", kept, err)
			}
			if row.name == "signing_keys.json" && row.remedy == "delete it" { // the remedy works
				if err := os.Remove(file); err != nil {
					t.Fatal(err)
				}
				s.as("bob")
			}
		})
	}
}
