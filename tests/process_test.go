package tests

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/tests/authelia"
	"github.com/romm-oidc/caddy-romm-oidc/tests/romm"
)

// binaryDir is the folder of the binary, as soon as there is one.
var binaryDir string

// binary builds Caddy with the module, once for all tests that need a process of its own.
var binary = sync.OnceValues(func() (string, error) {
	var err error
	if binaryDir, err = os.MkdirTemp("", "romm_oidc-caddy-"); err != nil {
		return "", err
	}
	file := filepath.Join(binaryDir, "caddy")
	output, err := exec.Command("go", "build", "-tags", "nobadger,nomysql,nopgx", "-o", file, "./caddy").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%w: %s", err, output)
	}
	return file, nil
})

func TestMain(m *testing.M) {
	code := m.Run()
	_ = os.RemoveAll(binaryDir)
	os.Exit(code)
}

// process is a stack whose Caddy is a process of its own, on http://localhost.
type process struct {
	*stack
	config  string
	ready   *http.Client // reaches it at site
	command *exec.Cmd
	mu      sync.Mutex
	log     []string
}

// launch starts stand-ins and a Caddy of its own. Authelia listens at a fixed
// address, so that it can be away from the beginning.
func launch(t *testing.T, accounts []authelia.User) *process {
	t.Helper()
	site, within := address(t), address(t)
	p := &process{stack: &stack{t: t, site: "http://localhost:" + port(site), storage: t.TempDir()}, ready: http.DefaultClient}
	p.standIns(accounts, within)
	p.configure("off", "127.0.0.1", within, "")
	return p
}

// standIns starts Authelia and RomM for accounts. RomM finds the gate at within.
func (s *stack) standIns(accounts []authelia.User, within string) {
	portal := httptest.NewUnstartedServer(nil)
	s.autheliaURL = "http://localhost:" + port(portal.Listener.Addr().String())
	s.authelia = authelia.New(authelia.Options{Issuer: s.autheliaURL, Users: accounts, Clients: []authelia.Client{{
		ID: "romm", Secret: "insecure_secret", RedirectURIs: []string{s.site + base},
		Scopes: []string{"openid", "profile", "email"}, RequirePKCE: true, ConsentMode: "implicit",
	}}})
	s.romm = romm.New(romm.Options{OIDC: romm.OIDC{
		Enabled: true, ClientID: "romm", ClientSecret: "insecure_secret", RedirectURI: s.site + base, ServerURL: "http://" + within + base,
	}})
	s.romm.AddUser(romm.User{Username: "root", Email: "root@example.com", Role: "admin"})
	portal.Config.Handler = s.authelia
	portal.Start()
	s.t.Cleanup(portal.Close)
	s.rommURL = serve(s.t, s.romm)
}

// configure writes the configuration of a Caddy that listens at the address
// bind; directive are lines of romm_oidc beside the required ones.
func (p *process) configure(admin, bind, within, directive string) {
	t := p.t
	p.config = filepath.Join(t.TempDir(), "Caddyfile")
	content := fmt.Sprintf(`{
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
`, admin, p.storage, p.site, within, bind, p.autheliaURL, p.site, base, directive, strings.TrimPrefix(p.rommURL, "http://"))
	if err := os.WriteFile(p.config, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			t.Logf("Caddy's log:\n%s", strings.Join(p.logged(""), "\n"))
		}
	})
}

// address returns a free loopback address.
func address(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

func port(address string) string { return address[strings.LastIndexByte(address, ':')+1:] }

// run starts Caddy and waits until it answers.
func (p *process) run() {
	p.t.Helper()
	file, err := binary()
	if err != nil {
		p.t.Fatal(err)
	}
	p.command = exec.Command(file, "run", "--config", p.config, "--adapter", "caddyfile")
	stderr, err := p.command.StderrPipe()
	if err != nil {
		p.t.Fatal(err)
	}
	if err := p.command.Start(); err != nil {
		p.t.Fatal(err)
	}
	go func() {
		for lines := bufio.NewScanner(stderr); lines.Scan(); {
			p.mu.Lock()
			p.log = append(p.log, lines.Text())
			p.mu.Unlock()
		}
	}()
	eventually(p.t, func() bool {
		answer, err := p.ready.Get(p.site + "/api/heartbeat")
		if err != nil {
			return false
		}
		_ = answer.Body.Close()
		return answer.StatusCode == http.StatusOK
	})
}

// kill ends Caddy as the kernel would: kill -9.
func (p *process) kill() {
	if p.command == nil {
		return
	}
	_ = p.command.Process.Kill()
	_ = p.command.Wait()
	p.command = nil
}

// logged returns the lines of Caddy's log that hold text.
func (p *process) logged(text string) []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var found []string
	for _, line := range p.log {
		if strings.Contains(line, text) {
			found = append(found, line)
		}
	}
	return found
}

// 200 users are signed in; Caddy is killed and started again: all 200 are still in.
func TestKillAndStartAgain(t *testing.T) {
	const n = 200
	accounts := make([]authelia.User, n)
	for i := range accounts {
		name := fmt.Sprintf("user%d", i)
		accounts[i] = authelia.User{Name: name, Password: name + "-password", Email: name + "@example.com"}
	}
	p := launch(t, accounts)
	p.run()
	browsers := make([]*browser, n)
	for i := range browsers {
		browsers[i] = p.as(accounts[i].Name)
	}
	p.kill()
	p.run()
	for i, b := range browsers {
		if me := b.fetch("/api/users/me"); me.StatusCode != http.StatusOK || !strings.Contains(me.body, `"username":"`+accounts[i].Name+`"`) {
			t.Fatalf("%s: %d %s", accounts[i].Name, me.StatusCode, me.body)
		}
	}
}

// Caddy starts while Authelia is away: no error, live sessions go on, and
// signing in works within 2 s of its return.
func TestColdStartWithoutAuthelia(t *testing.T) {
	p := launch(t, users)
	p.run()
	alice := p.as("alice")
	p.kill()
	p.authelia.Down()
	p.run()
	newcomer := p.browser()
	for range 20 {
		p.problem(newcomer.open("/rom/7"), http.StatusServiceUnavailable, "provider_unavailable")
		if me := alice.fetch("/api/users/me"); me.StatusCode != http.StatusOK {
			t.Fatalf("alice: %d %s", me.StatusCode, me.body)
		}
		time.Sleep(50 * time.Millisecond)
	}
	p.authelia.Up()
	up := time.Now()
	eventually(t, func() bool { return newcomer.open("/rom/7").StatusCode == http.StatusFound })
	if took := time.Since(up); took > 2*time.Second {
		t.Errorf("healed after %s", took)
	}
	if answer := newcomer.signIn("/rom/7", "alice"); answer.Header.Get("Location") != "/rom/7" {
		t.Errorf("%d %s", answer.StatusCode, answer.body)
	}
	if errors := p.logged(`"level":"error"`); len(errors) > 0 {
		t.Errorf("errors in the log:\n%s", strings.Join(errors, "\n"))
	}
}

// The access log names the user.
func TestAccessLogNamesTheUser(t *testing.T) {
	p := launch(t, users)
	content, err := os.ReadFile(p.config)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(p.config, []byte(strings.Replace(string(content), "\tbind 127.0.0.1\n", "\tbind 127.0.0.1\n\tlog\n", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	p.run()
	p.as("alice").fetch("/api/roms")
	eventually(t, func() bool { return len(p.logged(`"user_id":"alice"`)) > 0 })
}
