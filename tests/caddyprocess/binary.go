// Package caddyprocess runs Caddy with this module compiled in as a separate
// process, for tests that must not have it in their own.
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

// buildTags leave out database drivers that the tests do not use.
const buildTags = "nobadger,nomysql,nopgx"

// built is the folder of the binary, empty until the first call of Binary.
var built string

// Binary builds Caddy, once for all tests of a package, and returns its path. It
// builds in the root module, so that Caddy has the dependencies that users get and
// not those of the tests.
var Binary = sync.OnceValues(func() (string, error) {
	_, here, _, ok := runtime.Caller(0)
	if !ok {
		return "", fmt.Errorf("locating the root module: the binary has no source paths")
	}
	folder, err := os.MkdirTemp("", "romm_oidc-caddy-")
	if err != nil {
		return "", fmt.Errorf("creating a temporary folder: %w", err)
	}
	built = folder
	file := filepath.Join(folder, "caddy")
	root := filepath.Join(filepath.Dir(here), "..", "..")
	command := exec.CommandContext(context.Background(), "go", "build", "-C", root, "-tags", buildTags, "-o", file, "./tests/caddy") //nolint:gosec // constant arguments and our own paths
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
		_ = os.RemoveAll(built) // it is in the system's temporary folder; nothing depends on it
	}
	return code
}
