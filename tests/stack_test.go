// The stack that all tests of this package start, and a browser without scripts to use it.

package tests

import (
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
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
}

// options change a stack before it starts.
type options struct {
	authelia  func(*authelia.Options)
	romm      func(*romm.Options)
	directive string       // further lines of romm_oidc
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
	s := &stack{t: t, storage: t.TempDir(), origin: public}
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
		client_secret insecure_secret
		redirect_uri %[2]s%[8]s
		provider Authelia
		%[9]s
	}
	%[10]s
}
# The certificate has both names: a site with an http address takes no tls directive.
%[6]s {
	tls %[4]s %[5]s
	reverse_proxy %[11]s {
		%[12]s
	}
}
`, s.storage, public, inside, s.cert, s.key, issuer, s.autheliaURL, base, o.directive, site,
		strings.TrimPrefix(s.autheliaURL, "http://"), freshConnections, client, o.global)
}

// browser is a browser without scripts: it has a cookie jar and does not
// follow redirects.
type browser struct {
	*stack
	client *http.Client
}

// browser returns a new browser.
func (s *stack) browser() *browser {
	jar, err := cookiejar.New(nil)
	if err != nil {
		s.t.Fatal(err)
	}
	return &browser{s, &http.Client{
		Transport: transport, Jar: jar, Timeout: 30 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// transport dials this machine for every host, like a browser with a hosts
// file.
var transport = caddytest.CreateTestingTransport()

// response is an answer with its whole body.
type response struct {
	*http.Response
	body string
}

// do sends a request; target is "[METHOD ]path-or-URL", fields are name, value, ...
func (b *browser) do(target string, fields ...string) response {
	b.t.Helper()
	return b.send(target, nil, fields...)
}

func (b *browser) send(target string, body io.Reader, fields ...string) response {
	b.t.Helper()
	return b.sendRequest(b.request(target, body, fields...))
}

// request returns the request that send sends.
func (b *browser) request(target string, body io.Reader, fields ...string) *http.Request {
	b.t.Helper()
	method, at, ok := strings.Cut(target, " ")
	if !ok {
		method, at = http.MethodGet, target
	}
	if strings.HasPrefix(at, "/") {
		at = b.origin + at
	}
	r, err := http.NewRequestWithContext(b.t.Context(), method, at, body)
	if err != nil {
		b.t.Fatal(err)
	}
	for i := 0; i < len(fields); i += 2 {
		if fields[i] == "Host" {
			r.Host = fields[i+1]
			continue
		}
		r.Header[fields[i]] = append(r.Header[fields[i]], fields[i+1])
	}
	return r
}

// sendRequest sends r and reads the answer.
func (b *browser) sendRequest(r *http.Request) response {
	b.t.Helper()
	answer, err := b.try(r)
	if err != nil {
		b.t.Fatal(err)
	}
	return answer
}

// try is sendRequest for a request that may be cut off.
func (b *browser) try(r *http.Request) (response, error) {
	answer, err := b.client.Do(r)
	if err != nil {
		return response{}, err
	}
	defer answer.Body.Close()
	content, err := io.ReadAll(answer.Body)
	return response{answer, string(content)}, err
}

// refused reports whether target is refused, as after the end of the session, or
// its answer is cut off by the end.
func (b *browser) refused(target string, fields ...string) bool {
	b.t.Helper()
	answer, err := b.try(b.request(target, nil, append([]string{"Sec-Fetch-Mode", "cors", "Sec-Fetch-Dest", "empty", "Sec-Fetch-Site", "same-origin"}, fields...)...))
	return err != nil || answer.StatusCode/100 == 4
}

// open navigates to target, like a browser's address bar. It follows the redirect
// to the page of a failed sign-in, and no other.
func (b *browser) open(target string) response {
	b.t.Helper()
	answer := b.do(target, "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document", "Sec-Fetch-Site", "none", "Sec-Fetch-User", "?1", "Accept", "text/html")
	if location := answer.Header.Get("Location"); strings.HasPrefix(location, base+"/failed") {
		return b.open(location)
	}
	return answer
}

// fetch sends a request like a script of the site.
func (b *browser) fetch(target string, fields ...string) response {
	b.t.Helper()
	return b.do(target, append([]string{"Sec-Fetch-Mode", "cors", "Sec-Fetch-Dest", "empty", "Sec-Fetch-Site", "same-origin"}, fields...)...)
}

// callback opens target, signs in at Authelia, and returns the URL that Authelia sends the browser back to.
func (b *browser) callback(target, user string) string {
	b.t.Helper()
	answer := b.open(target)
	if answer.StatusCode != http.StatusFound {
		b.t.Fatalf("opening %s answered %d, want 302 to Authelia: %s", target, answer.StatusCode, answer.body)
	}
	location, err := b.authelia.SignIn(b.client, answer.Header.Get("Location"), user, user+"-password")
	if err != nil {
		b.t.Fatal(err)
	}
	return location
}

// signIn opens target, signs in, and returns the answer to the callback.
func (b *browser) signIn(target, user string) response {
	b.t.Helper()
	return b.open(b.callback(target, user))
}

// as returns a new browser in which user is signed in.
func (s *stack) as(user string) *browser {
	s.t.Helper()
	b := s.browser()
	if answer := b.signIn("/", user); answer.StatusCode != http.StatusSeeOther {
		s.t.Fatalf("signing in as %s: the callback answered %d, want 303: %s", user, answer.StatusCode, answer.body)
	}
	return b
}

// csrf returns the header fields that RomM's own page sends with a write.
func (b *browser) csrf() []string {
	b.t.Helper()
	b.fetch("/api/heartbeat")
	u, err := url.Parse(public)
	if err != nil {
		b.t.Fatal(err)
	}
	for _, c := range b.client.Jar.Cookies(u) {
		if c.Name == "romm_csrftoken" {
			return []string{"X-Csrftoken", c.Value, "Origin", public}
		}
	}
	b.t.Fatal("the browser has no CSRF cookie of RomM")
	return nil
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

// eventually waits until ok returns true, for at most 5 s.
func eventually(t *testing.T, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Second); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the condition was not met within 5 s")
		}
	}
}
