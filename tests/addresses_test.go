// The site's addresses: one in the local network beside the public one, a
// wildcard site, two gates at one host, proxies in front.

package tests

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/romm-oidc/caddy-romm-oidc/tests/authelia"
	"github.com/romm-oidc/caddy-romm-oidc/tests/romm"
)

// lan is the address of the site in the local network.
const lan = "http://127.0.0.1:9082"

// loadSites loads other sites than load: their text, and Authelia's.
func (s *stack) loadSites(sites string) {
	s.t.Helper()
	s.tester.InitServer(fmt.Sprintf(`{
	admin localhost:2999
	http_port 9080
	https_port 9443
	grace_period 1ns
	skip_install_trust
	persist_config off
	storage file_system %s
}
%s
%s {
	tls %s %s
	reverse_proxy %s {
		%s
	}
}
`, s.storage, sites, issuer, s.cert, s.key, strings.TrimPrefix(s.autheliaURL, "http://"), freshConnections), "caddyfile")
	transport.CloseIdleConnections()
}

// gateAt returns the lines of a gate and of the RomM behind it.
func (s *stack) gateAt(origin, more, rommURL string) string {
	return fmt.Sprintf(`romm_oidc {
		issuer %s
		issuer_address %s
		client_id romm
		client_secret insecure_secret
		redirect_uri %s%s
		provider Authelia
		%s
		%s
	}
	reverse_proxy %s {
		%s
	}
`, issuer, s.autheliaURL, origin, base, rolesByMail, more, strings.TrimPrefix(rommURL, "http://"), freshConnections)
}

// A handheld at home cannot reach the public address. At an address of also it is
// served with its token, and paired, while a browser is sent to the public origin.
// A ticket that an attacker read from that network opens nothing there, and no
// cookie comes from there.
func TestClientsAtALANAddress(t *testing.T) {
	s := start(t, options{directive: rolesByMail})
	s.loadSites(fmt.Sprintf("%s, %s, %s {\n%s\n}", public, inside, lan, s.gateAt(public, "also "+lan+"\nclients covers", s.rommURL)))
	alice := s.as("alice")
	token := s.romm.NewClientToken("alice", "me.read roms.read")
	handheld := s.browser()
	cookie := ticketName + "=" + alice.ticket() + "; romm_oidc=" + alice.ticket() + "; romm_oidc_9082=" + alice.ticket()
	for name, c := range map[string]struct {
		target string
		fields []string
		status int
	}{
		"a token":                  {"/api/users/me", []string{"Authorization", "Bearer " + token}, 200},
		"a token and a ticket":     {"/api/users/me", []string{"Authorization", "Bearer " + token, "Cookie", cookie}, 200},
		"a wrong token":            {"/api/users/me", []string{"Authorization", "Bearer rmm_" + strings.Repeat("0", 64)}, 401},
		"the heartbeat":            {"/api/heartbeat", nil, 200},
		"a preset":                 {"/assets/romm/resources/roms/1/cover/small.svg", nil, 200},
		"a ticket":                 {"/api/users/me", []string{"Cookie", cookie}, 421},
		"a script":                 {"/api/roms", []string{"Sec-Fetch-Mode", "cors", "Cookie", cookie}, 421},
		"a form":                   {"POST /library", []string{"Accept", "text/html", "Upgrade-Insecure-Requests", "1"}, 421},
		"a sign-out":               {"POST /api/logout", []string{"Cookie", cookie}, 421},
		"the page of sessions":     {base + "/session", []string{"Cookie", cookie}, 421},
		"the callback of a script": {base + "?code=c&state=s", []string{"Cookie", cookie}, 421},
		"a socket":                 {"/ws/socket.io/?EIO=4&transport=polling", []string{"Cookie", cookie}, 421},
	} {
		method, path, ok := strings.Cut(c.target, " ")
		if !ok {
			method, path = http.MethodGet, c.target
		}
		answer := handheld.do(method+" "+lan+path, c.fields...)
		if answer.StatusCode != c.status || len(answer.Header["Set-Cookie"]) != 0 {
			t.Errorf("%s: answered %d with the cookies %q, want %d and none: %s", name, answer.StatusCode, answer.Header["Set-Cookie"], c.status, answer.body)
		}
	}
	for _, fields := range [][]string{
		{"Accept", "text/html,*/*;q=0.8", "Upgrade-Insecure-Requests", "1"}, {"Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document"},
	} {
		answer := handheld.do(lan+"/rom/7?tab=a%2Fb", append(fields, "Cookie", cookie)...)
		if answer.StatusCode != http.StatusFound || answer.Header.Get("Location") != public+"/rom/7?tab=a%2Fb" || len(answer.Header["Set-Cookie"]) != 0 {
			t.Errorf("a browser got %d to %q, want 302 to the same page at the public origin", answer.StatusCode, answer.Header.Get("Location"))
		}
	}
	if answer := alice.fetch("/api/users/me"); answer.StatusCode != http.StatusOK {
		t.Errorf("alice's session at the public origin: answered %d, want 200", answer.StatusCode)
	}
	// Without also, the address is not one of the site's.
	s.loadSites(fmt.Sprintf("%s, %s, %s {\n%s\n}", public, inside, lan, s.gateAt(public, "", s.rommURL)))
	if answer := handheld.do(lan+"/api/users/me", "Authorization", "Bearer "+token); answer.StatusCode != http.StatusMisdirectedRequest {
		t.Errorf("without also: answered %d, want 421", answer.StatusCode)
	}
}

