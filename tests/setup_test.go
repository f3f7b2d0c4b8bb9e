// From an empty folder to signed in, with what `caddy romm-oidc setup` writes and
// no edit in between.

package tests

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddytest"

	"github.com/romm-oidc/caddy-romm-oidc/tests/authelia"
	"github.com/romm-oidc/caddy-romm-oidc/tests/caddyprocess"
	"github.com/romm-oidc/caddy-romm-oidc/tests/romm"
)

// setUp runs `caddy romm-oidc setup` for a new folder.
func setUp(t *testing.T, arguments ...string) (folder, output string) {
	t.Helper()
	folder = filepath.Join(t.TempDir(), "romm")
	output, err := runCommand(t, append([]string{"setup", folder}, arguments...)...)
	if err != nil {
		t.Fatalf("setup: %v: %s", err, output)
	}
	return folder, output
}

// runCommand runs `caddy romm-oidc`.
func runCommand(t *testing.T, arguments ...string) (string, error) {
	t.Helper()
	file, err := caddyprocess.Binary()
	if err != nil {
		t.Fatal(err)
	}
	command := exec.CommandContext(t.Context(), file, append([]string{"romm-oidc"}, arguments...)...)
	command.Env = append(os.Environ(), "HOME="+t.TempDir())
	output, err := command.CombinedOutput()
	return string(output), err
}

func readFile(t *testing.T, path ...string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(path...))
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// Authelia and RomM exist, Caddy runs on the machine.
func TestSetupBesideWhatExists(t *testing.T) {
	ports := caddyprocess.Ports(t, 3)
	origin, within, admin := "http://localhost:"+strconv.Itoa(ports[0]), "http://127.0.0.1:"+strconv.Itoa(ports[1]), "localhost:"+strconv.Itoa(ports[2])
	portal := httptest.NewUnstartedServer(nil)
	site := httptest.NewUnstartedServer(nil)
	s := &stack{t: t, origin: origin, autheliaURL: "http://localhost:" + port(portal.Listener.Addr().String())}
	folder, _ := setUp(t, "--no-containers", "--authelia-exists", "--policy", "one_factor", "--site", origin, "--authelia", s.autheliaURL,
		"--admin", "alice@example.com", "--romm-address", site.Listener.Addr().String(), "--caddy-address", within)

	clients, err := authelia.ReadClients([]byte(readFile(t, folder, "authelia-client.yml")))
	if err != nil {
		t.Fatal(err)
	}
	s.authelia = authelia.New(authelia.Options{Issuer: s.autheliaURL, Users: users, Clients: clients})
	s.romm = romm.New(romm.Read([]byte(readFile(t, folder, "romm.env"))))
	portal.Config.Handler, site.Config.Handler = s.authelia, s.romm
	portal.Start()
	site.Start()
	t.Cleanup(portal.Close)
	t.Cleanup(site.Close)

	t.Setenv("CADDY_ADMIN", admin)
	p := caddyprocess.New(t, "")
	p.Config, p.Flags = filepath.Join(folder, "Caddyfile"), []string{"--envfile", filepath.Join(folder, ".env")}
	p.Run()
	s.wantSignedIn("alice", "admin")
	s.wantSignedIn("bob", "user")
	s.doctor(folder, admin)
}

