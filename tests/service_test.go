// The systemd unit of caddy-example.

package tests

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/tests/caddyprocess"
)

// unit returns the values of a systemd unit.
func unit(t *testing.T, file string) map[string]string {
	t.Helper()
	values := map[string]string{}
	for line := range strings.Lines(read(t, file)) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok && !strings.HasPrefix(line, "#") {
			values[name] = value
		}
	}
	return values
}

// The unit starts Caddy with its environment file. Caddy tells systemd when it is
// ready, prints no secret into the journal, and a reload reads secrets again.
func TestServiceUnit(t *testing.T) {
	values := unit(t, "caddy.service")
	const command = "/usr/local/bin/caddy run --config /etc/caddy/Caddyfile"
	flags, ok := strings.CutPrefix(values["ExecStart"], command)
	if !ok || values["Type"] != "notify" || values["EnvironmentFile"] != "/etc/caddy/.env" || !strings.HasSuffix(values["ExecReload"], " --force") {
		t.Fatalf("the unit has the values %v, want %q, Type=notify, the environment file, a reload with --force", values, command)
	}
	socket := filepath.Join(caddyprocess.Folder(t), "notify")
	systemd, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer systemd.Close()
	t.Setenv("NOTIFY_SOCKET", socket)
	t.Setenv("OIDC_CLIENT_SECRET", "insecure_secret")
	p := launch(t, users)
	config := strings.Replace(readFile(t, p.Config), "client_secret insecure_secret", "client_secret {env.OIDC_CLIENT_SECRET}", 1)
	if err := os.WriteFile(p.Config, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	p.Flags = strings.Fields(flags)
	p.Run()
	said, message := "", make([]byte, 1024)
	if err := systemd.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	for !strings.Contains(said, "READY=1") {
		n, err := systemd.Read(message)
		if err != nil {
			t.Fatalf("Caddy told systemd %q, want READY=1: %v", said, err)
		}
		said += string(message[:n])
	}
	p.as("bob").wantUser("bob")
	if lines := p.Logged("insecure_secret"); len(lines) > 0 {
		t.Errorf("the journal has the secret: %q", lines)
	}
}
