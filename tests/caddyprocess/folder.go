// A folder for the storage of a Caddy that may run longer than its test.

package caddyprocess

import (
	"os"
	"testing"
	"time"
)

// Folder returns a temporary folder that is removed after the test. Unlike
// t.TempDir, it allows for files that appear during the removal: work beside the requests
// may still be under way.
func Folder(t *testing.T) string {
	t.Helper()
	folder, err := os.MkdirTemp("", "romm_oidc") //nolint:usetesting // see above
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for deadline := time.Now().Add(5 * time.Second); os.RemoveAll(folder) != nil && time.Now().Before(deadline); {
			time.Sleep(20 * time.Millisecond)
		}
	})
	return folder
}
