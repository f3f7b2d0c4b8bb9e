// The example configuration in caddy-example.

package tests

import (
	"context"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/caddytest"

	"github.com/romm-oidc/caddy-romm-oidc/tests/authelia"
	"github.com/romm-oidc/caddy-romm-oidc/tests/romm"
)

// The files of caddy-example work together: the Caddyfile in Caddy, the
// variables in RomM, the client in Authelia. The test replaces only the
// addresses.
func TestExample(t *testing.T) {
	const site, portal, secret = "https://romm.example.com", "https://auth.example.com", "insecuresecret"
	t.Setenv("OIDC_CLIENT_SECRET", secret)
	variables := map[string]string{}
	for line := range strings.Lines(read(t, "romm.env")) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok && !strings.HasPrefix(line, "#") {
			variables[name] = value
		}
	}
	both := []string{
		"client_id: '" + variables["OIDC_CLIENT_ID"] + "'", "- '" + variables["OIDC_REDIRECT_URI"] + "'",
		"token_endpoint_auth_method: 'client_secret_basic'", "pkce_challenge_method: 'S256'",
	}
	for file, more := range map[string][]string{
		"authelia-client.yml":         {"consent_mode: 'pre-configured'"},
		"authelia-client-refresh.yml": {"- 'offline_access'", "- 'refresh_token'", "lifespan: 'romm'", "refresh_token: '30d'"},
	} {
		for _, want := range append(more, both...) {
			if !strings.Contains(read(t, file), want) {
				t.Errorf("%s lacks %s", file, want)
			}
		}
	}
	if clients, err := authelia.ReadClients([]byte(read(t, "authelia-client-key.yml"))); err != nil || clients[0].ID != variables["OIDC_CLIENT_ID"] ||
		clients[0].JWKSURI != variables["OIDC_REDIRECT_URI"]+"/client-jwks" || !slices.Contains(clients[0].RedirectURIs, variables["OIDC_REDIRECT_URI"]) {
		t.Errorf("authelia-client-key.yml is the clients %+v, error %v, want one that reads the keys of the site", clients, err)
	}
	// The names of the example's container network resolve to this machine.
	dial := func(addresses map[string]string) *http.Transport {
		transport := caddytest.CreateTestingTransport()
		transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, addresses[address])
		}
		return transport
	}
	s := &stack{t: t, origin: site}
	s.authelia = authelia.New(authelia.Options{Issuer: portal, CookieDomain: "example.com", Clients: []authelia.Client{{
		ID: "romm", Secret: secret, RedirectURIs: []string{variables["OIDC_REDIRECT_URI"]}, RequirePKCE: true,
		Scopes: []string{"openid", "profile", "email"},
	}}, Users: []authelia.User{{Name: "you", Password: "you-password", Email: "you@example.com"}}})
	s.romm = romm.New(romm.Options{SecureCookies: true, DisableUserpassLogin: true, OIDC: romm.OIDC{
		Enabled: variables["OIDC_ENABLED"] == "true", Autologin: variables["OIDC_AUTOLOGIN"] == "true",
		Provider: variables["OIDC_PROVIDER"], ClientID: variables["OIDC_CLIENT_ID"], ClientSecret: secret,
		RedirectURI: variables["OIDC_REDIRECT_URI"], ServerURL: variables["OIDC_SERVER_APPLICATION_URL"],
		ClaimRoles: variables["OIDC_CLAIM_ROLES"], RoleAdmin: variables["OIDC_ROLE_ADMIN"], RoleViewer: variables["OIDC_ROLE_VIEWER"],
		HTTPClient: &http.Client{Transport: dial(map[string]string{"caddy:9080": "127.0.0.1:9080"})},
	}})
	portalURL := serve(t, s.authelia)
	config := strings.NewReplacer(
		"romm:8080", strings.TrimPrefix(serve(t, s.romm), "http://"), "authelia:9091", strings.TrimPrefix(portalURL, "http://"),
		"issuer https://auth.example.com\n", "issuer https://auth.example.com\n\t\tissuer_address "+portalURL+"\n",
	).Replace(read(t, "Caddyfile"))
	s.tester = caddytest.NewTester(t)
	s.unload()
	s.tester.InitServer(`{
	admin localhost:2999
	http_port 9079
	https_port 9443
	grace_period 1ns
	skip_install_trust
	local_certs
	persist_config off
	storage file_system `+t.TempDir()+`
}
`+config, "caddyfile")
	b := s.browser()
	b.client.Transport = dial(map[string]string{"romm.example.com:443": "127.0.0.1:9443", "auth.example.com:443": "127.0.0.1:9443"})
	eventually(t, func() bool { // until Caddy has made its certificates
		answer, err := b.client.Get(site + "/api/heartbeat")
		if err != nil {
			return false
		}
		_ = answer.Body.Close()
		return answer.StatusCode == http.StatusOK
	})
	if answer := b.signIn("/rom/7", "you"); answer.Header.Get("Location") != "/rom/7" {
		t.Fatalf("the callback answered %d, want a redirect to /rom/7: %s", answer.StatusCode, answer.body)
	}
	if me := b.fetch("/api/users/me"); !strings.Contains(me.body, `"username":"you"`) || !strings.Contains(me.body, `"role":"admin"`) {
		t.Errorf("/api/users/me answered %d, want 200 with the user you as an administrator: %s", me.StatusCode, me.body)
	}
}

func read(t *testing.T, name string) string {
	t.Helper()
	content, err := os.ReadFile("../caddy-example/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}
