// Signing in: the protocol, RomM's and Authelia's refusals, the first administrator.

package tests

import (
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/romm-oidc/caddy-romm-oidc/tests/authelia"
	"github.com/romm-oidc/caddy-romm-oidc/tests/romm"
)

// A user opens a page of RomM, signs in at Authelia, and returns to that page
// as a RomM user.
func TestSignIn(t *testing.T) {
	s := start(t, options{directive: rolesByMail})
	b := s.browser()
	answer := b.open("/rom/7?tab=saves&q=a%20b")
	location, err := url.Parse(answer.Header.Get("Location"))
	if err != nil || answer.StatusCode != http.StatusFound || !strings.HasPrefix(location.String(), issuer+"/api/oidc/authorization?") {
		t.Fatalf("an anonymous navigation is answered %d to %s, want 302 to Authelia's authorization endpoint", answer.StatusCode, location)
	}
	if query := location.Query(); query.Get("code_challenge_method") != "S256" || query.Get("nonce") == "" || len(query.Get("state")) < 22 ||
		query.Get("redirect_uri") != public+base || query.Get("scope") != "openid profile email" || query.Get("response_type") != "code" {
		t.Errorf("the authorization request is %v, want PKCE with S256, a nonce, a long state and our client's values", query)
	}
	if answer.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("Cache-Control is %q, want no-store", answer.Header.Get("Cache-Control"))
	}
	answer = b.signIn("/rom/7?tab=saves&q=a%20b", "alice")
	if answer.StatusCode != http.StatusSeeOther || answer.Header.Get("Location") != "/rom/7?tab=saves&q=a%20b" {
		t.Fatalf("the callback answered %d to %q, want 303 to the page that was opened: %s", answer.StatusCode, answer.Header.Get("Location"), answer.body)
	}
	for _, c := range answer.Cookies() {
		if strings.Contains(c.Name, "romm_session") {
			t.Errorf("RomM's session cookie reached the browser: %v", c)
		}
		if c.Name == ticketName && (!c.HttpOnly || !c.Secure || c.SameSite != http.SameSiteLaxMode || c.Path != "/") {
			t.Errorf("the ticket's cookie is %v, want HttpOnly, Secure, Lax and the path /", c)
		}
	}
	me := b.fetch("/api/users/me")
	if me.StatusCode != http.StatusOK || !strings.Contains(me.body, `"username":"alice"`) || !strings.Contains(me.body, `"role":"admin"`) {
		t.Errorf("/api/users/me answered %d, want 200 with alice as an administrator: %s", me.StatusCode, me.body)
	}
	for name, values := range me.Header {
		if strings.Contains(strings.Join(values, ""), "romm_session") {
			t.Errorf("RomM's session cookie is in the answer's %s: %v", name, values)
		}
	}
	request, _ := s.romm.LastRequest("/api/users/me")
	if request.User != "alice" || request.Host != "romm.example.com:9443" || strings.Contains(request.Header.Get("Cookie"), "romm_oidc") ||
		strings.Contains(request.Header.Get("Cookie"), "authelia_session") || request.Header.Get("X-Forwarded-Proto") != "https" {
		t.Errorf("RomM got %+v, want alice at the public host without the gate's or Authelia's cookies", request)
	}
}

// A write that RomM protects against CSRF works, but only with RomM's own
// token.
func TestCSRFProtectedWrite(t *testing.T) {
	s := start(t, options{directive: rolesByMail})
	b := s.as("alice")
	if answer := b.fetch("POST /api/saves", b.csrf()...); answer.StatusCode/100 != 2 || s.romm.SaveCount() != 1 {
		t.Errorf("a write with RomM's CSRF token answered %d, want success and one save: %s", answer.StatusCode, answer.body)
	}
	if answer := b.fetch("POST /api/saves", "Origin", public); answer.StatusCode != http.StatusForbidden || s.romm.SaveCount() != 1 {
		t.Errorf("a write without RomM's CSRF token answered %d, want 403 and no further save: %s", answer.StatusCode, answer.body)
	}
	// A browser's own Authorization field would switch off RomM's CSRF check.
	if answer := b.fetch("POST /api/saves", "Origin", public, "Authorization", "Bearer x"); answer.StatusCode != http.StatusForbidden {
		t.Errorf("a write with a junk bearer token answered %d, want 403: %s", answer.StatusCode, answer.body)
	}
}

