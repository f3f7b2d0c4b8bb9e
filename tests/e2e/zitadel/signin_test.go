// Package zitadel signs in at a provider that we did not write: that of
// github.com/zitadel/oidc, a library certified by the OpenID Foundation.
package zitadel

import (
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/zitadel/oidc/v3/pkg/oidc"

	"github.com/romm-oidc/caddy-romm-oidc/tests/caddyprocess"
	"github.com/romm-oidc/caddy-romm-oidc/tests/romm"
)

const base = "/api/oauth/openid"

func TestMain(m *testing.M) { os.Exit(caddyprocess.Main(m)) }

// stack is a running Caddy between the provider and a stand-in for RomM.
type stack struct {
	t      *testing.T
	origin string
	romm   *romm.Server
	http   *http.Client
}

// start starts a stack; ours is the client secret in Caddy's configuration.
func start(t *testing.T, auth oidc.AuthMethod, ours string) *stack {
	t.Helper()
	ports := caddyprocess.Ports(t, 2)
	s := &stack{t: t, origin: fmt.Sprintf("http://localhost:%d", ports[0])}
	inside := fmt.Sprintf("http://127.0.0.1:%d", ports[1])
	issuer := startProvider(t, s.origin, auth)
	s.romm = romm.New(romm.Options{OIDC: romm.OIDC{
		Enabled: true, ClientID: "romm", ClientSecret: ours, RedirectURI: s.origin + base, ServerURL: inside + base,
		ClaimRoles: "romm_roles", RoleAdmin: "admin", RoleViewer: "user",
	}})
	upstream := httptest.NewServer(s.romm)
	t.Cleanup(upstream.Close)
	client := map[oidc.AuthMethod]string{
		oidc.AuthMethodBasic: "client_secret " + ours + "\n\t\tclient_auth basic", oidc.AuthMethodPost: "client_secret " + ours + "\n\t\tclient_auth post",
		oidc.AuthMethodPrivateKeyJWT: "romm_client_secret " + ours + "\n\t\tclient_auth private_key_jwt",
	}
	caddyprocess.Start(t, fmt.Sprintf(`{
	admin off
	persist_config off
	auto_https off
	default_bind 127.0.0.1
	storage file_system %s
}
%s, %s {
	romm_oidc {
		issuer %s
		client_id romm
		%s
		redirect_uri %s%s
		roles {
			admin %s
		}
	}
	reverse_proxy %s
}
`, t.TempDir(), s.origin, inside, issuer, client[auth], s.origin, base, email, strings.TrimPrefix(upstream.URL, "http://")))
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	s.http = &http.Client{Jar: jar, Timeout: 30 * time.Second} // follows redirects, like a browser
	return s
}

// page is what a browser shows.
type page struct {
	at     *url.URL
	status int
	body   string
}

func (s *stack) send(r *http.Request, err error) page {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
	answer, err := s.http.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return page{answer.Request.URL, answer.StatusCode, string(body)}
}

// open navigates to target, a path of the public origin.
func (s *stack) open(target string) page {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, s.origin+target, nil)
	navigates(r)
	return s.send(r, err)
}

// fetch requests target like a script.
func (s *stack) fetch(target string) page {
	s.t.Helper()
	return s.send(http.NewRequestWithContext(s.t.Context(), http.MethodGet, s.origin+target, nil))
}

// navigates adds what browsers send for a user who looks at the tab.
func navigates(r *http.Request) {
	if r != nil {
		r.Header.Set("Accept", "text/html")
		r.Header.Set("Upgrade-Insecure-Requests", "1")
	}
}

// form submits a form.
func (s *stack) form(target string, fields url.Values) page {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), http.MethodPost, target, strings.NewReader(fields.Encode()))
	navigates(r)
	if err == nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	return s.send(r, err)
}

var requestID = regexp.MustCompile(`name="id" value="([^"]+)"`)

// signIn opens target and enters a password in the provider's form.
func (s *stack) signIn(target, password string) page {
	s.t.Helper()
	login := s.open(target)
	id := requestID.FindStringSubmatch(login.body)
	if id == nil {
		s.t.Fatalf("opening the page led to %s with %d, want a login form: %s", login.at, login.status, login.body)
	}
	return s.form(login.at.String(), url.Values{"username": {username}, "password": {password}, "id": {id[1]}})
}

// A provider that we did not write accepts our requests, and we accept its
// answers: discovery, the code flow with PKCE, the ID token and userinfo.
func TestSignIn(t *testing.T) {
	for _, auth := range []oidc.AuthMethod{oidc.AuthMethodBasic, oidc.AuthMethodPost, oidc.AuthMethodPrivateKeyJWT} {
		t.Run(string(auth), func(t *testing.T) {
			s := start(t, auth, secret)
			const target = "/rom/7?tab=saves&q=a%20b"
			if wrong := s.signIn(target, "wrong"); wrong.at.Path != "/login/username" {
				t.Errorf("a wrong password leads to %s, want the login form", wrong.at)
			}
			if got := s.signIn(target, password); got.status != http.StatusOK || got.at.String() != s.origin+target {
				t.Fatalf("the sign-in leads to %s with %d, want 200 at the page that was opened: %s", got.at, got.status, got.body)
			}
			if me := s.fetch("/api/users/me"); me.status != http.StatusOK ||
				!strings.Contains(me.body, `"username":"test-user_localhost-`) || !strings.Contains(me.body, `"email":"`+email+`"`) || !strings.Contains(me.body, `"role":"admin"`) {
				t.Errorf("/api/users/me answered %d, want 200 with the provider's user as an administrator: %s", me.status, me.body)
			}
		})
	}
}

// A sign-out passes through the provider's end-session endpoint and returns.
func TestSignOut(t *testing.T) {
	s := start(t, oidc.AuthMethodBasic, secret)
	s.signIn("/", password)
	if live := s.romm.Sessions(); live != 1 {
		t.Fatalf("RomM has %d sessions, want 1", live)
	}
	got := s.form(s.origin+base+"/logout", nil)
	if got.status != http.StatusOK || got.at.String() != s.origin+base+"/signed-out" || !strings.Contains(got.body, "You are signed out") {
		t.Errorf("the sign-out leads to %s with %d, want 200 at the signed-out page: %s", got.at, got.status, got.body)
	}
	if live := s.romm.Sessions(); live != 0 {
		t.Errorf("RomM has %d sessions, want 0", live)
	}
	if me := s.fetch("/api/users/me"); me.status != http.StatusUnauthorized {
		t.Errorf("/api/users/me after the sign-out answered %d, want 401: %s", me.status, me.body)
	}
}

// A wrong client secret ends on a page that names the problem.
func TestWrongSecret(t *testing.T) {
	s := start(t, oidc.AuthMethodBasic, "another")
	if got := s.signIn("/rom/7", password); got.status != http.StatusBadGateway || !strings.Contains(got.body, "client_refused · reference") {
		t.Errorf("the sign-in leads to %s with %d, want 502 client_refused: %s", got.at, got.status, got.body)
	}
}
