// The examples of caddy-example and docs: Caddyfiles in Caddy, and parts of Authelia's
// configuration in the stand-in that refuses what the original refuses.

package tests

import (
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/romm-oidc/caddy-romm-oidc/tests/authelia"
)

const exampleDigest = "$pbkdf2-sha512$310000$MDEyMzQ1Njc4OWFiY2RlZg$xGZclRS/j8pvkqgB8/8T/c2SPDHBuF5JHdFm1NNZdwX6SBNsnLIgpK1DsMfxKyNXfPunO.UH6nS5BKrLFVG7Cg"

// exampleClient returns the client of a file of caddy-example, after changes.
func exampleClient(t *testing.T, file string, changes ...string) authelia.Client {
	t.Helper()
	text := strings.Replace(read(t, file), "$pbkdf2-sha512$310000$...", exampleDigest, 1)
	clients, err := authelia.ReadClients([]byte(strings.NewReplacer(changes...).Replace(text)))
	if err != nil || len(clients) != 1 {
		t.Fatalf("caddy-example/%s has the clients %+v, error %v, want one", file, clients, err)
	}
	return clients[0]
}

func TestExampleClients(t *testing.T) {
	plain, refreshing := exampleClient(t, "authelia-client.yml"), exampleClient(t, "authelia-client-refresh.yml")
	if !slices.Equal(plain.Scopes, []string{"openid", "profile", "email"}) || !slices.Equal(refreshing.Scopes, append(plain.Scopes, "offline_access")) {
		t.Errorf("the clients have the scopes %q and %q", plain.Scopes, refreshing.Scopes)
	}
	if !slices.Contains(refreshing.GrantTypes, "refresh_token") || !plain.RequirePKCE || !refreshing.RequirePKCE {
		t.Errorf("the clients are %+v and %+v, want PKCE, and refresh tokens for one", plain, refreshing)
	}
}

// The policy of docs/authelia-and-romm.md lets in its group and no other user.
func TestDocumentedPolicy(t *testing.T) {
	block := regexp.MustCompile("(?s)```yaml\nidentity_providers:\n  oidc:\n(.*?)```").FindStringSubmatch(readFile(t, "../docs/authelia-and-romm.md"))
	if block == nil {
		t.Fatal("docs/authelia-and-romm.md has no policy")
	}
	client := exampleClient(t, "authelia-client.yml", "  oidc:\n", "  oidc:\n"+block[1], "'two_factor'", "'romm'", "https://romm.example.com", public)
	client.SecretDigest, client.Secret = "", "insecure_secret"
	s := start(t, options{authelia: func(o *authelia.Options) { o.Clients = []authelia.Client{client} }, directive: rolesByMail})
	s.as("alice").wantUser("alice") // in romm-users
	s.problem(s.browser().signIn("/", "carol"), http.StatusForbidden, "sign_in_denied")
}

// Every Caddyfile of the example and the documentation is formatted, and its
// configuration is accepted.
func TestDocumentedCaddyfiles(t *testing.T) {
	for name, value := range map[string]string{
		"OIDC_SERVER_APPLICATION_URL": "https://auth.example.com", "OIDC_CLIENT_ID": "romm",
		"OIDC_CLIENT_SECRET": "secret", "OIDC_REDIRECT_URI": "https://romm.example.com/api/oauth/openid",
	} {
		t.Setenv(name, value)
	}
	examples := map[string][]string{}
	example, err := os.ReadFile("../caddy-example/Caddyfile")
	if err != nil {
		t.Fatal(err)
	}
	examples["caddy-example/Caddyfile"] = []string{string(example)}
	block := regexp.MustCompile("(?s)```caddyfile\n(.*?)```")
	count := 0
	for _, file := range append(manualPages(t), "../README.md", "../xcaddy.md", "../SECURITY.md") {
		for _, match := range block.FindAllStringSubmatch(readFile(t, file), -1) {
			count++
			examples[file] = append(examples[file], match[1])
		}
	}
	if count < 8 {
		t.Errorf("the manual has %d Caddyfiles, want 8 or more", count)
	}
	for file, inputs := range examples {
		for i, input := range inputs {
			if formatted := string(caddyfile.Format([]byte(input))); formatted != input {
				t.Errorf("%s, example %d is not formatted, want\n%s", file, i+1, formatted)
			}
			if err := validate(t, input); err != nil {
				t.Errorf("%s, example %d is refused: %v", file, i+1, err)
			}
		}
	}
}
