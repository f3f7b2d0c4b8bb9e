package browser

import (
	"testing"

	"github.com/romm-oidc/caddy-romm-oidc/tests/authelia"
)

// Somebody follows a link deep into the library, signs in at the portal, and
// is at exactly that link: no byte of it was added, lost or encoded anew, and
// the player's page is still isolated. The browser has one credential, ours.
func TestDeepLink(t *testing.T) {
	for name, row := range map[string]struct{ target, isolated string }{
		"home":   {"/", "no"},
		"player": {"/rom/7/ejs", "yes"},
		"query":  {"/rom/7?tab=saves&q=a%20b", "no"},
		"odd":    {"/rom/7?q=a+b&q=%C3%BC&empty=&flag", "no"},
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t, options{})
			b := s.visitor()
			b.open(row.target)
			b.signIn("alice")
			b.in(row.target, "alice")
			if got := b.text("role"); got != "admin" {
				t.Errorf("RomM's page shows the role %s, want admin", got)
			}
			if got := b.text("isolated"); got != row.isolated {
				t.Errorf("RomM's page is isolated: %s, want %s", got, row.isolated)
			}
			b.onlyOurs()
		})
	}
}

// onlyOurs fails unless the ticket is the only credential that the browser has for the site.
func (b *tab) onlyOurs() {
	b.t.Helper()
	var tickets int
	for _, c := range b.cookies() {
		switch c.Name {
		case "__Host-romm_oidc":
			tickets++
			if !c.HTTPOnly || !c.Secure || c.SameSite != "Lax" || c.Path != "/" || c.Session {
				b.t.Errorf("the ticket's cookie is %+v, want HttpOnly, Secure, Lax, persistent and the path /", c)
			}
		case "romm_csrftoken": // for scripts, and no credential
		default:
			b.t.Errorf("the browser keeps the cookie %s, want the ticket alone", c.Name)
		}
	}
	if tickets != 1 {
		b.t.Errorf("the browser has %d tickets, want 1", tickets)
	}
}

// Whoever the portal does not let in stays there: a wrong password, a disabled account.
func TestRefusedAtPortal(t *testing.T) {
	s := start(t, options{})
	for name, row := range map[string]struct{ user, password string }{
		"wrong password": {"alice", "wrong"},
		"disabled":       {"dave", "dave-password"},
	} {
		t.Run(name, func(t *testing.T) {
			b := s.visitor()
			b.open("/rom/7")
			b.submit(row.user, row.password)
			b.await(`document.getElementById("error")`)
			b.atPortal()
			// The site still knows nothing of them.
			b.open("/rom/7")
			b.atPortal()
			for _, c := range b.cookies() {
				if c.Name == "__Host-romm_oidc" {
					t.Error("the refused user's browser has a ticket")
				}
			}
		})
	}
	if live := s.romm.Sessions(); live != 0 {
		t.Errorf("RomM has %d sessions, want 0", live)
	}
}

// Who is no administrator by our roles is a plain user in RomM.
func TestPlainUser(t *testing.T) {
	s := start(t, options{})
	alice := s.visitor() // RomM's first must be an administrator
	alice.open("/")
	alice.signIn("alice")
	alice.in("/", "alice")
	bob := s.visitor()
	bob.open("/rom/2")
	bob.signIn("bob")
	bob.in("/rom/2", "bob")
	if got := bob.text("role"); got != "user" {
		t.Errorf("RomM's page shows the role %s, want user", got)
	}
}