// doctor runs the doctor on an installation in good health, on a fault, and where
// it cannot look.
func (s *stack) doctor(folder, admin string) {
	s.t.Helper()
	config := filepath.Join(folder, "Caddyfile")
	env := []string{"--envfile", filepath.Join(folder, ".env")}
	harmed := filepath.Join(s.t.TempDir(), "Caddyfile")
	refused := filepath.Join(s.t.TempDir(), "Caddyfile")
	for file, change := range map[string]*strings.Replacer{
		harmed:  strings.NewReplacer("client_id romm", "client_id other", "scopes openid", "client_auth post\n\t\tscopes openid"),
		refused: strings.NewReplacer("client_id romm", "client_ids romm"),
	} {
		if err := os.WriteFile(file, []byte(change.Replace(readFile(s.t, config))), 0o600); err != nil {
			s.t.Fatal(err)
		}
	}
	for name, c := range map[string]struct {
		arguments []string
		code      int
		want      []string
	}{
		"the running Caddy": {append([]string{"--address", admin}, env...), 0, []string{"RomM: its variables, its secret, its way to Caddy", "No problem found", "http.handlers.romm_oidc", "uses the cookie romm_oidc_", "the storage was locked, written and deleted in", "without a proxy in between"}},
		"the file":          {append([]string{"--address", admin, "--config", config}, env...), 0, []string{"No problem found", "config_http_origin"}},
		"a fault":           {append([]string{"--address", admin, "--config", harmed}, env...), 1, []string{"PROBLEM  authelia_client_id", "seen      Authelia answers invalid_client", "client_id other", "caddy_other_config"}},
		"a refused file":    {append([]string{"--address", admin, "--config", refused}, env...), 1, []string{"PROBLEM  config_refused", `romm_oidc does not know "client_ids"`, "Did you mean \"client_id\"?"}},
		"before the start":  {append([]string{"--address", "localhost:1", "--config", config}, env...), 0, []string{"Caddy does not run yet", "No problem found"}},
		"no Caddy":          {[]string{"--address", "localhost:1"}, 2, []string{"the doctor could not look", "name a file with --config"}},
		"no file":           {[]string{"--address", "localhost:1", "--config", config + "s"}, 2, []string{"no such file"}},
		"JSON":              {append([]string{"--address", admin, "--json"}, env...), 0, []string{`"findings": [`, `"code": "config_http_origin"`}},
	} {
		output, err := runCommand(s.t, append([]string{"doctor"}, c.arguments...)...)
		code := 0
		if exit, ok := errors.AsType[*exec.ExitError](err); ok {
			code = exit.ExitCode()
		}
		for _, want := range c.want {
			if code != c.code || !strings.Contains(strings.ReplaceAll(output, `\"`, `"`), want) && !strings.Contains(output, want) {
				s.t.Errorf("%s: doctor exited with %d and printed\n%s\nwant %d with %q", name, code, output, c.code, want)
			}
		}
	}
	// The file says where the admin API is.
	named := filepath.Join(s.t.TempDir(), "Caddyfile")
	if err := os.WriteFile(named, []byte("{\n\tadmin "+admin+"\n}\n"+readFile(s.t, config)), 0o600); err != nil {
		s.t.Fatal(err)
	}
	s.t.Setenv("CADDY_ADMIN", "localhost:1")
	if output, err := runCommand(s.t, append([]string{"doctor", "--config", named}, env...)...); err != nil || !strings.Contains(output, "the storage was locked, written and deleted in") {
		s.t.Errorf("with `admin` in the file, the doctor printed %s, error %v, want the running Caddy to be found", output, err)
	}
	s.t.Setenv("CADDY_ADMIN", admin)
	// A RomM and an Authelia that have changed since.
	s.authelia.UpdateClient("romm", func(c *authelia.Client) { c.RedirectURIs = []string{s.origin + base + "/"} })
	if output, err := runCommand(s.t, append([]string{"doctor", "--address", admin}, env...)...); err == nil || !strings.Contains(output, "authelia_redirect_uri") {
		s.t.Errorf("after the client has changed, doctor printed %s, error %v, want authelia_redirect_uri", output, err)
	}
}

// Authelia and RomM are set up too, in containers. Their names and ports are those
// of the test, by flags; the global options are added because the test can use
// neither the ports 80 and 443 nor public certificates.
func TestSetupFromNothing(t *testing.T) {
	t.Run("with a secret", func(t *testing.T) { setUpFromNothing(t) })
	t.Run("with a key", func(t *testing.T) { setUpFromNothing(t, "--private-key-jwt") })
}

func setUpFromNothing(t *testing.T, more ...string) {
	t.Helper()
	const origin, portalName = "https://romm.example.com", "https://auth.example.com"
	portal := httptest.NewUnstartedServer(nil)
	site := httptest.NewUnstartedServer(nil)
	password := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(password, []byte("you-password\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	folder, _ := setUp(t, append(more, "--site", "romm.example.com", "--authelia", "auth.example.com", "--admin", "you@example.com", "--group", "rom players",
		"--password-file", password, "--romm-address", site.Listener.Addr().String(), "--authelia-address", "http://"+portal.Listener.Addr().String(), "--caddy-address", inside)...)

	written, err := authelia.Read([]byte(readFile(t, folder, "authelia/configuration.yml")), []byte(readFile(t, folder, "authelia/users.yml")))
	if err != nil {
		t.Fatal(err)
	}
	if written.Issuer != portalName || written.CookieDomain != "example.com" {
		t.Errorf("Authelia is %s with the cookie domain %s, want %s and example.com", written.Issuer, written.CookieDomain, portalName)
	}
	written.Users = append(written.Users, authelia.User{Name: "bob", Password: "bob-password", Email: "bob@example.com"})
	dial := caddytest.CreateTestingTransport()
	dial.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, "127.0.0.1:9443")
	}
	written.Fetch = &http.Client{Transport: dial} // trusts Caddy's certificates
	s := &stack{t: t, origin: origin, authelia: authelia.New(written)}
	options := romm.Read([]byte(readFile(t, folder, "romm.env")), []byte(readFile(t, folder, ".env")))
	s.romm = romm.New(options)
	portal.Config.Handler, site.Config.Handler = s.authelia, s.romm
	portal.Start()
	site.Start()
	t.Cleanup(portal.Close)
	t.Cleanup(site.Close)

	t.Setenv("OIDC_CLIENT_SECRET", options.OIDC.ClientSecret)
	s.tester = caddytest.NewTester(t)
	s.unload()
	s.tester.InitServer("{\n\tadmin localhost:2999\n\thttp_port 9079\n\thttps_port 9443\n\tgrace_period 1ns\n\tskip_install_trust\n\tlocal_certs\n"+
		"\tpersist_config off\n\tstorage file_system "+caddyprocess.Folder(t)+"\n}\n"+readFile(t, folder, "Caddyfile"), "caddyfile")
	old := transport
	transport = dial
	t.Cleanup(func() { transport = old })
	b := s.browser()
	eventually(t, func() bool { // until Caddy has made its certificates
		answer, err := b.try(b.request("/api/heartbeat", nil))
		return err == nil && answer.StatusCode == http.StatusOK
	})
	s.wantSignedIn("you", "admin")
	s.problem(s.browser().signIn("/", "bob"), http.StatusForbidden, "not_allowed")
}

