// What a browser that sends no Fetch Metadata gets, and what its guesses do.

package browser

import (
	"context"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"

	"github.com/romm-oidc/caddy-romm-oidc/tests/authelia"
)

// Every link that a user opens leads to the portal or to a page, also where the
// browser does not say that it navigates.
func TestEveryNavigationGetsAPage(t *testing.T) {
	everyNavigationGetsAPage(start(t, options{}).visitor())
}

func everyNavigationGetsAPage(b *tab) {
	b.t.Helper()
	for _, target := range []string{"/api/login/openid", "/login?next=%2From%2F7", "/rom/7", "/api/roms/1/content/demo.nes", base + "/session", base + "/login?next=%2From%2F7"} {
		b.open(target)
		b.atPortal()
	}
	b.open(base + "/x")
	b.problem("not_found")
	b.open("/a%00b")
	b.problem("bad_request")
	b.open(base + "/session")
	b.signIn("alice")
	b.await(`document.title === "Where you are signed in"`)
	b.open("/rom/7")
	b.in("/rom/7", "alice")
}

// After a sign-out, Back shows nothing of the session: no page of it is stored.
func TestBackShowsNothingOfTheSession(t *testing.T) {
	s := start(t, options{})
	b := s.signedIn("/rom/7")
	b.open("/rom/8")
	b.in("/rom/8", "alice")
	b.open(base + "/session")
	b.await(`document.title === "Where you are signed in"`)
	b.script(`document.querySelector("li form button").click()`)
	b.await(`location.origin === ` + quote(b.portal) + ` || location.pathname.endsWith("/signed-out")`)
	history := b.history()
	for _, entry := range history.Entries {
		if entry.URL != s.origin+"/rom/8" {
			continue
		}
		b.do("going back", func(ctx context.Context, t *chromedp.Target) (chromedp.Void, error) {
			_, err := cdp.Call(ctx, t, page.NavigateToHistoryEntry, page.NavigateToHistoryEntryParams{EntryID: entry.ID})
			return chromedp.Void{}, err
		})
		b.await(`location.origin === ` + quote(b.portal))
		return
	}
	t.Errorf("the history has no entry of /rom/8: %+v", history.Entries)
}

// Another site lets the browser guess what its user opens next. Nothing begins or
// ends for a guess.
func TestGuessesHaveNoEffect(t *testing.T) {
	s := start(t, options{})
	b := s.signedIn("/rom/7")
	s.authelia.ForgetRequests()
	f := b.another()
	for _, origin := range []string{s.sibling, s.foreign} {
		f.visit(origin)
		asked := f.watch(s.origin)
		f.script(`(() => {
			const site = ` + quote(s.origin) + `, paths = ["/login", "/api/login/openid", "/api/oauth/openid/login", "/api/oauth/openid/logout"];
			for (const path of paths) {
				const link = document.createElement("link");
				link.rel = "prefetch";
				link.href = site + path;
				document.head.append(link);
			}
			for (const kind of ["prefetch", "prerender"]) {
				const rules = document.createElement("script");
				rules.type = "speculationrules";
				rules.textContent = JSON.stringify({[kind]: [{source: "list", urls: paths.map((path) => site + path), eagerness: "immediate"}]});
				document.head.append(rules);
			}
		})()`)
		for began := time.Now(); len(asked()) < 4 && time.Since(began) < 3*time.Second; time.Sleep(50 * time.Millisecond) {
		}
	}
	if calls := s.authelia.Calls(authelia.EndpointAuthorization); calls != 0 {
		t.Errorf("guesses started %d sign-ins, want 0", calls)
	}
	b.open("/rom/8")
	b.in("/rom/8", "alice")
	b.onlyOurs()
}