// Tokens are readable on a network without TLS: an http origin in also warns.
func TestAlsoWarnsOfHTTP(t *testing.T) {
	o, log := logged(t, options{directive: rolesByMail + "also https://romm.lan " + lan})
	start(t, o)
	if lines := log(); strings.Count(lines, "insecure origin in the `also` setting") != 1 || !strings.Contains(lines, lan) {
		t.Errorf("the log has no warning of %s, want one:\n%s", lan, lines)
	}
}

// A site with a wildcard certificate serves many names: the gate stands in the
// handle of its own name, and the inside address is a block of its own.
func TestWildcardSite(t *testing.T) {
	s := start(t, options{directive: rolesByMail})
	gate := s.gateAt(public, "", s.rommURL)
	s.loadSites(fmt.Sprintf("(romm) {\n%s\n}\nhttps://*.example.com:9443 {\n@romm host romm.example.com\nhandle @romm {\nimport romm\n}\nhandle {\nabort\n}\n}\n%s {\nimport romm\n}", gate, inside))
	b := s.browser()
	if back := b.signIn("/rom/7", "alice"); back.StatusCode != http.StatusSeeOther || back.Header.Get("Location") != "/rom/7" {
		t.Fatalf("the sign-in ended with %d to %q, want 303 to /rom/7: %s", back.StatusCode, back.Header.Get("Location"), back.body)
	}
	if me := b.fetch("/api/users/me"); me.StatusCode != http.StatusOK || !strings.Contains(me.body, `"username":"alice"`) {
		t.Errorf("/api/users/me answered %d, want alice: %s", me.StatusCode, me.body)
	}
	if answer := s.browser().open(inside + "/rom/7"); answer.StatusCode != http.StatusMisdirectedRequest {
		t.Errorf("the inside address answered %d to a browser, want 421", answer.StatusCode)
	}
}

