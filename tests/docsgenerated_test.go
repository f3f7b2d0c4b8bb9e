// Pages that are made of the code: the settings of their struct comments,
// troubleshooting of the problems and the doctor's codes, and the table of the
// conformance suite's modules. With -update the tests write them.

package tests

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/romm-oidc/caddy-romm-oidc/handler/doctor"
	"github.com/romm-oidc/caddy-romm-oidc/tests/conformance"
)

// manual is what operators read: README.md and the pages of docs.
func manual(t *testing.T) string {
	t.Helper()
	return readFile(t, "..", "README.md") + "\n" + strings.Join(slices.Collect(func(yield func(string) bool) {
		for _, page := range manualPages(t) {
			if !yield(readFile(t, page)) {
				return
			}
		}
	}), "\n")
}

// manualPages are the files of docs for operators.
func manualPages(t *testing.T) []string {
	t.Helper()
	pages, err := filepath.Glob("../docs/*.md")
	if err != nil || len(pages) < 8 {
		t.Fatalf("docs has %d pages, error %v, want 8 or more", len(pages), err)
	}
	return slices.DeleteFunc(pages, func(page string) bool { return strings.HasSuffix(page, "architecture.md") })
}

// generated compares a part of a page with what it must be, or writes it.
func generated(t *testing.T, page, begin, want string) {
	t.Helper()
	const end = "<!-- end -->\n"
	content := readFile(t, page)
	before, rest, ok := strings.Cut(content, begin)
	got, after, closed := strings.Cut(rest, end)
	if !ok || !closed {
		t.Fatalf("%s lacks %s and %s", page, begin, end)
	}
	if got == want {
		return
	}
	if !*update {
		t.Errorf("%s is not what the code says: run go test ./tests/ -run %s -update", page, t.Name())
		return
	}
	if err := os.WriteFile(page, []byte(before+begin+want+end+after), 0o600); err != nil {
		t.Fatal(err)
	}
}

// docs/settings.md has the settings with their comments in the code.
func TestSettingsPage(t *testing.T) {
	fields := map[string][]*ast.Field{}
	for _, file := range []string{"../handler/settings/settings.go", "../handler/policy.go", "../handler/romm/roles.go"} {
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(parsed, func(node ast.Node) bool {
			if spec, ok := node.(*ast.TypeSpec); ok {
				if structure, ok := spec.Type.(*ast.StructType); ok {
					fields[spec.Name.Name] = structure.Fields.List
				}
			}
			return true
		})
	}
	var table strings.Builder
	table.WriteString("| setting | default | meaning |\n|---|---|---|\n")
	blocks := map[string]string{"allow": "Policy", "roles": "Roles", "session": "Session"}
	rows := func(prefix, of string) {
		for _, field := range fields[of] {
			word, _, _ := strings.Cut(reflect.StructTag(strings.Trim(field.Tag.Value, "`")).Get("json"), ",")
			meaning, standard, _ := strings.Cut(strings.Join(strings.Fields(field.Doc.Text()), " "), " Default: ")
			if standard == "" {
				standard = "none"
			}
			fmt.Fprintf(&table, "| `%s` | %s | %s |\n", prefix+word, strings.TrimSuffix(standard, "."), strings.ReplaceAll(meaning, "|", "\\|"))
		}
	}
	for _, field := range fields["Settings"] {
		word, _, _ := strings.Cut(reflect.StructTag(strings.Trim(field.Tag.Value, "`")).Get("json"), ",")
		all := fields["Settings"]
		fields["Settings"] = []*ast.Field{field}
		rows("", "Settings")
		fields["Settings"] = all
		if block, ok := blocks[word]; ok {
			rows(word+": ", block)
		}
	}
	if strings.Count(table.String(), "\n") < 25 {
		t.Fatalf("the table has too few rows:\n%s", table.String())
	}
	generated(t, "../docs/settings.md", "<!-- made by TestSettingsPage of the comments in handler/settings -->\n", table.String())
}

// problemLiterals returns the fields of every problem in the code, by its code.
func problemLiterals(t *testing.T) map[string]map[string]string {
	t.Helper()
	problems := map[string]map[string]string{}
	err := filepath.WalkDir("../handler", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			return err
		}
		ast.Inspect(parsed, func(node ast.Node) bool {
			literal, ok := node.(*ast.CompositeLit)
			if !ok || !strings.HasSuffix(fmt.Sprint(literal.Type), "Problem") && !strings.HasSuffix(fmt.Sprint(literal.Type), "Problem}") {
				return true
			}
			values := map[string]string{}
			for _, element := range literal.Elts {
				pair, ok := element.(*ast.KeyValueExpr)
				if !ok {
					continue
				}
				switch value := pair.Value.(type) {
				case *ast.BasicLit:
					values[fmt.Sprint(pair.Key)], _ = strconv.Unquote(value.Value)
				case *ast.SelectorExpr:
					if fmt.Sprint(pair.Key) == "Code" {
						return true // the code of another problem
					}
					values[fmt.Sprint(pair.Key)] = value.Sel.Name
				}
			}
			if values["Code"] != "" {
				problems[values["Code"]] = values
			}
			return true
		})
		return nil
	})
	if err != nil || len(problems) < 40 {
		t.Fatalf("found %d problems, error %v, want 40 or more", len(problems), err)
	}
	return problems
}

