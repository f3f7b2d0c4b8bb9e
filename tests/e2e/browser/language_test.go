// Our own pages in German.

package browser

import (
	"context"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
)

// A browser that asks for German gets our own pages in German, in the same looks.
func TestPagesInGerman(t *testing.T) {
	s := start(t, options{consent: "auto"})
	s.signedIn("/") // RomM's administrator
	for name, c := range map[string]struct {
		open  func(*tab)
		title string
	}{
		"sign_in_denied": {func(b *tab) {
			b.open("/rom/7")
			b.submit("alice", "alice-password")
			b.click("openid-consent-deny")
		}, "Authelia hat Sie nicht angemeldet"},
		"signed_out": {func(b *tab) { b.open(base + "/signed-out") }, "Sie sind abgemeldet"},
		"sessions": {func(b *tab) {
			b.open(base + "/session")
			b.signIn("alice")
		}, "Wo Sie angemeldet sind"},
	} {
		t.Run(name, func(t *testing.T) {
			b := s.visitor()
			b.t = t
			b.do("asking for German", func(ctx context.Context, t *chromedp.Target) (chromedp.Void, error) {
				if _, err := cdp.Call(ctx, t, network.Enable, network.EnableParams{}); err != nil {
					return chromedp.Void{}, err
				}
				_, err := cdp.Call(ctx, t, network.SetExtraHTTPHeaders, network.SetExtraHTTPHeadersParams{
					Headers: network.Headers{"Accept-Language": "de-AT,de;q=0.9"},
				})
				return chromedp.Void{}, err
			})
			c.open(b)
			b.await(`document.title === ` + quote(c.title) + ` && document.documentElement.lang === "de"`)
			b.everyLook("german-" + name)
		})
	}
}