// The browser starts with five tabs from last time. Each has its own sign-in
// under way, and each ends where it was.
func TestFiveTabs(t *testing.T) {
	targets := []string{"/rom/1", "/rom/2?tab=saves", "/rom/3/ejs", "/platform/4", "/collection/5"}
	open := func(first *tab) []*tab {
		tabs := append(make([]*tab, 0, len(targets)), first)
		for range targets[1:] {
			tabs = append(tabs, first.another())
		}
		for i, b := range tabs {
			b.script(`setTimeout(() => location.assign(` + quote(b.site+targets[i]) + `)), 0`) // does not wait for an answer
		}
		return tabs
	}
	stayIn := func(t *testing.T, tabs []*tab) {
		t.Helper()
		for i, b := range tabs { // by whichever ticket is left
			b.open(targets[i])
			b.in(targets[i], "alice")
		}
		tabs[0].onlyOurs()
	}
	t.Run("each with its form", func(t *testing.T) {
		s := start(t, options{})
		tabs := open(s.visitor())
		for _, b := range tabs {
			b.atPortal()
		}
		for i, b := range tabs {
			b.signIn("alice")
			b.in(targets[i], "alice")
		}
		stayIn(t, tabs)
		if live := s.romm.Sessions(); live != 1 {
			t.Errorf("RomM has %d sessions, want 1", live)
		}
	})
	// The portal still knows the visitor: all five sign-ins run by themselves, at once.
	t.Run("by themselves", func(t *testing.T) {
		s := start(t, options{consent: "implicit"})
		b := s.visitor()
		b.open(s.portal + "/")
		b.submit("alice", "alice-password")
		b.await(`document.getElementById("logout")`)
		tabs := open(b)
		for i, b := range tabs {
			b.in(targets[i], "alice")
		}
		stayIn(t, tabs)
	})
}

// Back, after a sign-in, leads to no error of the site's, and the site still
// knows its visitor.
func TestBackAfterSignIn(t *testing.T) {
	for _, consent := range []string{"auto", "implicit"} {
		t.Run(consent, func(t *testing.T) {
			s := start(t, options{consent: consent})
			b := s.signedIn("/rom/7")
			for range len(b.history().Entries) - 1 {
				b.back()
				if at := b.script(`location.origin`); at == s.site {
					t.Errorf("the Back button leads to %s, want no page of the public origin", b.script(`location.href`))
				}
			}
			b.open("/rom/7")
			b.in("/rom/7", "alice")
		})
	}
}

// The callback's address comes a second time: from the history, or copied to
// another browser. It redeems nothing again.
func TestCallbackTwice(t *testing.T) {
	s := start(t, options{})
	b := s.visitor()
	callbacks := b.watch(s.site + base + "?")
	b.open("/rom/7")
	b.signIn("alice")
	b.in("/rom/7", "alice")
	seen := callbacks()
	if len(seen) != 1 {
		t.Fatalf("the browser opened the callbacks %v, want one", seen)
	}
	s.authelia.ForgetRequests()

	b.open(seen[0])
	b.in("/", "alice")
	other := s.visitor()
	other.open(seen[0])
	other.atPortal()
	if calls := s.authelia.Calls(authelia.EndpointToken); calls != 0 {
		t.Errorf("the portal got %d token requests, want 0", calls)
	}
	b.open("/rom/7") // neither ended the session
	b.in("/rom/7", "alice")
	other.signIn("bob")
	other.in("/", "bob")
}

// A browser that keeps no cookies of the site gets a page that says so, and no
// redirects without end.
func TestCookiesBlocked(t *testing.T) {
	s := start(t, options{consent: "implicit"})
	browser := own(t, `{"profile": {"content_settings": {"exceptions": {"cookies": {"[*.]romm.example.com,*": {"setting": 2}}}}}}`)
	b := browser.visitor(s)
	b.open("/rom/7")
	b.submit("alice", "alice-password")
	b.problem("cookies_missing")
	if len(b.cookies()) != 0 {
		t.Fatalf("the browser keeps the cookies %v, want none", b.cookies())
	}
	// One sign-in, and one more to be sure.
	if calls := s.authelia.Calls(authelia.EndpointAuthorization); calls > 3 {
		t.Errorf("the portal got %d authorization requests, want at most 3", calls)
	}
	if calls := s.authelia.Calls(authelia.EndpointToken); calls != 0 {
		t.Errorf("the portal got %d token requests, want 0", calls)
	}
	b.click("retry")
	b.problem("cookies_missing")
}
