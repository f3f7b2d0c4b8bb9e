// Every text of the pages is in every language.

package problem

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// pageFields are the fields of problems and pages that hold texts.
var pageFields = []string{"Title", "Text", "Also", "Hint", "Label"}

// texts returns the English texts of all pages: the constants in the gate's code,
// and those of the template. hints says which are for the operator.
func texts(t *testing.T) (all []string, hints map[string]bool) {
	t.Helper()
	hints = map[string]bool{}
	add := func(name string, value ast.Expr) {
		if text := constant(value); slices.Contains(pageFields, name) && text != "" {
			all = append(all, text)
			hints[text] = name == "Hint"
		}
	}
	err := filepath.WalkDir("..", func(path string, entry fs.DirEntry, err error) error {
		if entry.IsDir() && (entry.Name() == "doctor" || entry.Name() == "setup" || entry.Name() == "command") {
			return filepath.SkipDir // they show no pages
		}
		if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(node ast.Node) bool {
			switch node := node.(type) {
			case *ast.KeyValueExpr:
				if name, ok := node.Key.(*ast.Ident); ok {
					add(name.Name, node.Value)
				}
			case *ast.AssignStmt:
				for i, left := range node.Lhs {
					if field, ok := left.(*ast.SelectorExpr); ok && len(node.Rhs) == len(node.Lhs) {
						add(field.Sel.Name, node.Rhs[i])
					}
				}
			case *ast.CallExpr: // v.in.of
				if function, ok := node.Fun.(*ast.SelectorExpr); ok && function.Sel.Name == "of" && len(node.Args) == 1 && strings.HasSuffix(path, "view.go") {
					add("Text", node.Args[0])
				}
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, found := range regexp.MustCompile(`\.T "([^"]*)"`).FindAllStringSubmatch(pageSource, -1) {
		all = append(all, found[1])
	}
	all = append(all, "yesterday", "an hour ago", "a minute ago", "%d days ago", "%d hours ago", "%d minutes ago")
	slices.Sort(all)
	return slices.Compact(all), hints
}

// constant returns the text of a constant expression, empty if it is none.
func constant(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.BasicLit:
		text, _ := strconv.Unquote(e.Value)
		return text
	case *ast.BinaryExpr:
		if left, right := constant(e.X), constant(e.Y); left != "" && right != "" {
			return left + right
		}
	}
	return ""
}

var placeholder = regexp.MustCompile("\\{[a-z]+\\}|%d|`[^`]*`")

// A translation has exactly the texts that there are, with their placeholders and
// what is to be copied.
func TestTranslationsAreComplete(t *testing.T) {
	t.Parallel()
	all, hints := texts(t)
	if len(all) < 100 {
		t.Fatalf("found %d texts only", len(all))
	}
	for _, language := range translations[1:] {
		for _, text := range all {
			if hints[text] && language.texts[text] == "" {
				continue // operators read the docs in English, too
			}
			translated, ok := language.texts[text]
			if !ok {
				t.Errorf("%s lacks %q", language.tag, text)
				continue
			}
			want, got := placeholder.FindAllString(text, -1), placeholder.FindAllString(translated, -1)
			slices.Sort(want)
			slices.Sort(got)
			if !slices.Equal(want, got) {
				t.Errorf("%s has %q in %q, want %q", language.tag, got, translated, want)
			}
		}
		for text := range language.texts {
			if !slices.Contains(all, text) {
				t.Errorf("%s translates what no page says: %q", language.tag, text)
			}
		}
	}
}

// Browsers get the language that they ask for, and English otherwise.
func TestLanguageOfAPage(t *testing.T) {
	t.Parallel()
	for accepted, want := range map[string]string{
		"": "en", "de": "de", "de-AT,de;q=0.9,en;q=0.8": "de", "en-GB,de;q=0.5": "en", "fr,ja": "en", "fr,de;q=0.2": "de", "*": "en",
		"en;q=0.1,de;q=0.9": "de", "nonsense;;;": "en", strings.Repeat("de-", 10_000): "en", "de\x00": "en",
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		if accepted != "" {
			r.Header.Set("Accept-Language", accepted)
		}
		w := httptest.NewRecorder()
		(&Page{Status: http.StatusOK, Title: "You are signed out", Text: "See you soon.", Site: "RomM"}).Write(w, r)
		if got := w.Header().Get("Content-Language"); got != want || !strings.Contains(w.Body.String(), `<html lang="`+want+`">`) {
			t.Errorf("Accept-Language %.40q: got %q, want %q: %s", accepted, got, want, w.Body.String())
		}
		if !slices.Contains(w.Header().Values("Vary"), "Accept-Language") {
			t.Error("Vary lacks Accept-Language")
		}
	}
}

// What users are called is text, and what is between backticks is code.
func TestTextsOfAPageAreEscaped(t *testing.T) {
	t.Parallel()
	w := httptest.NewRecorder()
	(&Page{
		Status: http.StatusOK, Title: "T", Text: "You are signed in as {user}.", User: `<b>&{email}`, Email: "<i>",
		Hint: "Run `caddy <x>` for {user}", Site: "<u>", SeeAll: "/s", Sessions: []SessionRow{{Browser: "<s>", System: "Linux", Address: "<q>", Created: time.Now().Add(-49 * time.Hour)}},
	}).Write(w, httptest.NewRequest(http.MethodGet, "/", nil))
	page := w.Body.String()
	for _, want := range []string{"signed in as &lt;b&gt;&amp;{email}.", "<code>caddy &lt;x&gt;</code> for &lt;b&gt;&amp;{email}", "&lt;u&gt;", "&lt;s&gt; on Linux", "&lt;q&gt;", "2 days ago"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q:\n%s", want, page)
		}
	}
}
