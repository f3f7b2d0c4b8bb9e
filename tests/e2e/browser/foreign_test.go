// Attacks by the page of another site or of a sibling subdomain.

package browser

import (
	"net/http"
	"testing"
)

// The attacker's page, on another site or on a sibling subdomain to which the
// browser sends our cookie, tries everything that a script can do. It can
// neither change nor read anything.
func TestForeignScript(t *testing.T) {
	s := start(t, options{})
	b := s.signedIn("/rom/7")
	for name, origin := range map[string]string{"another site": s.foreign, "sibling": s.sibling} {
		f := b.another()
		for attack, row := range map[string]struct{ script, want string }{
			"read":           {`fetch(site + "/api/users/me", {credentials: "include"}).then((r) => r.text(), () => "refused")`, "refused"},
			"preflight":      {`fetch(site + "/api/users/me", {credentials: "include", headers: {"X-Own": "1"}}).then((r) => r.text(), () => "refused")`, "refused"},
			"blind read":     {`fetch(site + "/api/users/me", {credentials: "include", mode: "no-cors"}).then((r) => r.type)`, "opaque"},
			"blind write":    {`fetch(site + "/api/saves?rom_id=1", {credentials: "include", mode: "no-cors", method: "POST", body: new FormData()}).then((r) => r.type)`, "opaque"},
			"delete":         {`fetch(site + "/api/roms/1", {credentials: "include", method: "DELETE"}).then((r) => r.text(), () => "refused")`, "refused"},
			"sign out":       {`fetch(site + "/api/logout", {credentials: "include", mode: "no-cors", method: "POST"}).then((r) => r.type)`, "opaque"},
			"our sign out":   {`fetch(site + "/api/oauth/openid/logout", {credentials: "include", mode: "no-cors", method: "POST"}).then((r) => r.type)`, "opaque"},
			"beacon":         {`navigator.sendBeacon(site + "/api/saves?rom_id=1", new FormData())`, "true"},
			"image":          {`new Promise((done) => { const i = new Image(); i.onload = () => done("loaded"); i.onerror = () => done("refused"); i.src = site + "/api/oauth/openid/logout"; })`, "refused"},
			"frame":          {`new Promise((done) => { const f = document.createElement("iframe"); f.onload = () => { try { done(f.contentDocument.title); } catch { done("refused"); } }; f.src = site + "/"; document.body.append(f); })`, "refused"},
			"socket":         {`new Promise((done) => { const s = new WebSocket(site.replace("https", "wss") + "/ws/socket.io/?EIO=4&transport=websocket"); s.onopen = () => done("open"); s.onerror = () => done("refused"); })`, "refused"},
			"netplay socket": {`new Promise((done) => { const s = new WebSocket(site.replace("https", "wss") + "/netplay/socket.io/?EIO=4&transport=websocket"); s.onopen = () => done("open"); s.onerror = () => done("refused"); })`, "refused"},
			"polling":        {`fetch(site + "/ws/socket.io/?EIO=4&transport=polling", {credentials: "include"}).then((r) => r.text(), () => "refused")`, "refused"},
		} {
			t.Run(name+"/"+attack, func(t *testing.T) {
				f.t = t
				f.visit(origin)
				if got := f.script(`(() => { const site = ` + quote(s.origin) + `; return ` + row.script + `; })()`); got != row.want {
					t.Errorf("the script got %q, want %q", got, row.want)
				}
				f.noEffect(1)
			})
		}
	}
	b.save() // in the tab that was opened before
}

// A form of the attacker's page is a navigation: the browser sends it without
// a preflight, and accepts cookies from the answer. It must not change
// anything.
func TestForeignForm(t *testing.T) {
	s := start(t, options{})
	sessions := 0
	for name, origin := range map[string]string{"another site": s.foreign, "sibling": s.sibling} {
		for form, action := range map[string]string{"save": "/api/saves?rom_id=1", "sign-out": "/api/logout", "our-sign-out": base + "/logout"} {
			t.Run(name+"/"+form, func(t *testing.T) {
				b := s.signedIn("/rom/7")
				sessions++
				b.t = t
				b.visit(origin)
				b.script(`(() => { const form = document.createElement("form"); form.method = "post"; form.action = ` + quote(s.origin+action) +
					`; document.body.append(form); setTimeout(() => form.submit()); })()`)
				b.await(`location.href === ` + quote(s.origin+action) + ` && document.readyState === "complete"`)
				b.screenshot("foreign-form-" + form)
				b.noEffect(sessions)
				b.open("/rom/7")
				b.in("/rom/7", "alice")
			})
		}
	}
}

// A link of the attacker's page carries our cookie. It does not sign the user
// out, but asks first.
func TestForeignSignOutLink(t *testing.T) {
	s := start(t, options{})
	b := s.signedIn("/rom/7")
	for _, origin := range []string{s.foreign, s.sibling} {
		b.visit(origin)
		b.script(`setTimeout(() => location.assign(` + quote(s.origin+base+"/logout") + `)), 0`)
		b.await(`document.title === "Sign out?"`)
		b.noEffect(1)
	}
	b.screenshot("sign-out-question")
	b.click("home")
	b.in("/", "alice")
	b.open(s.foreign + "/")
	b.script(`setTimeout(() => location.assign(` + quote(s.origin+base+"/logout") + `)), 0`)
	b.await(`document.title === "Sign out?"`)
	b.click("sign-out")
	b.signedOut()
}

// visit opens the attacker's page.
func (b *tab) visit(origin string) {
	b.t.Helper()
	b.open(origin + "/")
	b.await(`location.origin === ` + quote(origin) + ` && document.readyState === "complete"`)
	b.romm.ForgetRequests()
}

// noEffect fails the test if RomM answered anything but a blind GET as the
// user, if it stored anything, if the ticket is gone, or if RomM has another
// number of sessions. A GET without an Origin looks like a link and carries
// the cookie from a sibling subdomain, but the attacker cannot read the
// answer.
func (b *tab) noEffect(sessions int) {
	b.t.Helper()
	for _, r := range b.romm.Requests() {
		if r.User != "" && r.Method != http.MethodGet {
			b.t.Errorf("RomM answered %s %s for %s, want nothing but GET requests", r.Method, r.Path, r.User)
		}
	}
	if saved := b.romm.SaveCount(); saved != 0 {
		b.t.Errorf("RomM has %d saves, want 0", saved)
	}
	if live := b.romm.Sessions(); live != sessions {
		b.t.Errorf("RomM has %d sessions, want %d", live, sessions)
	}
	if open := b.romm.OpenSockets(); open != 0 {
		b.t.Errorf("RomM has %d open sockets, want 0", open)
	}
	b.onlyOurs() // still
}
