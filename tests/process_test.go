// Caddy as a separate process: kills, cold starts, the access log.

package tests

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2/caddytest"

	"github.com/romm-oidc/caddy-romm-oidc/tests/authelia"
	"github.com/romm-oidc/caddy-romm-oidc/tests/caddyprocess"
	"github.com/romm-oidc/caddy-romm-oidc/tests/romm"
)

func TestMain(m *testing.M) {
	// Each reload replaces the server of the admin API, which closes its
	// connections. A POST on one that was kept is lost, because it is not sent
	// twice.
	http.DefaultTransport.(*http.Transport).DisableKeepAlives = true
	caddytest.Default.LoadRequestTimeout = time.Minute
	os.Exit(caddyprocess.Main(m))
}

// process is a stack with Caddy as a separate process, at http://localhost.
type process struct {
	*stack
	*caddyprocess.Process
}

// launch starts stand-ins and a separate Caddy. Authelia has a fixed address,
// so that it can be down from the start.
func launch(t *testing.T, accounts []authelia.User) *process {
	t.Helper()
	site, within := address(t), address(t)
	p := &process{stack: &stack{t: t, origin: "http://localhost:" + port(site), storage: t.TempDir()}}
	p.standIns(accounts, within)
	p.configure("off", "127.0.0.1", within, "")
	return p
}

// standIns starts Authelia with these accounts, and RomM, which finds the gate
// at within.
func (s *stack) standIns(accounts []authelia.User, within string) {
	portal := httptest.NewUnstartedServer(nil)
	s.autheliaURL = "http://localhost:" + port(portal.Listener.Addr().String())
	s.authelia = authelia.New(authelia.Options{Issuer: s.autheliaURL, Users: accounts, Clients: []authelia.Client{{
		ID: "romm", Secret: "insecure_secret", RedirectURIs: []string{s.origin + base},
		Scopes: []string{"openid", "profile", "email"}, RequirePKCE: true, ConsentMode: "implicit",
	}}})
	s.romm = romm.New(romm.Options{OIDC: romm.OIDC{
		Enabled: true, ClientID: "romm", ClientSecret: "insecure_secret", RedirectURI: s.origin + base, ServerURL: "http://" + within + base,
	}})
	s.romm.AddUser(romm.User{Username: "root", Email: "root@example.com", Role: "admin"})
	portal.Config.Handler = s.authelia
	portal.Start()
	s.t.Cleanup(portal.Close)
	s.rommURL = serve(s.t, s.romm)
}

// configure writes the configuration of a Caddy that listens at bind;
// directive holds further lines of romm_oidc.
func (p *process) configure(admin, bind, within, directive string) {
	p.Process = caddyprocess.New(p.t, fmt.Sprintf(`{
	admin %s
	persist_config off
	auto_https off
	storage file_system %s
}
%s, http://%s {
	bind %s
	romm_oidc {
		issuer %s
		client_id romm
		client_secret insecure_secret
		redirect_uri %s%s
		%s
	}
	reverse_proxy %s
}
`, admin, p.storage, p.origin, within, bind, p.autheliaURL, p.origin, base, directive, strings.TrimPrefix(p.rommURL, "http://")))
}

// address returns a free loopback address.
func address(t *testing.T) string {
	t.Helper()
	return fmt.Sprint("127.0.0.1:", caddyprocess.Ports(t, 1)[0])
}

func port(address string) string { return address[strings.LastIndexByte(address, ':')+1:] }

// 200 users are signed in when Caddy is killed. After its restart all of them
// still are.
func TestKillAndStartAgain(t *testing.T) {
	const n = 200
	accounts := make([]authelia.User, n)
	for i := range accounts {
		name := fmt.Sprintf("user%d", i)
		accounts[i] = authelia.User{Name: name, Password: name + "-password", Email: name + "@example.com"}
	}
	p := launch(t, accounts)
	p.Run()
	browsers := make([]*browser, n)
	for i := range browsers {
		browsers[i] = p.as(accounts[i].Name)
	}
	p.Kill()
	p.Run()
	for i, b := range browsers {
		if me := b.fetch("/api/users/me"); me.StatusCode != http.StatusOK || !strings.Contains(me.body, `"username":"`+accounts[i].Name+`"`) {
			t.Fatalf("/api/users/me as %s after the restart answered %d, want 200 with that user: %s", accounts[i].Name, me.StatusCode, me.body)
		}
	}
}

// Caddy starts while Authelia is down: nothing is logged as an error, live
// sessions work, and users can sign in within 2 s of Authelia's return.
func TestColdStartWithoutAuthelia(t *testing.T) {
	p := launch(t, users)
	p.Run()
	alice := p.as("alice")
	p.Kill()
	p.authelia.Down()
	p.Run()
	newcomer := p.browser()
	for range 20 {
		p.problem(newcomer.open("/rom/7"), http.StatusServiceUnavailable, "provider_unavailable")
		if me := alice.fetch("/api/users/me"); me.StatusCode != http.StatusOK {
			t.Fatalf("/api/users/me as alice while Authelia is away answered %d, want 200: %s", me.StatusCode, me.body)
		}
		time.Sleep(50 * time.Millisecond)
	}
	p.authelia.Up()
	up := time.Now()
	eventually(t, func() bool { return newcomer.open("/rom/7").StatusCode == http.StatusFound })
	if took := time.Since(up); took > 2*time.Second {
		t.Errorf("signing in works %s after Authelia's return, want at most 2 s", took)
	}
	if answer := newcomer.signIn("/rom/7", "alice"); answer.Header.Get("Location") != "/rom/7" {
		t.Errorf("the callback answered %d, want a redirect to /rom/7: %s", answer.StatusCode, answer.body)
	}
	if errors := p.Logged(`"level":"error"`); len(errors) > 0 {
		t.Errorf("the log has errors, want none:\n%s", strings.Join(errors, "\n"))
	}
}

// The access log names the user.
func TestAccessLogNamesTheUser(t *testing.T) {
	p := launch(t, users)
	content, err := os.ReadFile(p.Config)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(p.Config, []byte(strings.Replace(string(content), "\tbind 127.0.0.1\n", "\tbind 127.0.0.1\n\tlog\n", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	p.Run()
	p.as("alice").fetch("/api/roms")
	eventually(t, func() bool { return len(p.Logged(`"user_id":"alice"`)) > 0 })
}
