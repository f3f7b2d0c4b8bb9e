// The pictures of the manual.

package browser

import (
	"flag"
	"html"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/romm-oidc/caddy-romm-oidc/tests/caddyprocess"
)

// update makes the test write the pictures.
var update = flag.Bool("update", false, "write docs/pictures")

const (
	pictures     = "../../../docs/pictures"
	pictureLimit = 100 << 10 // bytes
)

// picture writes the page in the tab to docs/pictures with -update, and fails the
// test unless the manual has a picture of this name.
func (b *tab) picture(name string, width, height int64) {
	b.t.Helper()
	file := filepath.Join(pictures, name)
	if *update {
		b.do("choosing a size", chromedp.EmulateViewport(width, height))
		content, err := chromedp.Run(b.ctx, chromedp.CaptureScreenshot())
		if err != nil {
			b.t.Fatal(err)
		}
		if err := os.WriteFile(file, content, 0o600); err != nil {
			b.t.Fatal(err)
		}
	}
	if info, err := os.Stat(file); err != nil || info.Size() > pictureLimit {
		b.t.Errorf("%s: %v, %v, want a file of at most %d bytes: run the test with -update", name, info, err, pictureLimit)
	}
}

// Each picture of the manual is there, and what it shows still comes to be.
func TestPictures(t *testing.T) {
	if mode != "" { // the pictures are the same in the other modes
		return
	}
	s := start(t, options{directive: "allow {\n emails alice@example.com carol@example.com\n}\n" + rolesByMail})
	t.Run("a refusal", func(t *testing.T) {
		b := s.visitor()
		b.t = t
		b.open("/rom/7")
		b.signIn("bob")
		b.problem("not_allowed")
		b.script(`document.querySelector("details")?.setAttribute("open", "")`)
		b.picture("refusal.png", 640, 560)
	})
	t.Run("the sessions", func(t *testing.T) {
		s.signedIn("/")
		b := s.signedIn("/")
		b.t = t
		b.open(base + "/session")
		b.await(`document.querySelectorAll("li").length === 2`)
		b.picture("sessions.png", 640, 642)
	})
	t.Run("the doctor", func(t *testing.T) {
		caddy, err := caddyprocess.Binary()
		if err != nil {
			t.Fatal(err)
		}
		config := filepath.Join(t.TempDir(), "Caddyfile")
		content, err := os.ReadFile(s.caddy.Config)
		if err != nil {
			t.Fatal(err)
		}
		wrong := strings.Replace(string(content), "client_id romm", "client_id RomM", 1)
		if err := os.WriteFile(config, []byte(wrong), 0o600); err != nil {
			t.Fatal(err)
		}
		command := exec.CommandContext(t.Context(), caddy, "romm-oidc", "doctor", "--config", "Caddyfile", "--address", "localhost:1")
		command.Dir = filepath.Dir(config)
		output, _ := command.Output() // it finds a problem
		u, err := url.Parse(s.origin)
		if err != nil {
			t.Fatal(err)
		}
		text := strings.ReplaceAll("$ caddy romm-oidc doctor --config Caddyfile\n"+string(output), ":"+u.Port(), "")
		text, _, ok := strings.Cut(text, "\nWARNING  romm_") // about the stand-in
		if !ok || !strings.Contains(text, "authelia_client_id") {
			t.Fatalf("the doctor printed %s, want authelia_client_id", text)
		}
		b := s.visitor()
		b.t = t
		b.open(serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			_, _ = w.Write([]byte(`<!doctype html><title>doctor</title><style>body { margin: 0; padding: 1rem 1.25rem; background: #15141a; color: #eceaf4; font: 13px/1.5 ui-monospace, monospace; white-space: pre-wrap }</style>` + html.EscapeString(text)))
		})))
		b.picture("doctor.png", 860, 390)
	})
	t.Run("the flow", func(t *testing.T) {
		drawing, err := os.ReadFile(filepath.Join(pictures, "flow.svg"))
		if err != nil {
			t.Fatal(err)
		}
		b := s.visitor()
		b.t = t
		b.open(serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			_, _ = w.Write(append([]byte("<!doctype html><style>body { margin: 0 } svg { width: 860px }</style>"), drawing...))
		})))
		b.await(`document.readyState === "complete" && document.querySelector("svg").getBoundingClientRect().width === 860`)
		if out := b.script(`[...document.querySelectorAll("text")].filter(t => { const r = t.getBoundingClientRect(); return r.left < 0 || r.right > 860 || r.bottom > 330 }).map(t => t.textContent).join()`); out != "" {
			t.Errorf("these words are outside of the drawing: %s", out)
		}
		if *update { // to look at
			b.screenshot("flow")
			b.scheme("dark")
			b.screenshot("flow-dark")
		}
	})
}
