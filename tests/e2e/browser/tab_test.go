// A tab of the browser, and what a user does in it.

package browser

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/storage"
	"github.com/chromedp/chromedp"
)

// patience is how long anything in a browser may take.
const patience = 20 * time.Second

// artifacts is the folder of the screenshots.
var artifacts = filepath.Join("..", "artifacts")

// tab is one tab of a browser.
type tab struct {
	*stack
	controls

	t   *testing.T
	ctx context.Context //nolint:containedctx // chromedp keeps the tab in a context
}

// controls are what every browser can be told to do in a tab.
type controls interface {
	// Open loads a URL, and returns once a document has arrived.
	Open(ctx context.Context, target string) error
	Click(ctx context.Context, id string) error
	Fill(ctx context.Context, id, text string) error
	// Evaluate returns the value of the JavaScript expression, or of its
	// promise, as text.
	Evaluate(ctx context.Context, expression string) (string, error)
}

// visitor opens the first tab of a new user, without cookies or cache.
func (s *stack) visitor() *tab { return s.browser.visitor(s) }

// visitor is [stack.visitor] in this browser.
func (c *chromium) visitor(s *stack) *tab {
	s.t.Helper()
	return s.tab(chromedp.NewContext(c.ctx, chromedp.WithNewBrowserContext()))
}

// another opens another tab in the same window.
func (b *tab) another() *tab {
	b.t.Helper()
	return b.tab(chromedp.NewContext(b.ctx))
}

func (s *stack) tab(ctx context.Context, end context.CancelFunc) *tab {
	s.t.Helper()
	s.t.Cleanup(end)
	if err := chromedp.Do(ctx); err != nil {
		s.t.Fatal(err)
	}
	return &tab{s, chromiumControls{}, s.t, ctx}
}

// do runs steps in the tab of Chromium.
func (b *tab) do(what string, steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	b.patiently(what, func(ctx context.Context) error { return chromedp.Do(ctx, steps...) })
}

// patiently fails the test if step fails or takes too long.
func (b *tab) patiently(what string, step func(context.Context) error) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	if err := step(ctx); err != nil {
		b.fail("%s: %v", what, err)
	}
}

// open types target, a path of the public origin or a URL, into the address
// bar. It returns once a document has arrived.
func (b *tab) open(target string) {
	b.t.Helper()
	if strings.HasPrefix(target, "/") {
		target = b.origin + target
	}
	b.patiently("opening "+target, func(ctx context.Context) error { return b.Open(ctx, target) })
}

// click clicks the element.
func (b *tab) click(id string) {
	b.t.Helper()
	b.patiently("clicking "+id, func(ctx context.Context) error { return b.Click(ctx, id) })
}

// fill types text into the field.
func (b *tab) fill(id, text string) {
	b.t.Helper()
	b.patiently("filling "+id, func(ctx context.Context) error { return b.Fill(ctx, id, text) })
}

