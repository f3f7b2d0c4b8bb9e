// Package caddyprocess runs Caddy with this module compiled in, as a process of its
// own, for tests that want nothing of it in their own process.
package caddyprocess

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
)

// buildTags leave out database drivers that nothing here uses.
const buildTags = "nobadger,nomysql,nopgx"

// built is the folder of the binary, empty as long as nobody asked for one.
var built string

// Binary builds Caddy in the root module, once for all tests of a package, so
// that its dependencies are those that users get, whatever the tests need
// besides. It returns the file.
var Binary = sync.OnceValues(func() (string, error) {
	_, here, _, ok := runtime.Caller(0)
	if !ok {
		return "", fmt.Errorf("looking for the root module: no source path")
	}
	folder, err := os.MkdirTemp("", "romm_oidc-caddy-")
	if err != nil {
		return "", fmt.Errorf("making a folder: %w", err)
	}
	built = folder
	file := filepath.Join(folder, "caddy")
	root := filepath.Join(filepath.Dir(here), "..", "..")
	command := exec.CommandContext(context.Background(), "go", "build", "-C", root, "-tags", buildTags, "-o", file, "./tests/caddy") //nolint:gosec // the paths are our own
	if output, err := command.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building Caddy: %w: %s", err, output)
	}
	return file, nil
})

// Main runs the tests of a package that uses Start, and removes the binary
// afterwards. It returns the exit code.
func Main(m *testing.M) int {
	code := m.Run()
	if built != "" {
		_ = os.RemoveAll(built) // a file of the system's temporary folder; nothing depends on it
	}
	return code
}
