// Signing in with a real browser: deep links, several tabs, Back, blocked cookies.

package browser

import (
	"testing"

	"github.com/romm-oidc/caddy-romm-oidc/tests/authelia"
)

// A user follows a deep link, signs in at the portal, and returns to exactly
// that URL, not re-encoded. The player's page is still isolated. The browser
// has one credential, our ticket.
func TestDeepLink(t *testing.T) {
	for name, row := range map[string]struct{ target, isolated string }{
		"home":                    {"/", "no"},
		"player":                  {"/rom/7/ejs", "yes"},
		"query":                   {"/rom/7?tab=saves&q=a%20b", "no"},
		"query with + and %C3%BC": {"/rom/7?q=a+b&q=%C3%BC&empty=&flag", "no"},
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
			if got := b.text("isolated"); got != row.isolated && mode != "http" { // http is no secure context
				t.Errorf("RomM's page is isolated: %s, want %s", got, row.isolated)
			}
			b.onlyOurs()
		})
	}
}

// With response_mode form_post the portal's page sends the response in a form. The
// code is in no address, and nothing but the ticket is left.
func TestFormPost(t *testing.T) {
	if mode == "http" { // form_post needs https
		return
	}
	s := start(t, options{directive: rolesByMail + "\nresponse_mode form_post"})
	b := s.signedIn("/rom/7/ejs")
	b.onlyOurs()
	b.save()
}

// onlyOurs fails the test unless the ticket is the browser's only credential
// for the public origin.
func (b *tab) onlyOurs() {
	b.t.Helper()
	var tickets int
	for _, c := range b.cookies() {
		switch c.Name {
		case b.ticketName():
			tickets++
			if !c.HTTPOnly || c.Secure != (mode != "http") || c.SameSite != "Lax" || c.Path != "/" || c.Session {
				b.t.Errorf("the ticket's cookie is %+v, want HttpOnly, Secure, Lax, persistent and the path /", c)
			}
		case "romm_csrftoken": // for scripts, not a credential
		default:
			b.t.Errorf("the browser keeps the cookie %s, want the ticket alone", c.Name)
		}
	}
	if tickets != 1 {
		b.t.Errorf("the browser has %d tickets, want 1", tickets)
	}
}

// A user with a wrong password or a disabled account is refused at the portal,
// and stays there.
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
			// The user is not signed in.
			b.open("/rom/7")
			b.atPortal()
			for _, c := range b.cookies() {
				if c.Name == s.ticketName() {
					t.Error("the refused user's browser has a ticket")
				}
			}
		})
	}
	if live := s.romm.Sessions(); live != 0 {
		t.Errorf("RomM has %d sessions, want 0", live)
	}
}

// A user without the administrator's role is a plain user in RomM.
func TestPlainUser(t *testing.T) {
	s := start(t, options{})
	alice := s.visitor() // RomM's first user must be an administrator
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

// The browser restores five tabs at its start. Each has its own pending
// sign-in, and each returns to its own page.
func TestFiveTabs(t *testing.T) {
	targets := []string{"/rom/1", "/rom/2?tab=saves", "/rom/3/ejs", "/platform/4", "/collection/5"}
	open := func(first *tab) []*tab {
		tabs := append(make([]*tab, 0, len(targets)), first)
		for range targets[1:] {
			tabs = append(tabs, first.another())
		}
		for i, b := range tabs {
			b.script(`setTimeout(() => location.assign(` + quote(b.origin+targets[i]) + `)), 0`) // without waiting for an answer
		}
		return tabs
	}
	stayIn := func(t *testing.T, tabs []*tab) {
		t.Helper()
		for i, b := range tabs { // with the ticket of the last sign-in
			b.open(targets[i])
			b.in(targets[i], "alice")
		}
		tabs[0].onlyOurs()
	}
	t.Run("each with a login form", func(t *testing.T) {
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
	// The user is signed in at the portal: all five sign-ins run at once,
	// without a click.
	t.Run("without a click", func(t *testing.T) {
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

// The Back button, after a sign-in, does not lead to an error page, and the
// user stays signed in.
func TestBackAfterSignIn(t *testing.T) {
	for _, consent := range []string{"auto", "implicit"} {
		t.Run(consent, func(t *testing.T) {
			s := start(t, options{consent: consent})
			b := s.signedIn("/rom/7")
			for range len(b.history().Entries) - 1 {
				b.back()
				if at := b.script(`location.origin`); at == s.origin {
					t.Errorf("the Back button leads to %s, want no page of the public origin", b.script(`location.href`))
				}
			}
			b.open("/rom/7")
			b.in("/rom/7", "alice")
		})
	}
}

// The callback's URL is opened a second time, from the history or in another
// browser. The code is not redeemed again.
func TestCallbackTwice(t *testing.T) {
	s := start(t, options{})
	b := s.visitor()
	callbacks := b.watch(s.origin + base + "?")
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
	b.open("/rom/7") // neither request ended the session
	b.in("/rom/7", "alice")
	other.signIn("bob")
	other.in("/", "bob")
}

// A browser that refuses cookies gets a page that says so, and no redirect
// loop.
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
	// One sign-in, and one retry.
	if calls := s.authelia.Calls(authelia.EndpointAuthorization); calls > 3 {
		t.Errorf("the portal got %d authorization requests, want at most 3", calls)
	}
	if calls := s.authelia.Calls(authelia.EndpointToken); calls != 0 {
		t.Errorf("the portal got %d token requests, want 0", calls)
	}
	b.click("retry")
	b.problem("cookies_missing")
}
