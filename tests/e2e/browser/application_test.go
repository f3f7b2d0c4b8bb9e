// RomM's page behind the gate: scan, save, download, and a restart of RomM.

package browser

import (
	"bytes"
	"context"
	"io"
	"os"
	"testing"

	"github.com/chromedp/cdproto/browser"
	"github.com/chromedp/chromedp"

	"github.com/romm-oidc/caddy-romm-oidc/tests/authelia"
	"github.com/romm-oidc/caddy-romm-oidc/tests/romm"
)

// All of RomM works for a user who signed in at the portal only: a scan over a
// socket, a save under RomM's CSRF protection, a download.
func TestApplication(t *testing.T) {
	for _, version := range []string{"5.2.0", "4.8.0"} {
		t.Run(version, func(t *testing.T) {
			s := start(t, options{version: version})
			b := s.signedIn("/rom/1")
			b.screenshot("romm-" + version)

			b.scan()
			b.save()
			if saved := s.romm.SaveCount(); saved != 1 {
				t.Errorf("RomM has %d saves, want 1", saved)
			}
			want, err := io.ReadAll(romm.Content(1 << 20))
			if err != nil {
				t.Fatal(err)
			}
			if got := b.download("download"); !bytes.Equal(got, want) {
				t.Errorf("downloaded %d bytes, want the %d of the game", len(got), len(want))
			}
			// The browser loads the cover as an image, with the ticket alone.
			b.await(`document.querySelector(".game img").naturalWidth > 0`)
			b.onlyOurs()
		})
	}
}

// RomM restarts while a user looks at it, and forgets all its sessions. The
// user notices nothing: no sign-in and no lost save.
func TestRestartOfRomM(t *testing.T) {
	for name, next := range map[string]func(*tab){
		"save": (*tab).save,
		"scan": (*tab).scan,
		"open": func(b *tab) { b.open("/rom/1"); b.in("/rom/1", "alice") },
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t, options{})
			b := s.signedIn("/rom/1")
			s.authelia.ForgetRequests()
			elsewhere := b.watch(s.portal)
			b.restartRomM()
			next(b)
			if seen := elsewhere(); len(seen) > 0 {
				t.Errorf("the browser went to the portal, want no sign-in: %v", seen)
			}
			if calls := s.authelia.Calls(authelia.EndpointAuthorization); calls != 0 {
				t.Errorf("the portal got %d authorization requests, want 0", calls)
			}
		})
	}
}

// restartRomM restarts RomM while the page sends requests, as it does all the
// time.
func (b *tab) restartRomM() {
	b.t.Helper()
	b.romm.Down()
	if got := b.script(`fetch("/api/heartbeat").then((r) => r.status)`); got != "502" {
		b.t.Errorf("a request while RomM is away answered %s, want 502", got)
	}
	b.romm.Restart()
	b.romm.Up()
}

// scan starts a scan and waits for its end.
func (b *tab) scan() {
	b.t.Helper()
	b.click("scan")
	b.await(`document.getElementById("scan-result").textContent.startsWith("done, 3 games")`)
}

// save stores a saved game.
func (b *tab) save() {
	b.t.Helper()
	b.click("save")
	b.await(`/^saved #\d+$/.test(document.getElementById("save-result").textContent)`)
}

// download clicks a link and returns the downloaded file.
func (b *tab) download(id string) []byte {
	b.t.Helper()
	folder, events := b.t.TempDir(), true
	if _, err := chromedp.CallBrowser(b.ctx, browser.SetDownloadBehavior, browser.SetDownloadBehaviorParams{
		Behavior: browser.SetDownloadBehaviorBehaviorAllowAndName, DownloadPath: folder, EventsEnabled: &events,
		BrowserContextID: chromedp.FromContext(b.ctx).BrowserContextID,
	}); err != nil {
		b.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	done := make(chan string, 1)
	if err := chromedp.ListenBrowser(ctx, func(event any) {
		if e, ok := event.(*browser.EventDownloadProgress); ok && e.State == browser.DownloadProgressStateCompleted {
			select {
			case done <- e.GUID:
			default:
			}
		}
	}); err != nil {
		b.t.Fatal(err)
	}
	b.click(id)
	select {
	case guid := <-done:
		root, err := os.OpenRoot(folder)
		if err != nil {
			b.t.Fatal(err)
		}
		defer root.Close()
		content, err := root.ReadFile(guid)
		if err != nil {
			b.t.Fatal(err)
		}
		return content
	case <-ctx.Done():
		b.fail("nothing was downloaded")
		return nil
	}
}