// Two gates at one host name, with two ports, share the browser's cookies. A user
// is signed in to both, and signs out of one.
func TestTwoGatesAtOneHostName(t *testing.T) {
	const other, otherInside = "https://romm.example.com:9444", "http://127.0.0.1:9083"
	s := start(t, options{directive: rolesByMail, authelia: func(o *authelia.Options) {
		o.Clients[0].RedirectURIs = append(o.Clients[0].RedirectURIs, other+base)
	}})
	second := romm.New(romm.Options{SecretKey: strings.Repeat("k", 64), OIDC: romm.OIDC{
		Enabled: true, Provider: "authelia", Autologin: true, ClientID: "romm", ClientSecret: "insecure_secret",
		RedirectURI: other + base, ServerURL: otherInside + base, ClaimRoles: "romm_roles", RoleAdmin: "admin", RoleViewer: "user",
	}})
	s.loadSites(fmt.Sprintf("%s, %s {\n%s\n}\n%s, %s {\n%s\n}", public, inside, s.gateAt(public, "", s.rommURL),
		other, otherInside, s.gateAt(other, "", serve(t, second))))
	b := s.browser()
	for range 2 {
		for _, origin := range []string{public, other} {
			if answer := b.open(origin + "/rom/7"); answer.StatusCode == http.StatusFound {
				location, err := b.authelia.SignIn(b.client, answer.Header.Get("Location"), "alice", "alice-password")
				if err != nil {
					t.Fatal(err)
				}
				if back := b.open(location); back.StatusCode != http.StatusSeeOther || back.Header.Get("Location") != "/rom/7" {
					t.Fatalf("%s: the sign-in ended with %d: %s", origin, back.StatusCode, back.body)
				}
			}
		}
	}
	for _, origin := range []string{public, other} {
		if me := b.fetch(origin + "/api/users/me"); me.StatusCode != http.StatusOK {
			t.Errorf("%s: answered %d, want 200 at both", origin, me.StatusCode)
		}
	}
	b.do("POST "+other+base+"/logout", "Origin", other, "Sec-Fetch-Site", "same-origin")
	if me := b.fetch(other + "/api/users/me"); me.StatusCode != http.StatusUnauthorized {
		t.Errorf("signed out at %s: answered %d, want 401", other, me.StatusCode)
	}
	if me := b.fetch("/api/users/me"); me.StatusCode != http.StatusOK {
		t.Errorf("the other gate's sign-out ended the session at %s: answered %d, want 200", public, me.StatusCode)
	}
}

// A proxy in front of Caddy that terminates TLS writes X-Forwarded-Proto as it
// likes. Where it is not enough, the page names the setting that differs.
func TestForwardedProto(t *testing.T) {
	for name, c := range map[string]struct {
		trusted bool
		proto   string
		hint    string // empty: served
	}{
		"upper case":       {true, "HTTPS", ""},
		"a row of proxies": {true, "https, http", ""},
		"http":             {true, "http", "its X-Forwarded-Proto is"},
		"nothing":          {true, "", "there is no X-Forwarded-Proto"},
		"not trusted":      {false, "HTTPS", "which trusted_proxies does not list"},
	} {
		t.Run(name, func(t *testing.T) {
			o := options{directive: rolesByMail}
			if c.trusted {
				o.global = "servers {\n trusted_proxies static 127.0.0.1/32 ::1/128\n}"
			}
			s := start(t, o)
			s.loadProxied(o)
			fields := []string{"Host", "romm.example.com:9443", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document"}
			if c.proto != "" {
				fields = append(fields, "X-Forwarded-Proto", c.proto)
			}
			answer := s.browser().do("http://127.0.0.1:9084/", fields...)
			if c.hint == "" && answer.StatusCode != http.StatusFound || c.hint != "" && (answer.StatusCode != http.StatusMisdirectedRequest || !strings.Contains(answer.body, c.hint)) {
				t.Errorf("answered %d, want %q: %s", answer.StatusCode, c.hint, answer.body)
			}
		})
	}
}

// loadProxied loads a site that a proxy in front reaches at port 9084.
func (s *stack) loadProxied(o options) {
	s.t.Helper()
	s.storage += "\n" + o.global
	s.loadSites(fmt.Sprintf("http://:9084 {\n%s\n}", s.gateAt(public, "", s.rommURL)))
}

// A failed callback leaves neither code nor state in the address bar, and so in
// no Referer of the next request.
func TestFailedCallbackOnTheWire(t *testing.T) {
	s := start(t, options{directive: rolesByMail + "allow {\n emails bob@example.com\n}\n"})
	b := s.browser()
	answer := b.do(b.callback("/rom/7", "alice"), "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document")
	location, err := url.Parse(answer.Header.Get("Location"))
	if err != nil || answer.StatusCode != http.StatusSeeOther || location.Path != base+"/failed" || location.Query().Has("code") || location.Query().Has("state") {
		t.Fatalf("the callback answered %d to %q, want 303 to a page without code and state", answer.StatusCode, location)
	}
	for range 2 {
		page := b.open(location.String())
		s.problem(page, http.StatusForbidden, "not_allowed")
		if !strings.Contains(page.body, "as alice.") || !strings.Contains(page.body, location.Query().Get("reference")) {
			t.Errorf("the page names neither the user nor the reference: %s", page.body)
		}
	}
}
