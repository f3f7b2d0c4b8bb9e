// The commands and tests that README.md and SECURITY.md name.

package tests

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/romm-oidc/caddy-romm-oidc/tests/caddyprocess"
)

// Every command that README.md names exists.
func TestDocumentedCommands(t *testing.T) {
	file, err := caddyprocess.Binary()
	if err != nil {
		t.Fatal(err)
	}
	document, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile("(?:caddy romm-oidc|^\\|) `?(status|(?:sessions|links|keys) [a-z-]+)")
	found := map[string]bool{}
	for line := range strings.Lines(string(document)) {
		if match := named.FindStringSubmatch(line); match != nil {
			found[match[1]] = true
		}
	}
	if len(found) != 10 {
		t.Errorf("README.md names the commands %v, want 10", found)
	}
	for command := range found {
		output, err := exec.CommandContext(t.Context(), file, append(strings.Fields("romm-oidc "+command), "--help")...).CombinedOutput()
		if err != nil || !strings.Contains(string(output), "caddy romm-oidc "+command) {
			t.Errorf("%s --help: error %v, want none and its usage: %s", command, err, output)
		}
	}
}

// Every test that SECURITY.md names exists.
func TestSecurityNamesTests(t *testing.T) {
	document, err := os.ReadFile("../SECURITY.md")
	if err != nil {
		t.Fatal(err)
	}
	sources := testSources(t)
	names := regexp.MustCompile("`((?:Test|Fuzz)[A-Za-z0-9]+)`").FindAllStringSubmatch(string(document), -1)
	if len(names) < 30 {
		t.Errorf("SECURITY.md names %d tests, want 30 or more", len(names))
	}
	for _, name := range names {
		if !strings.Contains(sources, "func "+name[1]+"(") {
			t.Errorf("SECURITY.md names %s, which does not exist", name[1])
		}
	}
}

// testSources is the text of all tests.
func testSources(t *testing.T) string {
	t.Helper()
	var sources strings.Builder
	err := filepath.WalkDir("..", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		content, err := os.ReadFile(path)
		sources.Write(content)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return sources.String()
}
