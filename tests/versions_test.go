// Every behaviour of README.md's table against every supported release of RomM.

package tests

import (
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

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

// README.md's table matches what TestVersions runs.
func TestVersionTable(t *testing.T) {
	document, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	var table strings.Builder
	row := func(first string, cell func(release) string) {
		table.WriteString("| " + first + " |")
		for _, v := range releases {
			table.WriteString(" " + cell(v) + " |")
		}
		table.WriteString("\n")
	}
	row("RomM", func(v release) string { return v.name })
	table.WriteString("|---" + strings.Repeat("|---", len(releases)) + "|\n")
	for _, b := range behaviours {
		row(b.name, func(v release) string {
			if b.cell == nil || b.cell(v) == "" {
				return "yes"
			}
			return b.cell(v)
		})
	}
	if !strings.Contains(string(document), "\n"+table.String()+"\n") {
		t.Errorf("README.md lacks this table:\n%s", table.String())
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

func deepLink(t trial) {
	s := t.start()
	b := s.browser()
	for _, target := range []string{"/rom/7?tab=saves&q=a%20b", "/rom/7/ejs", "/pair/device?user_code=AB-12", "/api/roms/1/content/demo.nes?x=%2F"} {
		b = s.browser()
		if answer := b.signIn(target, "alice"); answer.StatusCode != http.StatusSeeOther || answer.Header.Get("Location") != target {
			t.Errorf("the callback answered %d to %q, want 303 to %s", answer.StatusCode, answer.Header.Get("Location"), target)
		}
	}
	b.wantUser("alice")
	if answer := b.open("/rom/7/ejs"); answer.Header.Get("Cross-Origin-Embedder-Policy") != "require-corp" {
		t.Errorf("the player's page lacks Cross-Origin-Embedder-Policy: require-corp: %v", answer.Header)
	}
}

func loginRoute(t trial) {
	s := t.start()
	b := s.browser()
	if answer := b.signIn("/login?next="+url.QueryEscape("/rom/7?tab=saves"), "alice"); answer.Header.Get("Location") != "/rom/7?tab=saves" {
		t.Errorf("the callback answered %d to %q, want a redirect to /rom/7?tab=saves", answer.StatusCode, answer.Header.Get("Location"))
	}
	button := func(b *browser, referer string) response {
		return b.do("/api/login/openid", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document", "Referer", public+referer)
	}
	b = s.browser()
	answer := button(b, "/login?next=%2From%2F9")
	location, err := b.authelia.SignIn(b.client, answer.Header.Get("Location"), "alice", "alice-password")
	if err != nil {
		t.Fatal(err)
	}
	if answer = b.open(location); answer.Header.Get("Location") != "/rom/9" {
		t.Errorf("the callback answered %d to %q, want a redirect to /rom/9", answer.StatusCode, answer.Header.Get("Location"))
	}
	// A signed-in user goes straight back.
	if answer = button(b, "/login?next=%2From%2F10"); answer.Header.Get("Location") != "/rom/10" {
		t.Errorf("the login route answered a signed-in user %d to %q, want a redirect to /rom/10", answer.StatusCode, answer.Header.Get("Location"))
	}
}

func backAfterSignIn(t trial) {
	s := t.start()
	b := s.browser()
	callback := b.callback("/rom/7", "alice")
	b.open(callback)
	s.romm.ForgetRequests()
	if answer := b.open(callback); answer.StatusCode != http.StatusSeeOther || !strings.HasPrefix(answer.Header.Get("Location"), "/") {
		t.Errorf("the callback, opened again, answered %d to %q, want 303 to a page of RomM", answer.StatusCode, answer.Header.Get("Location"))
	}
	if answer := b.open(base + "?code=x&state=spent"); answer.StatusCode != http.StatusSeeOther || answer.Header.Get("Location") != "/" {
		t.Errorf("a callback with an unknown state answered %d to %q, want 303 to /", answer.StatusCode, answer.Header.Get("Location"))
	}
	for _, r := range s.romm.Requests() {
		if strings.HasPrefix(r.Path, base) {
			t.Errorf("%s reached RomM, which answers it with 500", r.Path)
		}
	}
	b.wantUser("alice")
}

func scriptDenied(t trial) {
	b := t.start().browser()
	for _, target := range []string{"/api/users/me", "/api/config", "POST /api/saves"} {
		if answer := b.fetch(target); answer.StatusCode != t.denied || !strings.Contains(answer.body, `"detail":"Not authenticated"`) {
			t.Errorf("%s without a session answered %d, want %d as RomM answers it: %s", target, answer.StatusCode, t.denied, answer.body)
		}
	}
}

func anonymousHeartbeat(t trial) {
	s := t.start()
	b := s.browser()
	answer := b.fetch("/api/heartbeat", "Authorization", "Bearer junk", "Cookie", "romm_session=stolen")
	if answer.StatusCode != http.StatusOK || !strings.Contains(answer.body, `"VERSION":"`+t.version+`"`) {
		t.Errorf("the heartbeat answered %d, want 200 with RomM's version: %s", answer.StatusCode, answer.body)
	}
	if request, _ := s.romm.LastRequest("/api/heartbeat"); request.Header.Get("Cookie") != "" || request.Header.Get("Authorization") != "" {
		t.Errorf("RomM got the header %v, want no credentials of the client", request.Header)
	}
}

func brandFiles(t trial) {
	b := t.start().browser()
	for target, dest := range map[string]string{"/site.webmanifest": "manifest", "/manifest.webmanifest": "manifest", "HEAD /favicon.ico": "image", "/android-chrome-512x512.png": "image"} {
		answer := b.do(target, "Sec-Fetch-Mode", "cors", "Sec-Fetch-Dest", dest, "Sec-Fetch-Site", "same-origin")
		if kind := answer.Header.Get("Content-Type"); answer.StatusCode != http.StatusOK || !strings.HasPrefix(kind, "image/") && kind != "application/manifest+json" {
			t.Errorf("%s answered %d with the type %q, want 200 with an image or a manifest", target, answer.StatusCode, kind)
		}
	}
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

func scanOverWebSocket(t trial) {
	s := t.start()
	for user, want := range map[string]string{"alice": `"scan:done"`, "bob": `"scan:done_ko"`} {
		if !t.owned {
			want = `"scan:done"` // this RomM does not check the user of a socket
		}
		socket, err := s.socket(s.as(user).ticket(), public)
		if err != nil {
			t.Fatal(err)
		}
		scan(t.T, socket)
		if !until(socket, want) {
			t.Errorf("%s: the scan did not end with %s", user, want)
		}
	}
	request, _ := s.romm.LastRequest("/ws/socket.io/")
	if lines := request.Header["Cookie"]; len(lines) != 1 || strings.Count(lines[0], "romm_session=") != 1 {
		t.Errorf("RomM got the Cookie lines %q, want one with one romm_session", lines)
	}
}

func scanOverPolling(t trial) {
	s := t.start()
	b := s.as("alice")
	p := b.poll("/ws")
	p.send("40")
	p.send(`42["scan",{}]`)
	if !p.until(`"scan:done"`) {
		t.Error("the scan over polling was not done")
	}
}

func noSocket(t trial) {
	s := t.start()
	s.quiet()
	if _, err := s.socket("", public); err == nil {
		t.Error("a WebSocket without a session was opened, want a refusal")
	}
	for _, mount := range []string{"/ws", "/netplay"} {
		if answer := s.browser().fetch(mount + "/socket.io/?EIO=4&transport=polling"); answer.StatusCode != http.StatusUnauthorized {
			t.Errorf("%s without a session answered %d, want 401", mount, answer.StatusCode)
		}
	}
	s.untouched("a socket without a session")
}

func signOutByButton(t trial) {
	s := t.start()
	b := s.as("alice")
	socket, err := s.socket(b.ticket(), public)
	if err != nil {
		t.Fatal(err)
	}
	ticket := b.ticket()
	answer := b.fetch("POST /api/logout", "Origin", public)
	if answer.StatusCode != http.StatusOK || !strings.Contains(answer.body, "/logout?rd=") || answer.Header.Get("Clear-Site-Data") != `"cache"` {
		t.Errorf("the sign-out answered %d, want 200 with Authelia's sign-out and Clear-Site-Data: %s; header: %v", answer.StatusCode, answer.body, answer.Header)
	}
	wantSignedOut(t.T, s, ticket)
	if until(socket, "never") {
		t.Error("the socket is open after the sign-out")
	}
	// RomM before 4.8 does not follow the address. Its login page must not
	// sign in again.
	if answer = b.open("/api/login/openid"); !strings.HasPrefix(answer.Header.Get("Location"), issuer+"/logout?rd=") {
		t.Errorf("RomM's login route answered %d to %q, want a redirect to Authelia's sign-out", answer.StatusCode, answer.Header.Get("Location"))
	}
}

func signOutByHand(t trial) {
	s := t.start()
	b := s.as("alice")
	ticket := b.ticket()
	answer := b.open(base + "/logout")
	if answer.StatusCode != http.StatusSeeOther || !strings.HasPrefix(answer.Header.Get("Location"), issuer+"/logout?rd=") {
		t.Errorf("the sign-out link answered %d to %q, want 303 to Authelia's sign-out", answer.StatusCode, answer.Header.Get("Location"))
	}
	wantSignedOut(t.T, s, ticket)
}

// wantSignedOut fails the test if ticket is still valid, or RomM has kept the
// session.
func wantSignedOut(t *testing.T, s *stack, ticket string) {
	t.Helper()
	if answer := s.browser().fetch("/api/users/me", "Cookie", ticketName+"="+ticket); answer.StatusCode/100 != 4 {
		t.Errorf("the old ticket is answered %d, want 4xx", answer.StatusCode)
	}
	eventually(t, func() bool { // the gate signs out of RomM in the background
		request, _ := s.romm.LastRequest("/api/logout")
		return request.User == "alice" && s.romm.Sessions() == 0
	})
}

func restarted(t trial) {
	s := t.start()
	writer, reader := s.as("alice"), s.as("alice")
	token := writer.csrf()
	s.romm.Down()
	if answer := reader.fetch("/api/roms"); answer.StatusCode != http.StatusBadGateway {
		t.Errorf("a request while RomM is away answered %d, want 502", answer.StatusCode)
	}
	s.romm.Restart()
	s.romm.Up()
	if answer := writer.fetch("POST /api/saves", token...); answer.StatusCode/100 != 2 {
		t.Errorf("a save after RomM's restart answered %d, want success: %s", answer.StatusCode, answer.body)
	}
	reader.wantUser("alice")
}

// RomM before 4.5 without a configured secret key signs with a new key after a
// restart, and does not report that a session is unknown.
func TestRestartWithAnotherKey(t *testing.T) {
	for _, v := range releases {
		if !v.signed {
			continue
		}
		s := trial{t, v}.start(func(o *romm.Options) { o.SecretKey = "" })
		b := s.as("alice")
		s.romm.Down()
		b.fetch("/api/roms")
		s.romm.Restart()
		s.romm.Up()
		b.client.Jar = jarWithout(b, "romm_csrftoken") // RomM's page drops it at the first 403
		if answer := b.open("/api/login/openid"); answer.Header.Get("Location") != "/" {
			t.Errorf("RomM %s: the login route answered %d to %q, want a redirect to /", v.name, answer.StatusCode, answer.Header.Get("Location"))
		}
		b.wantUser("alice")
	}
}

func expired(t trial) {
	var lapsed atomic.Bool
	s := t.start(func(o *romm.Options) {
		o.Now = func() time.Time {
			if lapsed.CompareAndSwap(true, false) { // only for the check of the session
				return time.Now().AddDate(0, 0, 15)
			}
			return time.Now()
		}
	})
	b := s.as("alice")
	if t.signed { // the session has a fixed end
		lapsed.Store(true)
	} else {
		s.romm.DropSessions()
	}
	s.romm.ForgetRequests()
	b.wantUser("alice")
	if _, again := s.romm.LastRequest("/api/login/openid"); !again {
		t.Error("the gate did not sign in to RomM again, want RomM's session ended")
	}
}

func upgraded(t trial) {
	before := releases[0]
	for _, other := range releases {
		if other.name == t.name {
			break
		}
		before = other
	}
	s := start(t.T, options{romm: func(o *romm.Options) {
		o.Version = before.version
		o.OIDC.ClaimRoles = ""
	}})
	s.romm.AddUser(romm.User{Username: "alice", Email: "alice@example.com", Role: "admin"})
	b := s.as("alice")
	s.browser().fetch("/api/users/me") // so that the gate has seen the old release
	s.romm.Down()
	b.fetch("/api/roms")
	s.romm.Upgrade(t.version)
	s.romm.Up()
	if answer := s.browser().fetch("/api/users/me"); answer.StatusCode != t.denied {
		t.Errorf("a script is told %d, want %d", answer.StatusCode, t.denied)
	}
	b.wantUser("alice")
	if answer := b.save(); answer.StatusCode/100 != 2 {
		t.Errorf("a save after the upgrade answered %d, want success: %s", answer.StatusCode, answer.body)
	}
}

func changedProfile(t trial) {
	s := t.start()
	b := s.as("bob")
	user, _ := s.romm.User("bob")
	change := "email=robert%40example.org"
	target, body := "PUT /api/users/"+itoa(user.ID), strings.NewReader(change)
	fields := append(b.csrf(), "Content-Type", "application/x-www-form-urlencoded")
	if !t.formAPI {
		target += "?" + change
	}
	if answer := b.send(target, body, fields...); answer.StatusCode/100 != 2 {
		t.Fatalf("the change of the profile answered %d, want success: %s", answer.StatusCode, answer.body)
	}
	s.as("bob").wantUser("bob")
	if changed, _ := s.romm.User("bob"); changed.Email != "robert@example.org" || changed.ID != user.ID {
		t.Errorf("bob's account is %+v, want the former one with the address robert@example.org", changed)
	}
}

func roles(t trial) {
	if t.roles {
		s := t.start()
		s.as("alice")
		s.as("bob")
		alice, _ := s.romm.User("alice")
		bob, _ := s.romm.User("bob")
		if alice.Role != "admin" || bob.Role == "admin" {
			t.Errorf("RomM has alice as %s and bob as %s, want an administrator and a plain user", alice.Role, bob.Role)
		}
		return
	}
	s := t.start()
	s.load(options{directive: rolesByMail})
	page := s.browser().signIn("/", "alice")
	s.problem(page, http.StatusBadGateway, "roles_version")
	if !strings.Contains(page.body, "Before 4.8.0") {
		t.Errorf("the page does not name RomM 4.8.0:\n%s", page.body)
	}
}

func demotion(t trial) {
	s := t.start()
	s.as("alice")
	lowered := options{directive: "roles {\n admin root@example.com\n user *\n}\n"}
	s.load(lowered)
	s.as("alice")
	if alice, _ := s.romm.User("alice"); alice.Role == "admin" {
		t.Errorf("alice's account is %+v, want no administrator", alice)
	}
	s.romm.SetRole("alice", "admin")
	s.romm.DeleteUser("root")
	s.problem(s.browser().signIn("/", "alice"), http.StatusForbidden, "last_admin")
	if alice, _ := s.romm.User("alice"); alice.Role != "admin" {
		t.Errorf("alice's account is %+v, want the last administrator kept", alice)
	}
}

func firstAdministrator(t trial) {
	s := t.startFresh()
	s.problem(s.browser().signIn("/", "bob"), http.StatusForbidden, "no_administrator")
	if answer := s.browser().fetch("POST /api/users?username=eve&password=p&role=admin", "Content-Type", "application/json"); answer.StatusCode/100 != 4 {
		t.Errorf("an anonymous POST /api/users answered %d, want 4xx", answer.StatusCode)
	}
	if !t.roles {
		s.problem(s.browser().signIn("/", "alice"), http.StatusForbidden, "no_administrator")
		return
	}
	s.as("alice")
	s.as("bob")
	if alice, _ := s.romm.User("alice"); alice.Role != "admin" {
		t.Errorf("alice's account is %+v, want an administrator", alice)
	}
}

func disabledInRomM(t trial) {
	s := t.start()
	b := s.as("bob")
	s.romm.Disable("bob")
	s.problem(b.open("/api/roms"), http.StatusForbidden, "account_disabled")
	for range 3 { // after a refusal, RomM's page would retry without end
		if beat := b.fetch("/api/heartbeat"); beat.StatusCode != http.StatusOK {
			t.Errorf("the heartbeat answered %d, want 200", beat.StatusCode)
		}
	}
	s.problem(s.browser().signIn("/", "bob"), http.StatusForbidden, "account_disabled")
}

func registrationOff(t trial) {
	off := false
	s := t.start(func(o *romm.Options) { o.OIDC.AllowRegistration = &off })
	s.problem(s.browser().signIn("/", "bob"), http.StatusForbidden, "registration_off")
}

func webDevice(t trial) {
	s := t.start()
	b := s.browser()
	callback := b.callback("/", "bob")
	b.do(callback, "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document", "User-Agent", "Mozilla/5.0 (X11; Linux x86_64) Chrome/140.0")
	devices := s.romm.Devices("bob")
	if len(devices) != 1 || devices[0].Name != "Chrome on Linux" || devices[0].Host != "127.0.0.1" {
		t.Errorf("bob has the devices %+v, want one Chrome on Linux at 127.0.0.1", devices)
	}
	if me := b.fetch("/api/users/me"); !strings.Contains(me.body, `"current_device_id":"`) {
		t.Errorf("/api/users/me lacks the device: %s", me.body)
	}
}

func handheldToken(t trial) {
	s := t.start()
	token := s.romm.NewClientToken("root", "me.read roms.read")
	if me := s.browser().do("/api/users/me", "Authorization", "Bearer "+token); me.StatusCode != http.StatusOK || !strings.Contains(me.body, `"username":"root"`) {
		t.Errorf("/api/users/me with root's client token answered %d, want 200 with root as the user: %s", me.StatusCode, me.body)
	}
	if answer := s.browser().do("/api/roms", "Authorization", "Bearer rmm_"+strings.Repeat("0", 64)); answer.StatusCode != t.denied {
		t.Errorf("an unknown token answered %d, want %d: %s", answer.StatusCode, t.denied, answer.body)
	}
}

func handheldPaired(t trial) {
	s := t.start()
	b := s.as("alice")
	send := func(target, body string) map[string]any {
		t.Helper()
		fields := append(b.csrf(), "Content-Type", "application/json")
		return object(t.T, b.send(target, strings.NewReader(body), fields...))
	}
	token := send("POST /api/client-tokens", `{"name":"handheld","scopes":["me.read"]}`)
	code := send("POST /api/client-tokens/"+itoa(int(token["id"].(float64)))+"/pair", "")["code"].(string)
	handheld := s.browser()
	if answer := handheld.do("/api/client-tokens/pair/" + code + "/status"); answer.StatusCode != http.StatusOK {
		t.Errorf("the status of the pairing answered %d, want 200", answer.StatusCode)
	}
	got := object(t.T, handheld.send("POST /api/client-tokens/exchange", strings.NewReader(`{"code":"`+code+`"}`), "Content-Type", "application/json"))
	raw, _ := got["raw_token"].(string)
	if me := handheld.do("/api/users/me", "Authorization", "Bearer "+raw); !strings.Contains(me.body, `"username":"alice"`) {
		t.Errorf("/api/users/me with the paired token answered %d, want alice as the user: %s", me.StatusCode, me.body)
	}
}

func handheldDevice(t trial) {
	s := t.start()
	handheld, b := s.browser(), s.as("alice")
	started := object(t.T, handheld.send("POST /api/auth/device/init", strings.NewReader(`{"name":"deck","requested_scopes":["me.read"]}`), "Content-Type", "application/json"))
	approval := `{"user_code":"` + started["user_code"].(string) + `","approved_scopes":["me.read"]}`
	if answer := b.send("POST /api/auth/device/approve", strings.NewReader(approval), append(b.csrf(), "Content-Type", "application/json")...); answer.StatusCode != http.StatusOK {
		t.Fatalf("the approval of the device answered %d, want 200: %s", answer.StatusCode, answer.body)
	}
	answer := handheld.send("POST /api/auth/device/token", strings.NewReader(`{"device_code":"`+started["device_code"].(string)+`"}`), "Content-Type", "application/json")
	if answer.StatusCode != http.StatusOK || !strings.Contains(answer.body, "rmm_") {
		t.Errorf("the device's token request answered %d, want 200 with a client token: %s", answer.StatusCode, answer.body)
	}
}

func openEndpoints(t trial) {
	s := t.start()
	s.quiet()
	for _, target := range []string{
		"GET /api/stats", "GET /openapi.json", "GET /api/docs", "GET /api/heartbeat/metadata/igdb", "GET /api/tinfoil/feed", "GET /api/webrcade/feed",
		"GET /api/feeds/tinfoil", "GET /api/feeds/webrcade", "GET /api/romsfiles/1/content/demo.nes", "GET /api/raw/assets/x", "GET /api/roms/1/content/demo.nes",
		"GET /api/setup/library", "POST /api/setup/platforms", "POST /api/users", "POST /api/users/register", "POST /api/users/invite-link",
		"POST /api/login", "POST /api/token", "POST /api/forgot-password", "POST /api/reset-password", "GET /assets/romm/resources/roms/1/cover/big.png",
	} {
		if answer := s.browser().fetch(target); answer.StatusCode != t.denied && answer.StatusCode != http.StatusUnauthorized {
			t.Errorf("%s answered %d, want %d or 401", target, answer.StatusCode, t.denied)
		}
	}
	s.untouched("RomM's open endpoints")
}

func privateCaching(t trial) {
	b := t.start().as("alice")
	if answer := b.fetch("/assets/romm/resources/roms/1/cover/small.svg"); answer.Header.Get("Cache-Control") != "private, max-age=31536000, immutable" {
		t.Errorf("Cache-Control of a cover is %q, want private, max-age=31536000, immutable", answer.Header.Get("Cache-Control"))
	}
	if answer := b.open("/rom/7"); answer.Header.Get("Cache-Control") != "no-cache, no-store" {
		t.Errorf("Cache-Control of a page is %q, want no-cache, no-store", answer.Header.Get("Cache-Control"))
	}
	if answer := b.fetch("/api/roms", "Origin", public); answer.Header.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("the answer has Access-Control-Allow-Origin, want none: %v", answer.Header)
	}
}

// object decodes the JSON object of a successful answer.
func object(t *testing.T, answer response) map[string]any {
	t.Helper()
	var body map[string]any
	if err := json.Unmarshal([]byte(answer.body), &body); err != nil || answer.StatusCode/100 != 2 {
		t.Fatalf("got %d, want success with a JSON object: %s", answer.StatusCode, answer.body)
	}
	return body
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

// RomM 4.3.1 to 4.7 demotes an administrator who signs in without the roles
// claim that it is configured to read. The gate refuses such sign-ins.
func TestNoSignInDemotesAnAdministrator(t *testing.T) {
	s := start(t, options{romm: func(o *romm.Options) { o.Version = "4.4.1" }})
	s.romm.AddUser(romm.User{Username: "alice", Email: "alice@example.com", Role: "admin"})
	page := s.browser().signIn("/", "alice")
	s.problem(page, http.StatusBadGateway, "roles_version")
	if !strings.Contains(page.body, "OIDC_CLAIM_ROLES") {
		t.Errorf("the page does not name OIDC_CLAIM_ROLES:\n%s", page.body)
	}
	if alice, _ := s.romm.User("alice"); alice.Role != "admin" {
		t.Errorf("alice's account is %+v, want an administrator", alice)
	}
}

// RomM after 5.2 checks the CSRF token of a sign-out even with an
// Authorization field.
func TestSignOutOfTheNextRomM(t *testing.T) {
	s := start(t, options{directive: rolesByMail, romm: func(o *romm.Options) { o.Version = "5.3.0" }})
	b := s.as("alice")
	ticket := b.ticket()
	b.fetch("POST /api/logout", "Origin", public)
	wantSignedOut(t, s, ticket)
}