// wantSignedIn fails unless user can sign in, and has role in RomM.
func (s *stack) wantSignedIn(user, role string) {
	s.t.Helper()
	b := s.browser()
	if answer := b.signIn("/rom/7", user); answer.Header.Get("Location") != "/rom/7" {
		s.t.Fatalf("signing in as %s: the callback answered %d, want a redirect to /rom/7: %s", user, answer.StatusCode, answer.body)
	}
	if me := b.fetch("/api/users/me"); !strings.Contains(me.body, `"username":"`+user+`"`) || !strings.Contains(me.body, `"role":"`+role+`"`) {
		s.t.Errorf("/api/users/me answered %d, want 200 with %s as %s: %s", me.StatusCode, user, role, me.body)
	}
}

// setup overwrites nothing, says what is missing without a terminal, and prints
// what it would write. Only their owner may read the files with secrets.
func TestSetupCommand(t *testing.T) {
	answers := []string{"--site", "romm.example.com", "--authelia", "auth.example.com", "--admin", "you@example.com"}
	folder, output := setUp(t, answers...)
	for _, want := range []string{"Sign in as you with the password ", "docker compose up -d\n", "open https://romm.example.com\n"} {
		if !strings.Contains(output, want) {
			t.Errorf("setup printed %s, want %q in it", output, want)
		}
	}
	for file, mode := range map[string]os.FileMode{".env": 0o600, "authelia/configuration.yml": 0o600, "authelia/users.yml": 0o600, "Caddyfile": 0o644, "compose.yml": 0o644} {
		if info, err := os.Stat(filepath.Join(folder, file)); err != nil || info.Mode() != mode {
			t.Errorf("%s: got %v, error %v, want the mode %o", file, info, err, mode)
		}
	}
	if config := readFile(t, folder, "Caddyfile"); string(caddyfile.Format([]byte(config))) != config {
		t.Errorf("the Caddyfile is not formatted:\n%s", config)
	}
	before := readFile(t, folder, ".env")
	if output, err := runCommand(t, append([]string{"setup", folder}, answers...)...); err == nil || !strings.Contains(output, "setup overwrites nothing") || readFile(t, folder, ".env") != before {
		t.Errorf("a second setup into the same folder printed %s, error %v, want a refusal that changes nothing", output, err)
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if output, err := runCommand(t, append([]string{"setup", file}, answers...)...); err == nil || readFile(t, file) != "mine" {
		t.Errorf("a setup into a file printed %s, error %v, want a refusal that changes nothing", output, err)
	}
	for want, arguments := range map[string][]string{
		"the public address of RomM is missing, for instance --site https://romm.example.com": nil,
		"administrator's e-mail address is missing":                                           answers[:4],
		"takes one folder": {"a", "b"},
	} {
		if output, err := runCommand(t, append([]string{"setup"}, arguments...)...); err == nil || !strings.Contains(output, want) {
			t.Errorf("setup %v printed %s, error %v, want %q", arguments, output, err, want)
		}
	}
	absent := filepath.Join(t.TempDir(), "absent")
	output, err := runCommand(t, append([]string{"setup", absent, "--print", "--json", "--no-containers", "--authelia-exists"}, answers...)...)
	var report struct {
		Site     string
		Files    []struct{ Name, Content string }
		Commands []string
	}
	if err != nil || json.Unmarshal([]byte(output), &report) != nil || len(report.Files) != 4 || len(report.Commands) != 3 || !strings.Contains(report.Files[0].Content, "romm_oidc {") {
		t.Errorf("setup --print --json printed %s, error %v, want four files and three commands", output, err)
	}
	if _, err := os.Stat(absent); err == nil {
		t.Error("setup --print wrote a folder")
	}
	output, err = runCommand(t, append([]string{"setup", absent, "--json"}, answers...)...)
	if err != nil || json.Unmarshal([]byte(output), &report) != nil || strings.Contains(output, "PRIVATE KEY") || strings.Contains(output, readFile(t, absent, ".env")) {
		t.Errorf("setup --json printed %s, error %v, want a report without the files' content", output, err)
	}
}
