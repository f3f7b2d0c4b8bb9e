// Our own pages on a phone and a desktop screen, in light and dark mode.

package browser

import (
	"context"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// Our own pages fit a phone and a desktop screen, in light and dark mode. The
// screenshots are for review by people.
func TestPages(t *testing.T) {
	s := start(t, options{consent: "auto"})
	s.signedIn("/") // RomM's administrator
	for name, open := range map[string]func(*tab){
		"cookies_missing": func(b *tab) {
			b.open(base + "?code=c&state=r.unknown") // the second try of a browser without cookies
			b.problem("cookies_missing")
		},
		"sign_in_denied": func(b *tab) {
			b.open("/rom/7")
			b.submit("alice", "alice-password")
			b.click("openid-consent-deny")
			b.problem("sign_in_denied")
		},
		"email_missing": func(b *tab) {
			b.open("/rom/7")
			b.signIn("frank")
			b.problem("email_missing")
		},
		"romm_unreachable": func(b *tab) {
			s.romm.Down()
			defer s.romm.Up()
			b.open("/rom/7")
			b.signIn("alice")
			b.problem("romm_unreachable")
		},
		"signed_out": func(b *tab) {
			b.open(base + "/signed-out")
			b.signedOut()
		},
		"sign_out": func(b *tab) {
			b.open("/")
			b.signIn("bob")
			b.in("/", "bob")
			b.visit(s.foreign)
			b.script(`setTimeout(() => location.assign(` + quote(s.origin+base+"/logout") + `)), 0`)
			b.await(`document.title === "Sign out?"`)
		},
		"sessions": func(b *tab) {
			for _, b := range []*tab{s.visitor(), b} {
				b.open("/")
				b.signIn("carol")
				b.in("/", "carol")
			}
			b.open(base + "/session")
			b.await(`document.querySelectorAll("li").length >= 2 && document.getElementById("end-others")`)
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := s.visitor()
			b.t = t
			open(b)
			b.everyLook(name)
		})
	}
	// While the portal is down the page retries by itself, and succeeds
	// afterwards.
	t.Run("provider_unavailable", func(t *testing.T) {
		s := start(t, options{})
		s.authelia.Unavailable()
		b := s.visitor()
		b.t = t
		b.open("/rom/7?tab=saves")
		b.problem("provider_unavailable")
		b.everyLook("provider_unavailable")
		s.authelia.Up()
		b.signIn("alice")
		b.in("/rom/7?tab=saves", "alice")
	})
}

// everyLook takes screenshots of the page in light and dark, wide and narrow, and
// fails the test if the content does not fit, or cannot be used with a screen reader
// or a keyboard.
func (b *tab) everyLook(name string) {
	b.t.Helper()
	grounds := map[string]bool{}
	for _, scheme := range []string{"light", "dark"} {
		for size, width := range map[string]int64{"wide": 1000, "narrow": 320} {
			b.do("changing the size", chromedp.EmulateViewport(width, 667))
			b.scheme(scheme)
			b.script(`document.querySelector("details")?.setAttribute("open", "")`)
			if b.script(`document.documentElement.scrollWidth > innerWidth`) == "true" {
				b.t.Errorf("%s %s: the page is wider than the window", scheme, size)
			}
			b.screenshot("page-" + name + "-" + scheme + "-" + size)
		}
		if mode == "" { // the pages are the same in the other modes
			b.accessible(name + " " + scheme)
		}
		grounds[b.script(`getComputedStyle(document.body).backgroundColor`)] = true
	}
	b.keyboard(name)
	if len(grounds) != 2 {
		b.t.Errorf("light and dark have the same background: %v", grounds)
	}
}

// narrow makes the window as narrow as a phone.
func (b *tab) narrow() {
	b.t.Helper()
	b.do("narrowing the window", chromedp.EmulateViewport(320, 667))
}

// scheme makes the user prefer the color scheme, light or dark.
func (b *tab) scheme(scheme string) {
	b.t.Helper()
	b.do("changing the look", func(ctx context.Context, t *chromedp.Target) (chromedp.Void, error) {
		_, err := cdp.Call(ctx, t, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
		})
		return chromedp.Void{}, err
	})
}
