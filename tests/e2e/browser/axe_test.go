// Our own pages with a keyboard and with a screen reader.

package browser

import (
	"archive/zip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"
)

// The Python package that has axe.min.js of axe-core 4.12.1, and its digest.
const (
	axePackage = "axe-playwright-python==0.1.8"
	axeDigest  = "fdd263c998388f1a8e67cad02677e612d946248bd44d163be5e8650ea31f95f8"
)

// axeCore is axe-core's source. The tests download it once, into the user's cache
// folder, with the pip that the tests of Authlib need anyway.
var axeCore = sync.OnceValues(func() (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("looking for a cache folder: %w", err)
	}
	file := filepath.Join(cache, "romm_oidc", "axe", axeDigest+".js")
	if source, err := os.ReadFile(file); err == nil {
		return string(source), nil
	}
	source, err := downloadAxe()
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return "", fmt.Errorf("making a cache folder: %w", err)
	}
	return string(source), os.WriteFile(file, source, 0o600)
})

func downloadAxe() ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	folder, err := os.MkdirTemp("", "romm_oidc-axe-")
	if err != nil {
		return nil, fmt.Errorf("making a folder: %w", err)
	}
	defer os.RemoveAll(folder)
	for _, command := range [][]string{
		{"python3", "-m", "venv", filepath.Join(folder, "venv")},
		{filepath.Join(folder, "venv", "bin", "pip"), "download", "--quiet", "--disable-pip-version-check", "--no-deps", "--only-binary", ":all:", "--dest", folder, axePackage},
	} {
		if output, err := exec.CommandContext(ctx, command[0], command[1:]...).CombinedOutput(); err != nil {
			return nil, fmt.Errorf("running %s: %w: %s", strings.Join(command, " "), err, output)
		}
	}
	wheels, err := filepath.Glob(filepath.Join(folder, "*.whl"))
	if err != nil || len(wheels) != 1 {
		return nil, fmt.Errorf("%s has the wheels %v", axePackage, wheels)
	}
	content, err := os.ReadFile(wheels[0])
	if err != nil {
		return nil, fmt.Errorf("reading the package: %w", err)
	}
	if sum := sha256.Sum256(content); hex.EncodeToString(sum[:]) != axeDigest {
		return nil, fmt.Errorf("%s has the digest %x, want %s", axePackage, sum, axeDigest)
	}
	wheel, err := zip.OpenReader(wheels[0])
	if err != nil {
		return nil, fmt.Errorf("opening the package: %w", err)
	}
	defer wheel.Close()
	source, err := wheel.Open("axe_playwright_python/axe.min.js")
	if err != nil {
		return nil, fmt.Errorf("opening the package: %w", err)
	}
	defer source.Close()
	return io.ReadAll(source)
}

// accessible fails the test if axe-core finds anything on the page in the tab.
func (b *tab) accessible(name string) {
	b.t.Helper()
	source, err := axeCore()
	if err != nil {
		if os.Getenv("ROMM_OIDC_REQUIRE_BROWSER") == "1" {
			b.t.Fatalf("axe-core is required: %v", err)
		}
		b.t.Skipf("axe-core is needed (python3 with venv and pip, and the Python package index): %v", err)
	}
	b.script(`(() => { ` + source + `; return "" })()`)
	var found []struct {
		ID    string `json:"id"`
		Help  string `json:"help"`
		Nodes []struct {
			HTML    string `json:"html"`
			Summary string `json:"failureSummary"`
		} `json:"nodes"`
	}
	said := b.script(`axe.run(document, {preload: false, resultTypes: ["violations"]}).then(found => JSON.stringify(found.violations))`)
	if err := json.Unmarshal([]byte(said), &found); err != nil {
		b.t.Fatalf("axe said %q: %v", said, err)
	}
	for _, f := range found {
		for _, node := range f.Nodes {
			b.t.Errorf("%s: %s (%s): %s: %s", name, f.Help, f.ID, node.HTML, node.Summary)
		}
	}
}

// focusOrder lists what the Tab key reaches, in the order of the page.
const focusOrder = `[...document.querySelectorAll("a[href], button, summary, input:not([type=hidden])")]`

// keyboard fails the test unless the Tab key goes through all links and buttons in
// the order in which they stand on the page, and each shows that it has the focus.
func (b *tab) keyboard(name string) {
	b.t.Helper()
	want := b.script(focusOrder + `.length`)
	b.script(`document.activeElement.blur()`)
	last := ""
	for i := 0; fmt.Sprint(i) != want; i++ {
		b.do("pressing Tab", func(ctx context.Context, t *chromedp.Target) (chromedp.Void, error) {
			for _, kind := range []input.DispatchKeyEventType{input.DispatchKeyEventTypeKeyDown, input.DispatchKeyEventTypeKeyUp} {
				if _, err := cdp.Call(ctx, t, input.DispatchKeyEvent, input.DispatchKeyEventParams{
					Type: kind, Key: "Tab", Code: "Tab", WindowsVirtualKeyCode: 9,
				}); err != nil {
					return chromedp.Void{}, err
				}
			}
			return chromedp.Void{}, nil
		})
		if at := b.script(focusOrder + `.indexOf(document.activeElement)`); at != fmt.Sprint(i) {
			b.t.Errorf("%s: Tab number %d went to element %s of the page, %s", name, i+1, at, b.script(`document.activeElement.outerHTML.slice(0, 100)`))
		}
		shown := b.script(`(() => { const s = getComputedStyle(document.activeElement); return s.outlineStyle !== "none" && parseFloat(s.outlineWidth) >= 1 })()`)
		if shown != "true" {
			b.t.Errorf("%s: the focus of %s cannot be seen", name, b.script(`document.activeElement.outerHTML.slice(0, 100)`))
		}
		here := b.script(`String(Math.round(document.activeElement.getBoundingClientRect().bottom + scrollY))`)
		if last != "" && b.script(last+` > `+here+` + 2`) == "true" {
			b.t.Errorf("%s: Tab number %d goes up the page, from %s to %s", name, i+1, last, here)
		}
		last = here
	}
}
