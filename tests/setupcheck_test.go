// `caddy romm-oidc setup --check`: the doctor looks at what setup has just written.

package tests

import (
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/romm-oidc/caddy-romm-oidc/tests/authelia"
	"github.com/romm-oidc/caddy-romm-oidc/tests/romm"
)

// Authelia has a client of that name with another secret, since it does not have the
// client that setup wrote. RomM is in good health, or away.
func TestSetupCheck(t *testing.T) {
	portal := httptest.NewUnstartedServer(nil)
	issuer := "http://localhost:" + port(portal.Listener.Addr().String())
	portal.Config.Handler = authelia.New(authelia.Options{Issuer: issuer, Clients: []authelia.Client{{
		ID: "romm", Secret: "another", RedirectURIs: []string{"http://localhost:9078" + base}, Scopes: []string{"openid", "profile", "email"},
	}}})
	portal.Start()
	defer portal.Close()
	r := romm.New(romm.Options{OIDC: romm.OIDC{Enabled: true}})
	site := strings.TrimPrefix(serve(t, r), "http://")
	t.Setenv("CADDY_ADMIN", "localhost:1") // no Caddy runs yet
	for name, c := range map[string]struct {
		address    string
		want, lack string
	}{
		"RomM runs":    {site, "looked at  RomM 5.2.0 at " + site, "romm_unreachable"},
		"RomM is away": {"127.0.0.1:1", "PROBLEM  romm_unreachable", "looked at  RomM"},
	} {
		folder := filepath.Join(t.TempDir(), "romm")
		output, err := runCommand(t, "setup", folder, "--check", "--no-containers", "--authelia-exists", "--policy", "one_factor",
			"--site", "http://localhost:9078", "--authelia", issuer, "--admin", "alice@example.com", "--romm-address", c.address)
		for _, want := range []string{"wrote " + filepath.Join(folder, "Caddyfile"), "PROBLEM  authelia_client_secret", filepath.Join(folder, "Caddyfile") + ":6: client_secret …", c.want} {
			if err == nil || !strings.Contains(output, want) {
				t.Errorf("%s: setup --check printed\n%s\nerror %v, want %q and an error", name, output, err, want)
			}
		}
		if strings.Contains(output, c.lack) || strings.Contains(output, "config_secret_unset") || readFile(t, folder, ".env") == "" {
			t.Errorf("%s: setup --check printed\n%s\nwant no %q", name, output, c.lack)
		}
	}
}
