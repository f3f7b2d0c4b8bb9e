// Package browser drives a real browser through the whole path: Caddy with
// this module, between stand-ins for Authelia and RomM.
package browser

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/romm-oidc/caddy-romm-oidc/tests/authelia"
	"github.com/romm-oidc/caddy-romm-oidc/tests/caddyprocess"
	"github.com/romm-oidc/caddy-romm-oidc/tests/romm"
)

const base = "/api/oauth/openid"

// mode is how the browser and the gate meet: over https, "http" at a name that
// is not localhost, where no browser sends Fetch Metadata or keeps __Host-
// cookies, or "stripped" over https without Fetch Metadata, like Safari before 16.4.
var mode = os.Getenv("ROMM_OIDC_BROWSER_MODE")

// scheme returns that of the sites.
func scheme() string {
	if mode == "http" {
		return "http"
	}
	return "https"
}

func TestMain(m *testing.M) {
	code := caddyprocess.Main(m)
	firefox.end()
	webkit.end()
	if one.end != nil {
		one.end()
	}
	os.Exit(code)
}

// stack is a running Caddy between the stand-ins, with the addresses that the
// browser uses.
type stack struct {
	t        *testing.T
	authelia *authelia.Server
	romm     *romm.Server
	caddy    *caddyprocess.Process
	browser  *chromium

	origin  string // the public origin of RomM
	portal  string // the issuer
	sibling string // the attacker's page on a sibling subdomain
	foreign string // the attacker's page on another site
}

// options change a stack before it starts.
type options struct {
	version   string // RomM's; empty: the stand-in's newest
	consent   string // of the client; empty: auto
	directive string // lines of romm_oidc in place of roles
	roleless  bool   // RomM has no OIDC_CLAIM_ROLES
}

// users are the users of every stack.
var users = []authelia.User{
	{Name: "alice", Password: "alice-password", DisplayName: "Alice Example", Email: "alice@example.com"},
	{Name: "bob", Password: "bob-password", DisplayName: "Bob Ünïcode, Jr.", Email: "bob@example.com"},
	{Name: "carol", Password: "carol-password", DisplayName: "Carol", Email: "carol@example.com"},
	{Name: "dave", Password: "dave-password", DisplayName: "Dave", Email: "dave@example.com", Disabled: true},
	{Name: "frank", Password: "frank-password", DisplayName: "Frank NoMail"},
}

const rolesByMail = "roles {\n admin alice@example.com\n user *\n}"

// start starts a stack for Chromium. It skips the test if that is not installed.
func start(t *testing.T, o options) *stack {
	t.Helper()
	browser := shared(t)
	s := serveStack(t, o)
	s.browser = browser
	return s
}

// serveStack starts a stack for any browser.
func serveStack(t *testing.T, o options) *stack {
	t.Helper()
	s := &stack{t: t}
	ports := caddyprocess.Ports(t, 3)
	port := map[string]int{"https": ports[0], "http": ports[2]}[scheme()]
	origin := func(name string) string { return fmt.Sprintf("%s://%s:%d", scheme(), name, port) }
	s.origin, s.portal = origin("romm.example.com"), fmt.Sprintf("https://auth.example.com:%d", ports[0])
	s.sibling, s.foreign = origin("x.example.com"), origin("evil.example.net")
	inside := fmt.Sprintf("http://127.0.0.1:%d", ports[1])

	s.authelia = authelia.New(authelia.Options{
		Issuer: s.portal, CookieDomain: "example.com", Users: users,
		Clients: []authelia.Client{{
			ID: "romm", Secret: "insecure_secret", RedirectURIs: []string{s.origin + base},
			Scopes: []string{"openid", "profile", "email"}, RequirePKCE: true, ConsentMode: o.consent,
		}},
	})
	ro := romm.Options{Version: o.version, SecretKey: strings.Repeat("k", 64), OIDC: romm.OIDC{
		Enabled: true, Provider: "authelia", Autologin: true, ClientID: "romm", ClientSecret: "insecure_secret",
		RedirectURI: s.origin + base, ServerURL: inside + base,
		ClaimRoles: "romm_roles", RoleAdmin: "admin", RoleViewer: "user",
	}}
	if o.roleless {
		ro.OIDC.ClaimRoles = ""
	}
	s.romm = romm.New(ro)
	autheliaURL, rommURL := serve(t, s.authelia), serve(t, s.romm)
	if o.directive == "" {
		o.directive = rolesByMail
	}
	certificate, key := caddyprocess.Certificate(t, "romm.example.com", "auth.example.com", "x.example.com", "evil.example.net")
	s.caddy = caddyprocess.Start(t, fmt.Sprintf(`{
	admin off
	persist_config off
	auto_https disable_redirects
	skip_install_trust
	default_bind 127.0.0.1
	http_port %[1]d
	https_port %[2]d
	storage file_system %[3]s
	servers {
		protocols h1 h2
	}
}
%[4]s, %[5]s {
	route {
		%[16]s
		romm_oidc {
			issuer %[6]s
			issuer_address %[7]s
			client_id romm
			client_secret insecure_secret
			redirect_uri %[4]s%[8]s
			provider Authelia
			%[9]s
		}
		reverse_proxy %[10]s {
			stream_close_delay 1h
		}
	}
}
# The certificate has all names: a site with an http address takes no tls directive.
%[6]s {
	tls %[11]s %[12]s
	reverse_proxy %[13]s
}
%[14]s, %[15]s {
	header Content-Type "text/html; charset=utf-8"
	respond "<!doctype html><title>the attacker's page</title>"
}
`, ports[2], ports[0], t.TempDir(), s.origin, inside, s.portal, autheliaURL, base, o.directive,
		strings.TrimPrefix(rommURL, "http://"), certificate, key, strings.TrimPrefix(autheliaURL, "http://"), s.sibling, s.foreign, map[string]string{
			"stripped": "request_header -Sec-Fetch-*",
		}[mode]))
	return s
}

// ticketName returns the name of the cookie with the ticket.
func (s *stack) ticketName() string {
	u, err := url.Parse(s.origin)
	if err != nil {
		s.t.Fatal(err)
	}
	if mode == "http" {
		return "romm_oidc_" + u.Port()
	}
	return "__Host-romm_oidc_" + u.Port()
}

func serve(t *testing.T, h http.Handler) string {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return server.URL
}
