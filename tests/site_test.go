// What the gate sees of the site around it when Caddy loads the configuration.

package tests

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/romm-oidc/caddy-romm-oidc/tests/caddyprocess"
)

// block returns a romm_oidc block with further lines.
func block(lines string) string {
	return "romm_oidc {\nissuer https://auth.example.com\nclient_id romm\nclient_secret s\nredirect_uri https://romm.example.com" + base + "\n" + lines + "\n}\n"
}

// Blocks of one gate that do not agree would leave it to chance which of them
// is in force.
func TestBlocksOfOneGateAgree(t *testing.T) {
	for setting, c := range map[string]struct{ first, second, firstValue, secondValue string }{
		"session: idle":      {"session {\nidle 2d\n}", "session {\nidle 3d\n}", "2d", "3d"},
		"session: lifetime":  {"session {\nlifetime 40d\n}", "", "40d", "30d"},
		"session: recheck":   {"session {\nrecheck 1m\n}", "session {\nrecheck 2m\n}", "1m", "2m"},
		"session: unproven":  {"session {\nunproven 1h\n}", "", "1h", "1d"},
		"rotate":             {"rotate 5d", "rotate 7d", "5d", "7d"},
		"allow: emails":      {"allow {\nemails a@example.com\n}", "allow {\nemails b@example.com\n}", "a@example.com", "b@example.com"},
		"roles: user":        {"roles {\nuser *\n}", "", "*", "not set"},
		"scopes":             {"scopes openid profile", "", "openid profile", "email openid profile"},
		"issuer_address":     {"issuer_address http://authelia:9091", "", "http://authelia:9091", "not set"},
		"romm_client_secret": {"romm_client_secret one", "", "one secret", "one secret"},
	} {
		for name, sites := range map[string]string{
			"two sites":  "http://romm.example.com:9080 {\n%s\nreverse_proxy 127.0.0.1:1\n}\nhttp://caddy:9081 {\n%s\nreverse_proxy 127.0.0.1:1\n}\n",
			"two blocks": "http://romm.example.com:9080, http://caddy:9080 {\nhandle /a/* {\n%s\nreverse_proxy 127.0.0.1:1\n}\nhandle {\n%s\nreverse_proxy 127.0.0.1:1\n}\n}\n",
		} {
			for range 4 { // Caddy provisions its servers in any order
				err := validate(t, fmt.Sprintf(sites, block(c.first), block(c.second)))
				for _, want := range []string{setting + " is ", " " + c.firstValue + " in the block at ", " " + c.secondValue + " in the block at ", "romm.example.com", "caddy"} {
					if err == nil || !strings.Contains(err.Error(), want) {
						t.Fatalf("%s that differ in %s: got error %v, want one with %q", name, setting, err, want)
					}
				}
			}
		}
	}
	same := "http://romm.example.com:9080 {\n%s\nreverse_proxy 127.0.0.1:1\n}\nhttp://caddy:9081 {\n%s\nreverse_proxy 127.0.0.1:1\n}\n"
	if err := validate(t, fmt.Sprintf(same, block("clients covers\nerrors pass\nscopes openid profile email"), block("scopes openid email profile\nprovider X"))); err != nil {
		t.Errorf("blocks that agree on what is the gate's are refused: %v", err)
	}
}

// What cannot work around the gate is refused at load, with its site and the remedy.
func TestDirectivesAroundTheGate(t *testing.T) {
	const twice, stripped = "the second strips the stamp of the first: remove one", "handle_path or uri strips a part of the path"
	for name, c := range map[string]struct{ site, want string }{
		"two gates":                     {block("") + block("") + "reverse_proxy 127.0.0.1:1", twice},
		"two gates, one inside handle":  {block("") + "handle {\n" + block("") + "reverse_proxy 127.0.0.1:1\n}", twice},
		"two gates, one inside a route": {"route {\n" + block("") + "handle /x/* {\n" + block("") + "}\nreverse_proxy 127.0.0.1:1\n}", twice},
		"handle_path":                   {"handle_path /romm/* {\n" + block("") + "reverse_proxy 127.0.0.1:1\n}", stripped},
		"uri strip_prefix":              {"route {\nuri strip_prefix /romm\n" + block("") + "reverse_proxy 127.0.0.1:1\n}", stripped},
		"a gate in each handle":         {"handle /a/* {\n" + block("") + "reverse_proxy 127.0.0.1:1\n}\nhandle {\n" + block("") + "reverse_proxy 127.0.0.1:1\n}", ""},
		"handle_path beside the gate":   {"handle_path /other/* {\nrespond other\n}\nhandle {\n" + block("") + "reverse_proxy 127.0.0.1:1\n}", ""},
		"a stripped path of another":    {"uri /other/* strip_prefix /other\n" + block("") + "reverse_proxy 127.0.0.1:1", ""},
	} {
		for address, where := range map[string]string{"https://romm.example.com": "at romm.example.com", "https://romm.example.com, http://caddy:9080": "caddy", ":9080": ""} {
			err := validate(t, address+" {\n"+c.site+"\n}\n")
			switch {
			case c.want == "" && err != nil:
				t.Errorf("%s at %s is refused: %v", name, address, err)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), where)):
				t.Errorf("%s at %s: got error %v, want one with %q and %q", name, address, err, where, c.want)
			}
		}
	}
}

// What most likely does not work around the gate is a warning at load, with its
// site and the remedy.
func TestWarningsAboutTheSite(t *testing.T) {
	const noProxy, overTLS = "no reverse_proxy follows romm_oidc", "write http:// before it"
	file, err := caddyprocess.Binary()
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ site, want, unwanted string }{
		"as documented":        {"romm.example.com, http://caddy:9080 {\n" + block("") + "reverse_proxy romm:8080\n}", "Valid configuration", "\"warn\""},
		"a proxy in a handle":  {"romm.example.com, http://caddy:9080 {\n" + block("") + "handle {\nreverse_proxy romm:8080\n}\n}", "Valid configuration", "\"warn\""},
		"no reverse_proxy":     {"romm.example.com, http://caddy:9080 {\n" + block("") + "file_server\n}", noProxy, overTLS},
		"the proxy in another": {"romm.example.com {\nhandle /a {\n" + block("") + "respond a\n}\nhandle {\nreverse_proxy romm:8080\n}\n}", noProxy, overTLS},
		"inside without http":  {"romm.example.com, caddy:9080 {\n" + block("") + "reverse_proxy romm:8080\n}", overTLS, noProxy},
		"an address":           {"romm.example.com, 10.0.0.2:9080 {\n" + block("") + "reverse_proxy romm:8080\n}", overTLS, noProxy},
	} {
		config := t.TempDir() + "/Caddyfile"
		if err := os.WriteFile(config, []byte("{\n\tstorage file_system "+t.TempDir()+"\n\tskip_install_trust\n}\n"+c.site+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		command := exec.CommandContext(t.Context(), file, "validate", "--config", config, "--adapter", "caddyfile")
		command.Env = append(os.Environ(), "HOME="+t.TempDir())
		output, _ := command.CombinedOutput()
		if !strings.Contains(string(output), c.want) {
			t.Errorf("%s: the log lacks %q:\n%s", name, c.want, output)
		}
		for line := range strings.SplitSeq(string(output), "\n") {
			if strings.Contains(line, "romm_oidc") && strings.Contains(line, c.unwanted) {
				t.Errorf("%s: the log has %s", name, line)
			}
		}
	}
}