// bobInTheLog is what the operator needs to know to let bob in.
const bobInTheLog = `no entry fits \"bob\" with the e-mail address \"bob@example.com\" and the groups []`

// When RomM refuses a sign-in, the user gets a page that says what to do, and
// the log names the user.
func TestRefusalsOfRomM(t *testing.T) {
	no := false
	for name, c := range map[string]struct {
		romm      func(*romm.Options)
		prepare   func(*stack)
		directive string
		user      string
		status    int
		code      string
		log       string // part of the log
	}{
		"registration off": {romm: func(o *romm.Options) { o.OIDC.AllowRegistration = &no }, user: "bob", status: 403, code: "registration_off"},
		"disabled in RomM": {prepare: func(s *stack) {
			s.romm.AddUser(romm.User{Username: "bob", Email: "bob@example.com", Role: "user", Disabled: true})
		}, user: "bob", status: 403, code: "account_disabled"},
		"OIDC off in RomM":                {romm: func(o *romm.Options) { o.OIDC.Enabled = false }, user: "bob", status: 502, code: "romm_oidc_off"},
		"wrong secret in RomM":            {romm: func(o *romm.Options) { o.OIDC.ClientSecret = "other" }, user: "bob", status: 502, code: "romm_client_secret"},
		"wrong client in RomM":            {romm: func(o *romm.Options) { o.OIDC.ClientID = "other" }, user: "bob", status: 502, code: "romm_points_elsewhere"},
		"RomM cannot reach us":            {romm: func(o *romm.Options) { o.OIDC.ServerURL = "http://127.0.0.1:1" + base }, user: "bob", status: 502, code: "romm_cannot_reach_caddy"},
		"RomM's provider is Authelia":     {romm: func(o *romm.Options) { o.OIDC.HTTPClient = autheliaClient(); o.OIDC.ServerURL = issuer }, user: "bob", status: 502, code: "romm_points_elsewhere"},
		"RomM down":                       {prepare: func(s *stack) { s.romm.Down() }, user: "bob", status: 502, code: "romm_unreachable"},
		"a proxy before RomM answers 404": {prepare: func(s *stack) { s.romm.Fault("/api/login/openid", http.NotFound) }, user: "bob", status: 502, code: "romm_unreachable"},
		"user name taken":                 {prepare: func(s *stack) { s.romm.AddUser(romm.User{Username: "bob", Email: "other@example.com", Role: "user"}) }, user: "bob", status: 502, code: "romm_refused"},
		"no administrator yet":            {prepare: func(s *stack) { s.romm.DeleteUser("root") }, user: "bob", status: 403, code: "no_administrator", log: bobInTheLog},
		"no role":                         {directive: "roles {\n admin alice@example.com\n}\n", user: "bob", status: 403, code: "no_role", log: bobInTheLog},
		"roles not set in RomM":           {romm: func(o *romm.Options) { o.OIDC.ClaimRoles = "" }, directive: rolesByMail, user: "alice", status: 502, code: "roles_ignored"},
		"roles before 4.8":                {romm: func(o *romm.Options) { o.Version = "4.4.0" }, directive: rolesByMail, user: "alice", status: 502, code: "roles_version"},
		"last administrator": {prepare: func(s *stack) {
			s.romm.AddUser(romm.User{Username: "bob", Email: "bob@example.com", Role: "admin"})
			s.romm.Disable("root")
		}, directive: rolesByMail, user: "bob", status: 403, code: "last_admin", log: bobInTheLog},
		"not allowed":       {directive: "allow {\n emails alice@example.com\n}\n", user: "bob", status: 403, code: "not_allowed", log: bobInTheLog},
		"no e-mail address": {user: "frank", status: 403, code: "email_missing"},
	} {
		t.Run(name, func(t *testing.T) {
			log := filepath.Join(t.TempDir(), "log")
			s := start(t, options{romm: c.romm, directive: c.directive, global: "log {\n output file " + log + "\n}"})
			s.romm.AddUser(romm.User{Username: "root", Email: "root@example.com", Role: "admin"})
			if c.prepare != nil {
				c.prepare(s)
			}
			b := s.browser()
			s.problem(b.signIn("/rom/7", c.user), c.status, c.code)
			if answer := b.fetch("/api/users/me"); answer.StatusCode == http.StatusOK {
				t.Error("the refused sign-in made a session")
			}
			if live := s.romm.Sessions(); live != 0 {
				t.Errorf("RomM has %d sessions left, want 0", live)
			}
			if content, err := os.ReadFile(log); err != nil || !strings.Contains(string(content), c.log) {
				t.Errorf("the log lacks %s: %v\n%s", c.log, err, content)
			}
		})
	}
}