// await waits until the JavaScript expression is true, across any number of
// pages.
func (b *tab) await(expression string) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	for {
		// An error means that the page is just being replaced.
		if is, err := b.Evaluate(ctx, "Boolean("+expression+")"); err == nil && is == "true" {
			return
		}
		select {
		case <-ctx.Done():
			b.fail("it never came to be that %s", expression)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// script runs JavaScript, waits for its promise, and returns the result as
// text.
func (b *tab) script(source string) string {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	said, err := b.Evaluate(ctx, source)
	if err != nil {
		b.fail("running %s: %v", source, err)
	}
	return said
}

// text returns the element's text.
func (b *tab) text(id string) string {
	b.t.Helper()
	return b.script(`document.getElementById(` + quote(id) + `)?.textContent`)
}

// in waits for RomM's page at exactly this path and query, signed in as user.
func (b *tab) in(target, user string) {
	b.t.Helper()
	b.await(`location.href === ` + quote(b.origin+target) + ` && document.documentElement.dataset.ready === "true" && ` +
		`!document.getElementById("home").hidden && document.getElementById("user").textContent === ` + quote(user))
}

// problem waits for our error page with this code.
func (b *tab) problem(code string) {
	b.t.Helper()
	b.await(`document.querySelector("footer")?.textContent.startsWith(` + quote(code+" · reference ") + `)`)
}

// signedOut waits for our signed-out page. Authelia leads back to it only if it is
// https; on http it shows its login form, from where the user goes there.
func (b *tab) signedOut() {
	b.t.Helper()
	if page := b.origin + base + "/signed-out"; mode == "http" {
		b.await(`location.href === ` + quote(page) + ` || location.origin === ` + quote(b.portal) + ` && document.getElementById("sign-in-button")`)
		b.open(page)
	}
	b.await(`location.href === ` + quote(b.origin+base+"/signed-out") + ` && document.title === "You are signed out"`)
}

// back presses the browser's Back button.
func (b *tab) back() {
	b.t.Helper()
	history := b.history()
	b.do("going back", func(ctx context.Context, t *chromedp.Target) (chromedp.Void, error) {
		_, err := cdp.Call(ctx, t, page.NavigateToHistoryEntry, page.NavigateToHistoryEntryParams{
			EntryID: history.Entries[history.CurrentIndex-1].ID,
		})
		return chromedp.Void{}, err
	})
	b.await(`document.readyState === "complete"`)
}

// stays fails the test if the tab navigates within the given time.
func (b *tab) stays(while time.Duration) {
	b.t.Helper()
	went := b.watch("http")
	time.Sleep(while) // no event says that a browser will not navigate
	if seen := went(); len(seen) > 0 {
		b.t.Errorf("the tab left the page by itself: %v", seen)
	}
}

// history returns the entries of the Back and Forward buttons.
func (b *tab) history() page.GetNavigationHistoryResult {
	b.t.Helper()
	history, err := chromedp.Run(b.ctx, chromedp.NavigationEntries())
	if err != nil {
		b.t.Fatal(err)
	}
	return history
}

// watch records the URLs that begin with prefix and that the tab requests from
// now on. The returned function returns them.
func (b *tab) watch(prefix string) func() []string {
	b.t.Helper()
	b.do("watching", func(ctx context.Context, t *chromedp.Target) (chromedp.Void, error) {
		_, err := cdp.Call(ctx, t, network.Enable, network.EnableParams{})
		return chromedp.Void{}, err
	})
	var mu sync.Mutex
	var seen []string
	if err := chromedp.Listen(b.ctx, func(event any) {
		if sent, ok := event.(*network.EventRequestWillBeSent); ok && strings.HasPrefix(sent.Request.URL, prefix) {
			mu.Lock()
			defer mu.Unlock()
			seen = append(seen, sent.Request.URL)
		}
	}); err != nil {
		b.t.Fatal(err)
	}
	return func() []string {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(seen)
	}
}

// cookies returns the browser's cookies for the host of the public origin.
func (b *tab) cookies() []*network.Cookie {
	b.t.Helper()
	all, err := chromedp.CallBrowser(b.ctx, storage.GetCookies, storage.GetCookiesParams{
		BrowserContextID: chromedp.FromContext(b.ctx).BrowserContextID,
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return slices.DeleteFunc(all.Cookies, func(c *network.Cookie) bool { return c.Domain != "romm.example.com" })
}

// screenshot saves an image of the whole page in Chromium as an artifact.
func (b *tab) screenshot(name string) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	picture, err := chromedp.Run(ctx, chromedp.FullScreenshot(100))
	if err != nil {
		b.t.Errorf("taking a screenshot: %v", err)
		return
	}
	if err := os.MkdirAll(artifacts, 0o750); err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(artifacts, name+".png"), picture, 0o600); err != nil {
		b.t.Fatal(err)
	}
}

// fail ends the test, and reports the tab's URL and its content.
func (b *tab) fail(format string, arguments ...any) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, 5*time.Second)
	defer cancel()
	shows, err := b.Evaluate(ctx, `location.href + "\n" + document.body?.innerText`)
	if _, is := b.controls.(chromiumControls); is && err == nil {
		b.screenshot("failed-" + strings.ReplaceAll(b.t.Name(), "/", "-"))
	}
	b.t.Fatalf("%s\nthe tab is at %s", fmt.Sprintf(format, arguments...), shows)
}

// quote returns s as a JavaScript string.
func quote(s string) string {
	quoted, _ := json.Marshal(s) // a string cannot fail
	return string(quoted)
}
