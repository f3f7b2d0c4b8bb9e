// Every behaviour of README.md's table against every supported release of RomM.

package tests

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/romm-oidc/caddy-romm-oidc/tests/romm"
)

// release is a RomM release that the suite runs against.
type release struct {
	name    string // the column's heading
	version string
	denied  int  // the status that its page understands as signed out
	roles   bool // it supports roles
	signed  bool // its session is a signed cookie with a fixed end
	owned   bool // a socket belongs to a user
	formAPI bool // a form changes a profile; before, the query did
}

var releases = []release{
	{name: "3.10", version: "3.10.0", denied: 403, signed: true},
	{name: "4.4", version: "4.4.1", denied: 403, signed: true, formAPI: true},
	{name: "4.8", version: "4.8.0", denied: 403, roles: true, formAPI: true},
	{name: "5.0", version: "5.0.0", denied: 403, roles: true, owned: true, formAPI: true},
	{name: "5.1", version: "5.1.0", denied: 403, roles: true, owned: true, formAPI: true},
	{name: "5.2", version: "5.2.0", denied: 401, roles: true, owned: true, formAPI: true},
	{name: "5.3", version: "5.3.0", denied: 401, roles: true, owned: true, formAPI: true},
}

// atLeast reports whether v is the release called name, or a later one.
func (v release) atLeast(name string) bool {
	reached := false
	for _, other := range releases {
		reached = reached || other.name == name
		if other.name == v.name {
			return reached
		}
	}
	return false
}

// behaviour is a row of README.md's table.
type behaviour struct {
	name string
	cell func(release) string // the table's cell, "" for yes; "–" where RomM lacks the feature
	run  func(trial)
}

// from returns the cells of a feature that came with the release called name.
func from(name string) func(release) string {
	return func(v release) string {
		if v.atLeast(name) {
			return ""
		}
		return "–"
	}
}

func withRoles(otherwise string) func(release) string {
	return func(v release) string {
		if v.roles {
			return ""
		}
		return otherwise
	}
}

var behaviours = []behaviour{
	{name: "sign-in, and back to the requested page", run: deepLink},
	{name: "RomM's own login page and button lead there too", run: loginRoute},
	{name: "Back after a sign-in", run: backAfterSignIn},
	{name: "the status that a script gets without a session", cell: func(v release) string { return itoa(v.denied) }, run: scriptDenied},
	{name: "an anonymous heartbeat, unstamped", run: anonymousHeartbeat},
	{name: "manifest and icons without a cookie", run: brandFiles},
	{name: "the first save after a sign-in passes RomM's CSRF check", run: firstSave},
	{name: "the same after another user signs in", run: userSwitch},
	{name: "a scan over WebSocket", run: scanOverWebSocket},
	{name: "a scan over polling", run: scanOverPolling},
	{name: "no socket without a session", run: noSocket},
	{name: "sign-out by RomM's button", run: signOutByButton},
	{name: "sign-out by hand", run: signOutByHand},
	{name: "RomM restarts: no read and no save is lost", run: restarted},
	{name: "RomM's session ends: the user does not notice", run: expired},
	{name: "RomM is upgraded from the release to the left: the user does not notice", cell: func(v release) string {
		if v.name == releases[0].name {
			return "–"
		}
		return ""
	}, run: upgraded},
	{name: "a profile changed in RomM stays linked", run: changedProfile},
	{name: "`roles`", cell: withRoles("refused"), run: roles},
	{name: "a demotion, but never of the last administrator", cell: withRoles("–"), run: demotion},
	{name: "the first administrator of a fresh RomM", cell: withRoles("refused"), run: firstAdministrator},
	{name: "a user disabled in RomM stays out", run: disabledInRomM},
	{name: "a user without an account stays out, if RomM does not create accounts", cell: from("5.0"), run: registrationOff},
	{name: "RomM knows the user's browser as a device", cell: from("5.0"), run: webDevice},
	{name: "a handheld with a `rmm_` token", cell: from("4.8"), run: handheldToken},
	{name: "a handheld is paired", cell: from("4.8"), run: handheldPaired},
	{name: "a handheld signs in by device code", cell: from("5.0"), run: handheldDevice},
	{name: "RomM's open endpoints stay shut", run: openEndpoints},
	{name: "covers and pages stay out of shared caches", run: privateCaching},
}