// autheliaClient reaches Authelia at its public name, as RomM's container
// would.
func autheliaClient() *http.Client { return &http.Client{Transport: transport} }

// The first administrator of a new RomM is a user that our roles name. Other
// users cannot sign in before that, and RomM's open endpoint stays closed.
func TestFirstAdministrator(t *testing.T) {
	s := start(t, options{directive: rolesByMail})
	s.problem(s.browser().signIn("/", "bob"), http.StatusForbidden, "no_administrator")
	stranger := s.browser()
	if answer := stranger.fetch("POST /api/users", "Content-Type", "application/json"); answer.StatusCode/100 != 4 {
		t.Errorf("an anonymous POST /api/users answered %d, want 4xx", answer.StatusCode)
	}
	s.as("alice")
	if user, _ := s.romm.User("alice"); user.Role != "admin" {
		t.Errorf("alice's account is %+v, want an administrator", user)
	}
	s.as("bob")
	if user, _ := s.romm.User("bob"); user.Role != "user" {
		t.Errorf("bob's account is %+v, want a plain user", user)
	}
}

// A user who loses the administrator's role at the gate loses it in RomM too,
// as long as another administrator is left.
func TestDemotion(t *testing.T) {
	s := start(t, options{directive: rolesByMail})
	s.as("alice")
	s.romm.AddUser(romm.User{Username: "root", Email: "root@example.com", Role: "admin"})
	s.load(options{directive: "roles {\n admin root@example.com\n user *\n}\n"})
	s.as("alice")
	if user, _ := s.romm.User("alice"); user.Role != "user" {
		t.Errorf("alice's account is %+v, want a plain user", user)
	}
}

// Authelia's own refusals end on a page as well.
func TestRefusalsOfAuthelia(t *testing.T) {
	s := start(t, options{directive: rolesByMail})
	b := s.browser()
	answer := b.open("/rom/7")
	callback, err := s.authelia.Refuse(b.client, answer.Header.Get("Location"), "alice", "alice-password")
	if err != nil {
		t.Fatal(err)
	}
	page := b.open(callback)
	s.problem(page, http.StatusForbidden, "sign_in_denied")
	if !strings.Contains(page.body, "/api/oauth/openid/login?next=%2From%2F7") {
		t.Errorf("the page has no link back to /rom/7:\n%s", page.body)
	}
	s.authelia.UpdateClient("romm", func(c *authelia.Client) { c.Secret = "changed" })
	s.problem(s.browser().signIn("/", "alice"), http.StatusBadGateway, "client_refused")
}
