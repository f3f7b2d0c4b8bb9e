// The browser process that the tests share.

package browser

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

// chromium is a running browser.
type chromium struct {
	ctx context.Context //nolint:containedctx // chromedp keeps the browser in a context
}

// errNoBrowser says that no browser is installed.
var errNoBrowser = errors.New("no Chromium is installed: install the package chromium, or put chromium or google-chrome into PATH")

// executable finds the browser.
func executable() (string, error) {
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable"} {
		if file, err := exec.LookPath(name); err == nil {
			return file, nil
		}
	}
	return "", errNoBrowser
}

// launch starts a browser that ends with ctx, with all its processes. An empty
// profile means a new one.
func launch(ctx context.Context, profile string) (*chromium, func(), error) {
	file, err := executable()
	if err != nil {
		return nil, nil, err
	}
	flags := append([]chromedp.ExecAllocatorOption{}, chromedp.DefaultExecAllocatorOptions[:]...)
	flags = append(flags,
		chromedp.ExecPath(file), chromedp.NoSandbox, chromedp.DisableGPU, chromedp.IgnoreCertErrors,
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true), chromedp.Flag("no-proxy-server", true),
		// No request leaves this machine.
		chromedp.Flag("host-resolver-rules", "MAP * 127.0.0.1"),
		chromedp.WindowSize(1000, 800),
	)
	if profile != "" {
		flags = append(flags, chromedp.UserDataDir(profile))
	}
	ctx, stop := chromedp.NewExecAllocator(ctx, flags...)
	ctx, _ = chromedp.NewContext(ctx)
	end := func() {
		_ = chromedp.Cancel(ctx) // closes the browser, if it still runs
		stop()
		chromedp.FromContext(ctx).Allocator.Wait() // until its processes have ended
	}
	if err := chromedp.Do(ctx); err != nil {
		end()
		return nil, nil, err
	}
	return &chromium{ctx}, end, nil
}

// required fails the test if no browser is installed, or skips it where a
// browser is not required.
func required(t *testing.T, err error) {
	t.Helper()
	if errors.Is(err, errNoBrowser) && os.Getenv("ROMM_OIDC_REQUIRE_BROWSER") != "1" {
		t.Skip(err)
	}
	t.Fatal(err)
}

// One browser serves all tests of the package: each test has its own windows
// and cookies.
var one struct {
	sync.Once
	*chromium
	end func()
	err error
}

// shared returns the browser of all tests.
func shared(t *testing.T) *chromium {
	t.Helper()
	one.Do(func() { one.chromium, one.end, one.err = launch(context.Background(), "") })
	if one.err != nil {
		required(t, one.err)
	}
	return one.chromium
}

// own starts a browser for one test, with these preferences in its profile.
func own(t *testing.T, preferences string) *chromium {
	t.Helper()
	profile := t.TempDir()
	if err := os.MkdirAll(filepath.Join(profile, "Default"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(profile, "Default", "Preferences"), []byte(preferences), 0o600); err != nil {
		t.Fatal(err)
	}
	browser, end, err := launch(context.Background(), profile)
	if err != nil {
		required(t, err)
	}
	t.Cleanup(end)
	return browser
}

// chromiumControls are the [controls] of a tab of Chromium. The context is the
// tab's.
type chromiumControls struct{}

func (chromiumControls) Open(ctx context.Context, target string) error {
	return chromedp.Do(ctx, func(ctx context.Context, t *chromedp.Target) (chromedp.Void, error) {
		_, err := cdp.Call(ctx, t, page.Navigate, page.NavigateParams{URL: target})
		return chromedp.Void{}, err
	})
}

func (chromiumControls) Click(ctx context.Context, id string) error {
	return chromedp.Do(ctx, chromedp.Click(chromedp.ID(id), chromedp.NodeVisible))
}

func (chromiumControls) Fill(ctx context.Context, id, text string) error {
	return chromedp.Do(ctx, chromedp.SendKeys(chromedp.ID(id), text, chromedp.NodeVisible))
}

func (chromiumControls) Evaluate(ctx context.Context, expression string) (string, error) {
	return chromedp.Run(ctx, chromedp.Evaluate[string]("(async () => String(await ("+expression+")))()", chromedp.EvalAwaitPromise))
}
