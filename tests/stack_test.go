// The stack that all tests of this package start.

package tests

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2/caddytest"

	"github.com/romm-oidc/caddy-romm-oidc/tests/authelia"
	"github.com/romm-oidc/caddy-romm-oidc/tests/caddyprocess"
	"github.com/romm-oidc/caddy-romm-oidc/tests/romm"
)

// The addresses of a stack. RomM finds the gate at inside, as in a container
// network: another host than the public one, and http.
const (
	public = "https://romm.example.com:9443"
	issuer = "https://auth.example.com:9443"
	inside = "http://127.0.0.1:9081"
	base   = "/api/oauth/openid"
)

// stack is a running Caddy with the module, between a stand-in Authelia and a
// stand-in RomM. It is the harness of every test in this package.
type stack struct {
	t        *testing.T
	authelia *authelia.Server
	romm     *romm.Server
	tester   *caddytest.Tester
	origin   string // the public origin of RomM
	storage  string

	autheliaURL, rommURL, cert, key string

	before map[string]float64 // counters before a test began
}

// options change a stack before it starts.
type options struct {
	authelia  func(*authelia.Options)
	romm      func(*romm.Options)
	directive string       // further lines of romm_oidc
	secret    string       // the line with the client's secret; empty: client_secret
	prepare   func(*stack) // changes the stand-ins before Caddy starts
	gate      string       // the client id of another gate; empty: romm
	global    string       // lines of Caddy's global options
	site      string       // lines after romm_oidc in place of the reverse_proxy; %s is RomM's address
}

// users are the users of every stack.
var users = []authelia.User{
	{Name: "alice", Password: "alice-password", DisplayName: "Alice Example", Email: "alice@example.com", Groups: []string{"romm-admins", "romm-users"}},
	{Name: "bob", Password: "bob-password", DisplayName: "Bob Ünïcode, Jr.", Email: "bob@example.com", Groups: []string{"romm-users"}},
	{Name: "carol", Password: "carol-password", DisplayName: "Carol", Email: "carol@example.com"},
	{Name: "dave", Password: "dave-password", DisplayName: "Dave", Email: "dave@example.com", Disabled: true},
	{Name: "frank", Password: "frank-password", DisplayName: "Frank NoMail", Groups: []string{"romm-users"}},
}

// ticketName is the name of the cookie with the ticket.
const ticketName = "__Host-romm_oidc_9443"

const rolesByMail = "roles {\n admin alice@example.com\n user *\n}\n"

// freshConnections keeps Caddy from reusing a connection to the previous
// test's stand-in when the new one has the same port.
const freshConnections = "transport http {\n keepalive off\n}"

// start starts a stack. All tests of this package share one Caddy.
func start(t *testing.T, o options) *stack {
	t.Helper()
	s := &stack{t: t, storage: caddyprocess.Folder(t), origin: public}
	ao := authelia.Options{
		Issuer: issuer, CookieDomain: "example.com", Users: users,
		Clients: []authelia.Client{{
			ID: "romm", Secret: "insecure_secret", RedirectURIs: []string{public + base},
			Scopes: []string{"openid", "profile", "email"}, RequirePKCE: true,
		}},
	}
	if o.authelia != nil {
		o.authelia(&ao)
	}
	s.authelia = authelia.New(ao)
	ro := romm.Options{SecretKey: strings.Repeat("k", 64), OIDC: romm.OIDC{
		Enabled: true, Provider: "authelia", Autologin: true, ClientID: "romm", ClientSecret: "insecure_secret",
		RedirectURI: public + base, ServerURL: inside + base,
		ClaimRoles: "romm_roles", RoleAdmin: "admin", RoleViewer: "user",
	}}
	if o.romm != nil {
		o.romm(&ro)
	}
	s.romm = romm.New(ro)
	s.autheliaURL = serve(t, s.authelia)
	s.rommURL = serve(t, s.romm)
	s.cert, s.key = caddyprocess.Certificate(t, "romm.example.com", "auth.example.com")
	s.tester = caddytest.NewTester(t)
	if o.prepare != nil {
		o.prepare(s)
	}
	s.unload() // the gate of the previous test
	s.load(o)
	return s
}

// unload removes the site from Caddy, together with everything that the gate
// has in memory.
func (s *stack) unload() {
	s.t.Helper()
	s.tester.InitServer("{\n\tadmin localhost:2999\n\tgrace_period 1ns\n}\n", "caddyfile")
}

func serve(t *testing.T, h http.Handler) string {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return server.URL
}

// load loads the configuration of o into Caddy, at the start and as a reload.
func (s *stack) load(o options) {
	s.t.Helper()
	s.tester.InitServer(s.caddyfile(o), "caddyfile")
	// An old connection may still be served by the old configuration.
	transport.CloseIdleConnections()
}

// caddyfile returns the configuration of o.
func (s *stack) caddyfile(o options) string {
	client := o.gate
	if client == "" {
		client = "romm"
	}
	secret := o.secret
	if secret == "" {
		secret = "client_secret insecure_secret"
	}
	site := o.site
	if site == "" {
		site = "reverse_proxy %s {\n" + freshConnections + "\n}"
	}
	if strings.Contains(site, "%s") {
		site = fmt.Sprintf(site, strings.TrimPrefix(s.rommURL, "http://"))
	}
	return fmt.Sprintf(`{
	admin localhost:2999
	http_port 9080
	https_port 9443
	grace_period 1ns
	skip_install_trust
	persist_config off
	storage file_system %[1]s
	%[14]s
}
%[2]s, %[3]s {
	romm_oidc {
		issuer %[6]s
		issuer_address %[7]s
		client_id %[13]s
		%[15]s
		redirect_uri %[2]s%[8]s
		provider Authelia
		%[9]s
	}
	%[10]s
}
# The certificate has both names: a site with an http address takes no tls directive.
%[6]s {
	tls %[4]s %[5]s
	# A log entry has the size of the body, which reverse_proxy may still be reading.
	log_skip
	reverse_proxy %[11]s {
		%[12]s
	}
}
`, s.storage, public, inside, s.cert, s.key, issuer, s.autheliaURL, base, o.directive, site,
		strings.TrimPrefix(s.autheliaURL, "http://"), freshConnections, client, o.global, secret)
}

// problem fails unless answer is the page of the problem code, with a
// reference and a way forward.
func (s *stack) problem(answer response, status int, code string) {
	s.t.Helper()
	if answer.StatusCode != status || !strings.Contains(answer.body, code+" · reference") {
		s.t.Errorf("got %d, want %d %s:\n%s", answer.StatusCode, status, code, answer.body)
	}
	if !strings.Contains(answer.body, "href=") && !strings.Contains(answer.body, "<button") {
		s.t.Error("the page has neither a link nor a button")
	}
}

// eventually waits until ok returns true, for at most 10 s.
func eventually(t *testing.T, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the condition was not met within 10 s")
		}
	}
}