// TestVersions runs every behaviour against every release.
func TestVersions(t *testing.T) {
	for _, v := range releases {
		for _, b := range behaviours {
			if b.cell != nil && b.cell(v) == "–" {
				continue
			}
			t.Run(v.name+"/"+b.name, func(t *testing.T) { b.run(trial{t, v}) })
		}
	}
}

// trial is one behaviour against one release.
type trial struct {
	*testing.T
	release
}

// start starts a stack with a RomM of this release that has an administrator.
func (t trial) start(change ...func(*romm.Options)) *stack {
	t.Helper()
	s := t.startFresh(change...)
	s.romm.AddUser(romm.User{Username: "root", Email: "root@example.com", Role: "admin"})
	if !t.roles {
		s.romm.AddUser(romm.User{Username: "alice", Email: "alice@example.com", Role: "admin"})
	}
	return s
}

// startFresh starts a stack with a RomM of this release that has no users.
func (t trial) startFresh(change ...func(*romm.Options)) *stack {
	t.Helper()
	o := options{romm: func(o *romm.Options) {
		o.Version = t.version
		if !t.roles {
			o.OIDC.ClaimRoles = ""
		}
		for _, change := range change {
			change(o)
		}
	}}
	if t.roles {
		o.directive = rolesByMail
	}
	return start(t.T, o)
}

// wantUser fails the test unless RomM serves b as user.
func (b *browser) wantUser(user string) {
	b.t.Helper()
	if me := b.fetch("/api/users/me"); me.StatusCode != http.StatusOK || !strings.Contains(me.body, `"username":"`+user+`"`) {
		b.t.Errorf("/api/users/me answered %d, want 200 with the user %s: %s", me.StatusCode, user, me.body)
	}
}

// save saves a game like RomM's page, with RomM's CSRF token.
func (b *browser) save() response {
	b.t.Helper()
	return b.fetch("POST /api/saves", b.csrf()...)
}

func firstSave(t trial) {
	s := t.start()
	b := s.browser()
	b.csrf() // a token from before the sign-in
	b.signIn("/", "alice")
	if answer := b.save(); answer.StatusCode/100 != 2 || s.romm.SaveCount() != 1 {
		t.Errorf("a save after the sign-in answered %d, want success and one save: %s", answer.StatusCode, answer.body)
	}
	if answer := b.fetch("POST /api/saves", "Origin", public); answer.StatusCode != http.StatusForbidden || s.romm.SaveCount() != 1 {
		t.Errorf("a write without RomM's CSRF token answered %d, want 403", answer.StatusCode)
	}
	b.fetch("POST /api/logout", "Origin", public)
	b.csrf() // RomM's token from between the sign-ins
	b.signIn("/", "alice")
	if answer := b.save(); answer.StatusCode/100 != 2 {
		t.Errorf("a save after the sign-out answered %d, want a refusal: %s", answer.StatusCode, answer.body)
	}
}

func userSwitch(t trial) {
	s := t.start()
	b := s.as("alice")
	b.save()
	b.client.Jar = jarWithout(b, "authelia_session")
	b.signIn(base+"/login", "bob")
	b.wantUser("bob")
	if answer := b.save(); answer.StatusCode/100 != 2 || s.romm.SaveCount() != 2 {
		t.Errorf("a save after bob's sign-in answered %d, want success and two saves: %s", answer.StatusCode, answer.body)
	}
}

// jarWithout returns a copy of b's cookies without the named ones.
func jarWithout(b *browser, names ...string) http.CookieJar {
	b.t.Helper()
	jar := b.browser().client.Jar
	for _, at := range []string{public, issuer} {
		u, err := url.Parse(at)
		if err != nil {
			b.t.Fatal(err)
		}
		jar.SetCookies(u, slices.DeleteFunc(b.client.Jar.Cookies(u), func(c *http.Cookie) bool { return slices.Contains(names, c.Name) }))
	}
	return jar
}