// docs/troubleshooting.md has every code with its cause and fix.
func TestTroubleshootingPage(t *testing.T) {
	var codes, findings strings.Builder
	codes.WriteString("| code | status | what the user reads | what the operator does |\n|---|---|---|---|\n")
	problems := problemLiterals(t)
	for _, code := range sortedKeys(problems) {
		p := problems[code]
		fix := p["Hint"]
		if fix == "" {
			fix = "Nothing: it is for the user, or Caddy's log says what."
		}
		fmt.Fprintf(&codes, "| `%s` | %s | %s. %s | %s |\n", code, statusOf(p["Status"]), p["Title"], p["Text"], strings.ReplaceAll(fix, "|", "\\|"))
	}
	text := strings.ReplaceAll(codes.String(), "{provider}", "Authelia")
	findings.WriteString("| code | level | cause | fix |\n|---|---|---|---|\n")
	for _, code := range sortedKeys(doctor.Codes) {
		cause := doctor.Codes[code]
		fmt.Fprintf(&findings, "| `%s` | %s | %s | %s |\n", code, cause.Level, cause.What, cause.Fix)
	}
	const page = "../docs/troubleshooting.md"
	generated(t, page, "<!-- made by TestTroubleshootingPage of the problems in handler -->\n", text)
	generated(t, page, "<!-- made by TestTroubleshootingPage of handler/doctor -->\n", findings.String())
}

// SECURITY.md has every module of TestConformance, and what the gate does there.
func TestConformanceTable(t *testing.T) {
	var tables strings.Builder
	for _, plan := range conformance.Plans() {
		fmt.Fprintf(&tables, "%s, `%s`:\n\n%s\n", plan.Title, plan.ID, plan.Table())
	}
	generated(t, "../SECURITY.md", "<!-- made by TestConformanceTable of tests/conformance -->\n", tables.String())
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

// statusOf returns the number of a constant of net/http.
func statusOf(name string) string {
	for status := 400; status < 600; status++ {
		words := strings.NewReplacer(" ", "", "-", "", "'", "").Replace(http.StatusText(status))
		if words != "" && "Status"+words == name {
			return strconv.Itoa(status)
		}
	}
	return name
}

// README.md has at most 200 lines, and every link in the manual leads somewhere.
func TestManual(t *testing.T) {
	if lines := strings.Count(readFile(t, "..", "README.md"), "\n"); lines > 200 {
		t.Errorf("README.md has %d lines, want 200 or less", lines)
	}
	link := regexp.MustCompile(`\[[^\]]*\]\(([^)\s]+)\)`)
	heading := regexp.MustCompile(`(?m)^#+ (.*)$`)
	notWord := regexp.MustCompile(`[^\pL\pN\- ]`)
	for _, page := range append(manualPages(t), "../README.md", "../SECURITY.md", "../CONTRIBUTING.md", "../xcaddy.md", "../docs/architecture.md", "../docs/operating/README.md") {
		for _, match := range link.FindAllStringSubmatch(readFile(t, page), -1) {
			target, anchor, _ := strings.Cut(match[1], "#")
			if strings.Contains(target, "://") || strings.HasPrefix(target, "mailto:") {
				continue
			}
			file := filepath.Join(filepath.Dir(page), target)
			if target == "" {
				file = page
			}
			if _, err := os.Stat(file); err != nil {
				t.Errorf("%s links to %s, which does not exist", page, match[1])
				continue
			}
			if anchor == "" {
				continue
			}
			var anchors []string
			for _, title := range heading.FindAllStringSubmatch(readFile(t, file), -1) {
				anchors = append(anchors, strings.ReplaceAll(notWord.ReplaceAllString(strings.ToLower(strings.ReplaceAll(title[1], "_", "\x00")), ""), " ", "-"))
			}
			if !slices.Contains(anchors, strings.ReplaceAll(anchor, "_", "")) {
				t.Errorf("%s links to %s, which has the sections %q", page, match[1], anchors)
			}
		}
	}
}
