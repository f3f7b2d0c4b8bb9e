// What users do, in the engines that are not Chromium's.

package browser

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/tests/authelia"
	"github.com/romm-oidc/caddy-romm-oidc/tests/romm"
)

func TestFirefox(t *testing.T) {
	t.Parallel()
	if mode == "stripped" {
		return // for Safari before 16.4: Firefox has always sent Fetch Metadata since 2021
	}
	everyPath(t, firefox)
}

func TestWebKitGTK(t *testing.T) {
	t.Parallel()
	everyPath(t, webkit)
}

func everyPath(t *testing.T, e *engine) {
	t.Helper()
	for name, walk := range map[string]func(*tab, *engine){
		"deep link":           deepLink,
		"every navigation":    func(b *tab, _ *engine) { everyNavigationGetsAPage(b) },
		"Back after sign-out": backAfterSignOut,
		"typed sign-out":      typedSignOut,
		"sessions page":       sessionsPage,
		"form":                formWithoutSession,
		"download":            download,
		"guess":               guess,
		"eight tabs":          eightTabs,
	} {
		t.Run(name, func(t *testing.T) { walk(e.visitor(serveStack(t, options{})), e) })
	}
}

// arrive opens target and signs in as alice.
func (b *tab) arrive(target string) {
	b.t.Helper()
	b.open(target)
	b.signIn("alice")
	b.in(target, "alice")
}

// driven returns the tab's controls with Back and Reload.
func (b *tab) driven() *window { return b.controls.(*window) }

// A deep link leads to the portal and back to the same URL, not re-encoded. A
// reload keeps the user signed in, and RomM works: a save, a scan over a socket.
func deepLink(b *tab, _ *engine) {
	const target = "/rom/7?q=a+b&q=%C3%BC&empty=&flag"
	b.arrive(target)
	b.patiently("reloading", b.driven().Reload)
	b.in(target, "alice")
	b.save()
	b.scan()
	if saved := b.romm.SaveCount(); saved != 1 {
		b.t.Errorf("RomM has %d saves, want 1", saved)
	}
}

// After a sign-out, Back does not show a page of the session. WebKit stores it
// all the same if it is http. No request of that page is signed in.
func backAfterSignOut(b *tab, e *engine) {
	b.arrive("/rom/7")
	b.open("/rom/8")
	b.in("/rom/8", "alice")
	b.click("logout")
	b.signedOut()
	shown := false
	for range 4 { // the portal's pages, then ours
		b.patiently("going back", b.driven().Back)
		b.await(`document.readyState === "complete"`)
		if b.script(`location.origin`) != b.origin {
			continue
		}
		shown = shown || b.script(`document.getElementById("user")?.textContent`) == "alice"
		if got := b.script(`fetch("/api/users/me").then((r) => r.status)`); got != "401" {
			b.t.Errorf("%s answered %s to a request after the sign-out, want 401", b.script(`location.href`), got)
		}
	}
	if want := e == webkit && mode == "http"; shown != want {
		b.t.Errorf("Back showed the signed-in page: %t, want %t", shown, want)
	}
}

// A typed address signs out at once if the browser says that it was typed, and
// otherwise asks first.
func typedSignOut(b *tab, e *engine) {
	b.arrive("/rom/7")
	b.open(base + "/logout")
	if e == webkit || mode == "http" {
		b.await(`document.title === "Sign out?"`)
		if live := b.romm.Sessions(); live != 1 {
			b.t.Errorf("RomM has %d sessions before the answer, want 1", live)
		}
		b.click("sign-out")
	}
	b.signedOut()
	if live := b.romm.Sessions(); live != 0 {
		b.t.Errorf("RomM has %d sessions, want 0", live)
	}
}

// The form of the gate's own page works.
func sessionsPage(b *tab, _ *engine) {
	b.arrive("/rom/7")
	b.open(base + "/session")
	b.await(`document.title === "Where you are signed in"`)
	b.script(`document.querySelector("li form button").click()`)
	b.signedOut()
	if live := b.romm.Sessions(); live != 0 {
		b.t.Errorf("RomM has %d sessions, want 0", live)
	}
}

// A form that a page sends after its session has ended gets a page for people.
func formWithoutSession(b *tab, _ *engine) {
	b.arrive("/rom/7")
	b.script(`api("POST", "/api/logout")`) // as RomM's button does
	b.script(`(() => { const form = document.createElement("form"); form.method = "post"; form.action = "/api/saves?rom_id=1"; document.body.append(form); form.submit(); })()`)
	b.await(`location.pathname === "/api/saves"`)
	b.problem("not_signed_in")
	if saved := b.romm.SaveCount(); saved != 0 {
		b.t.Errorf("RomM has %d saves, want 0", saved)
	}
}

// A download begins from a link, with the attribute download and without.
// WebKit sends no Fetch Metadata with the first.
func download(b *tab, _ *engine) {
	b.arrive("/rom/7")
	for attribute, path := range map[string]string{"": "/api/roms/1/content/Demo (USA).nes", "x.nes": "/api/roms/1/content/Demo [!].nes"} {
		b.script(`(() => { const a = document.createElement("a"); a.href = ` + quote(path) + `;
			if (` + quote(attribute) + `) a.download = ` + quote(attribute) + `; document.body.append(a); a.click(); })()`)
		arrived := func() bool {
			return slices.ContainsFunc(b.romm.Requests(), func(r romm.Request) bool { return r.Path == path && r.User == "alice" })
		}
		for began := time.Now(); !arrived(); time.Sleep(20 * time.Millisecond) {
			if time.Since(began) > patience {
				b.t.Fatalf("RomM did not get a request of alice for %s", path)
			}
		}
	}
	b.in("/rom/7", "alice") // the page is still there
}

// A page lets the browser guess what its user opens next. Nothing begins or ends
// for a guess.
func guess(b *tab, _ *engine) {
	b.arrive("/rom/7")
	b.authelia.ForgetRequests()
	for _, origin := range []string{b.sibling, b.foreign, b.origin} {
		b.open(origin + "/")
		b.script(`(() => {
			for (const path of ["/login", "/api/login/openid", "/api/oauth/openid/login", "/api/oauth/openid/logout"]) {
				const link = document.createElement("link");
				link.rel = "prefetch";
				link.href = ` + quote(b.origin) + ` + path;
				document.head.append(link);
			}
			return new Promise((done) => setTimeout(done, 500)); // no event says that a browser will not guess
		})()`)
	}
	if calls := b.authelia.Calls(authelia.EndpointAuthorization); calls != 0 {
		b.t.Errorf("guesses started %d sign-ins, want 0", calls)
	}
	b.open("/rom/8")
	b.in("/rom/8", "alice")
}

// Eight tabs wait at the portal. Each returns to its own page.
func eightTabs(b *tab, e *engine) {
	tabs := []*tab{b}
	for len(tabs) < 8 {
		tabs = append(tabs, e.visitor(b.stack))
	}
	target := func(i int) string { return fmt.Sprintf("/rom/%d?x=%s", i, strings.Repeat("y", 100)) }
	for i, b := range tabs {
		b.open(target(i))
		b.atPortal()
	}
	for i, b := range tabs {
		b.signIn("alice")
		b.in(target(i), "alice")
	}
}
