// What the documentation names exists, and what exists is documented: commands,
// the admin API, imports, tests.

package tests

import (
	"errors"
	"go/build"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/romm-oidc/caddy-romm-oidc/handler/admin"
	"github.com/romm-oidc/caddy-romm-oidc/tests/caddyprocess"
)

// README.md's table names the commands that exist, and no others. The help of
// romm-oidc names them too.
func TestDocumentedCommands(t *testing.T) {
	document := manual(t)
	named := regexp.MustCompile("(?m)^\\| `((?:setup|doctor|status)|(?:sessions|links|keys) [a-z-]+)")
	matches := named.FindAllStringSubmatch(document, -1)
	documented := make([]string, 0, len(matches))
	for _, match := range matches {
		documented = append(documented, match[1])
	}
	var existing []string
	for _, name := range subcommands(t) {
		if below := subcommands(t, name); len(below) > 0 {
			for _, sub := range below {
				existing = append(existing, name+" "+sub)
			}
			continue
		}
		existing = append(existing, name)
	}
	slices.Sort(documented)
	slices.Sort(existing)
	if len(existing) == 0 || !slices.Equal(documented, existing) {
		t.Errorf("README.md documents the commands %q, and these exist: %q", documented, existing)
	}
	help := helpOf(t)
	for _, command := range existing {
		group, sub, _ := strings.Cut(command, " ")
		if !strings.Contains(help, "\n  "+command+" ") {
			t.Errorf("the help of romm-oidc does not explain %q: %s", command, help)
		}
		if sub != "" && !regexp.MustCompile(`Usage:\s.*`+group+` [a-z|-]*\b`+sub+`\b`).MatchString(help) {
			t.Errorf("the usage of romm-oidc lacks %q: %s", command, help)
		}
	}
}

// subcommands returns the subcommands of `caddy romm-oidc` below names.
func subcommands(t *testing.T, names ...string) (below []string) {
	t.Helper()
	_, list, _ := strings.Cut(helpOf(t, names...), "Available Commands:\n")
	list, _, _ = strings.Cut(list, "\n\n")
	for line := range strings.Lines(list) {
		if fields := strings.Fields(line); len(fields) > 0 {
			below = append(below, fields[0])
		}
	}
	return below
}

func helpOf(t *testing.T, names ...string) string {
	t.Helper()
	file, err := caddyprocess.Binary()
	if err != nil {
		t.Fatal(err)
	}
	output, err := exec.CommandContext(t.Context(), file, slices.Concat([]string{"romm-oidc"}, names, []string{"--help"})...).CombinedOutput()
	if err != nil {
		t.Fatalf("romm-oidc %v --help: %v: %s", names, err, output)
	}
	return string(output)
}

// README.md lists the requests that the admin API answers, and no others.
func TestDocumentedAdminAPI(t *testing.T) {
	document := manual(t)
	documented := map[string]bool{}
	for _, match := range regexp.MustCompile("`(GET|POST|PATCH|DELETE) ((?:health|status|sessions|links|keys|sign-in)[a-z/]*(?:<id>)?)").FindAllStringSubmatch(document, -1) {
		documented[match[1]+" "+match[2]] = true
	}
	existing := map[string]bool{}
	for _, route := range (admin.API{}).Routes() {
		path := strings.ReplaceAll(strings.TrimPrefix(route.Pattern, "/romm_oidc/"), "{id}", "<id>")
		for _, method := range reflect.ValueOf(route.Handler).MapKeys() { // the handler is a map by method
			existing[method.String()+" "+path] = true
		}
	}
	if len(existing) == 0 || !maps.Equal(documented, existing) {
		t.Errorf("README.md documents the requests %v, and the admin API answers %v", documented, existing)
	}
}

// docs/architecture.md draws every import between the packages, and no others.
func TestDocumentedArrows(t *testing.T) {
	document, err := os.ReadFile("../docs/architecture.md")
	if err != nil {
		t.Fatal(err)
	}
	_, drawing, _ := strings.Cut(string(document), "An arrow reads \"imports\":\n\n```\n")
	drawing, _, _ = strings.Cut(drawing, "```")
	drawn, last := map[string][]string{}, ""
	for line := range strings.Lines(drawing) {
		from, to, isArrow := strings.Cut(line, "──▶")
		if isArrow {
			last = strings.TrimSpace(from)
		} else {
			to = line
		}
		drawn[last] = append(drawn[last], strings.FieldsFunc(to, func(c rune) bool { return strings.ContainsRune(", \n", c) })...)
	}
	const module = "github.com/romm-oidc/caddy-romm-oidc"
	for _, directory := range packages(t) {
		found, err := build.ImportDir(filepath.Join("..", directory), 0)
		if _, ok := errors.AsType[*build.NoGoError](err); ok { // data of the package above
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		var imports []string
		for _, path := range found.Imports {
			if name, ok := strings.CutPrefix(path, module+"/"); ok {
				imports = append(imports, name)
			}
		}
		arrows := drawn[directory]
		if directory == "." { // draws handler and what is below as one
			arrows = drawn["root"]
			imports = slices.DeleteFunc(imports, func(name string) bool { return name == "handler" || strings.HasPrefix(name, "handler/") })
			arrows = slices.DeleteFunc(arrows, func(name string) bool { return name == "handler/*" })
		}
		slices.Sort(arrows)
		if !slices.Equal(arrows, imports) { // go/build sorts
			t.Errorf("docs/architecture.md: %s imports %v, and it imports %v", directory, arrows, imports)
		}
	}
}

// packages returns the directories of the module's packages, without those for tests.
func packages(t *testing.T) (directories []string) {
	t.Helper()
	for _, root := range []string{"flow", "handler"} {
		err := filepath.WalkDir(filepath.Join("..", root), func(path string, entry fs.DirEntry, err error) error {
			if err == nil && entry.IsDir() && entry.Name() != "keyringtest" && entry.Name() != "testdata" && entry.Name() != "files" && entry.Name() != "languages" {
				directories = append(directories, strings.TrimPrefix(filepath.ToSlash(path), "../"))
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return append(directories, ".")
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
