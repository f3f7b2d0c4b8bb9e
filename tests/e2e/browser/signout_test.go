// Signing out with a real browser.

package browser

import (
	"testing"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/tests/authelia"
	"github.com/romm-oidc/caddy-romm-oidc/tests/romm"
)

// RomM's own button leads through the portal's logout page to our signed-out
// page, which does not start a sign-in. Back and reload ask for a sign-in
// again.
func TestSignOut(t *testing.T) {
	for _, version := range []string{"5.2.0", "4.8.0"} {
		t.Run(version, func(t *testing.T) {
			s := start(t, options{version: version})
			b := s.signedIn("/rom/7")
			portal := b.watch(s.portal + "/logout?rd=")
			b.click("logout")
			b.signedOut()
			b.screenshot("signed-out-" + version)
			if len(portal()) == 0 {
				t.Error("the browser did not pass through the portal's logout page")
			}
			if live := s.romm.Sessions(); live != 0 {
				t.Errorf("RomM has %d sessions, want 0", live)
			}
			for _, c := range b.cookies() {
				t.Errorf("the browser keeps the cookie %s, want none", c.Name)
			}
			s.authelia.ForgetRequests()
			b.stays(2 * time.Second)
			b.signedOut()
			if calls := s.authelia.Calls(authelia.EndpointAuthorization); calls != 0 {
				t.Error("the signed-out page started a sign-in by itself")
			}

			b.back()
			b.atPortal()
			b.open("/rom/7")
			b.atPortal()
			b.signIn("bob") // another user of the same machine
			b.in("/rom/7", "bob")
		})
	}
}

// The page's only button starts a new sign-in.
func TestSignInAgain(t *testing.T) {
	s := start(t, options{})
	b := s.signedIn("/rom/7")
	b.click("logout")
	b.signedOut()
	b.click("sign-in")
	b.signIn("alice")
	b.in("/", "alice")
}

// Pages of older releases do not follow the URL in the answer to a sign-out:
// 4.4 goes to its login route, and 4.7 starts a sign-in from there. Neither
// may end signed in again.
func TestSignOutOfOldRomM(t *testing.T) {
	t.Run("4.4.0", func(t *testing.T) {
		b := oldRomM(t, "4.4.0")
		b.click("logout")
		b.await(`!document.getElementById("login").hidden`)
		b.stays(2 * time.Second)
		b.screenshot("signed-out-4.4.0")
		b.open("/login") // like a reload
		b.signedOut()
	})
	t.Run("4.7.0", func(t *testing.T) {
		b := oldRomM(t, "4.7.0")
		b.click("logout")
		b.signedOut()
		b.stays(2 * time.Second)
		b.signedOut()
	})
}

// oldRomM signs in to a RomM without roles, at a portal that asks for consent
// once.
func oldRomM(t *testing.T, version string) *tab {
	t.Helper()
	s := start(t, options{version: version, consent: "implicit", directive: "# no roles before 4.8", roleless: true})
	s.romm.AddUser(romm.User{Username: "root", Email: "root@example.com", Role: "admin"}) // other users cannot sign in before
	b := s.signedIn("/rom/7")
	return b
}

// A sign-out in one tab signs out all tabs.
func TestSignOutInAnotherTab(t *testing.T) {
	s := start(t, options{})
	b := s.signedIn("/rom/7")
	other := b.another()
	other.open("/rom/8")
	other.in("/rom/8", "alice")
	other.click("logout")
	other.signedOut()
	b.click("save") // RomM's page notices, and starts a sign-in
	b.atPortal()
	if saved := s.romm.SaveCount(); saved != 0 {
		t.Errorf("RomM has %d saves, want 0", saved)
	}
	b.signIn("alice")
	b.in("/rom/7", "alice")
}
