// From an empty folder to signed in: what `caddy romm-oidc setup` writes, with no
// edit in between.

package browser

import (
	"fmt"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/romm-oidc/caddy-romm-oidc/tests/authelia"
	"github.com/romm-oidc/caddy-romm-oidc/tests/caddyprocess"
	"github.com/romm-oidc/caddy-romm-oidc/tests/romm"
)

// installation is a folder that setup wrote, with the servers that it expects.
type installation struct {
	*stack

	folder       string
	portal, site *httptest.Server
	admin        string
}

// setUp runs `caddy romm-oidc setup` for an empty folder.
func setUp(t *testing.T, arguments func(i *installation) []string) *installation {
	t.Helper()
	ports := caddyprocess.Ports(t, 1)
	i := &installation{
		stack: &stack{t: t, browser: shared(t)}, folder: filepath.Join(t.TempDir(), "romm-oidc"), admin: fmt.Sprintf("localhost:%d", ports[0]),
		portal: httptest.NewUnstartedServer(nil), site: httptest.NewUnstartedServer(nil),
	}
	i.command(append([]string{"setup", i.folder, "--romm-address", i.site.Listener.Addr().String()}, arguments(i)...)...)
	return i
}

// command runs `caddy romm-oidc`, which has to succeed.
func (i *installation) command(arguments ...string) {
	i.t.Helper()
	binary, err := caddyprocess.Binary()
	if err != nil {
		i.t.Fatal(err)
	}
	command := exec.CommandContext(i.t.Context(), binary, append([]string{"romm-oidc"}, arguments...)...)
	command.Dir = filepath.Dir(i.folder)
	if output, err := command.CombinedOutput(); err != nil {
		i.t.Fatalf("caddy romm-oidc %s: %v: %s", arguments[0], err, output)
	}
}

// read returns the content of a file that setup wrote.
func (i *installation) read(name string) []byte {
	i.t.Helper()
	content, err := os.ReadFile(filepath.Join(i.folder, filepath.FromSlash(name)))
	if err != nil {
		i.t.Fatal(err)
	}
	return content
}

// start starts the servers, Caddy with a configuration, and the doctor, which has to
// find no problem.
func (i *installation) start(config string, a *authelia.Server, r *romm.Server) {
	i.t.Helper()
	i.authelia, i.romm = a, r
	i.portal.Config.Handler, i.site.Config.Handler = a, r
	for _, server := range []*httptest.Server{i.portal, i.site} {
		server.Start()
		i.t.Cleanup(server.Close)
	}
	env := filepath.Join(i.folder, ".env")
	i.t.Setenv("CADDY_ADMIN", i.admin)
	i.caddy = caddyprocess.New(i.t, "")
	i.caddy.Config, i.caddy.Flags = config, []string{"--envfile", env}
	i.caddy.Run()
	i.command("doctor", "--address", i.admin, "--config", config, "--envfile", env)
}

// Authelia and RomM run already, and Caddy without a container.
func TestSetupBesideWhatExists(t *testing.T) {
	if mode != "" { // the files are the same in the other modes
		return
	}
	ports := caddyprocess.Ports(t, 2)
	i := setUp(t, func(i *installation) []string {
		i.origin = fmt.Sprintf("http://localhost:%d", ports[0])
		i.stack.portal = "http://" + i.portal.Listener.Addr().String()
		return []string{
			"--no-containers", "--authelia-exists", "--policy", "one_factor", "--site", i.origin, "--authelia", i.stack.portal,
			"--admin", "alice@example.com", "--caddy-address", fmt.Sprintf("http://127.0.0.1:%d", ports[1]),
		}
	})
	clients, err := authelia.ReadClients(i.read("authelia-client.yml"))
	if err != nil {
		t.Fatal(err)
	}
	i.start(filepath.Join(i.folder, "Caddyfile"), authelia.New(authelia.Options{Issuer: i.stack.portal, Users: users, Clients: clients}), romm.New(romm.Read(i.read("romm.env"))))
	i.signedInAs("alice", "admin")
	i.signedInAs("bob", "user")
}

// Authelia is set up too. The test adds options of Caddy as a whole: it can use
// neither the ports 80 and 443 nor public certificates.
func TestSetupFromNothing(t *testing.T) {
	if mode != "" { // the files are the same in the other modes
		return
	}
	ports := caddyprocess.Ports(t, 3)
	i := setUp(t, func(i *installation) []string {
		i.origin, i.stack.portal = fmt.Sprintf("https://romm.example.com:%d", ports[0]), fmt.Sprintf("https://auth.example.com:%d", ports[0])
		password := filepath.Join(t.TempDir(), "password")
		if err := os.WriteFile(password, []byte("you-password\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		return []string{
			"--site", i.origin, "--authelia", i.stack.portal, "--admin", "you@example.com", "--password-file", password,
			"--authelia-address", "http://" + i.portal.Listener.Addr().String(), "--caddy-address", fmt.Sprintf("http://127.0.0.1:%d", ports[1]),
		}
	})
	written, err := authelia.Read(i.read("authelia/configuration.yml"), i.read("authelia/users.yml"))
	if err != nil {
		t.Fatal(err)
	}
	written.Users = append(written.Users, users...)
	config := filepath.Join(caddyprocess.Folder(t), "Caddyfile")
	if err := os.WriteFile(config, fmt.Appendf(nil, "{\n\thttp_port %d\n\tlocal_certs\n\tskip_install_trust\n\tdefault_bind 127.0.0.1\n\tservers {\n\t\tprotocols h1 h2\n\t}\n}\nimport %s/Caddyfile\n", ports[2], i.folder), 0o600); err != nil {
		t.Fatal(err)
	}
	i.start(config, authelia.New(written), romm.New(romm.Read(i.read("romm.env"), i.read(".env"))))
	i.signedInAs("you", "admin")
	i.signedInAs("bob", "user")
}

// signedInAs fails unless user can sign in, and has role in RomM.
func (i *installation) signedInAs(user, role string) {
	i.t.Helper()
	b := i.visitor()
	b.open("/rom/7")
	b.signIn(user)
	b.in("/rom/7", user)
	if got := b.text("role"); got != role {
		i.t.Errorf("RomM's page shows %s the role %s, want %s", user, got, role)
	}
}
