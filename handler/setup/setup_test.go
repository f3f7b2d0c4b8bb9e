// Which files a plan becomes, and which plans are refused.

package setup

import (
	"io/fs"
	"slices"
	"strings"
	"testing"
)

// contents returns the files of plan by their names.
func contents(t *testing.T, plan Plan) map[string]File {
	t.Helper()
	made, err := Make(plan)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]File{}
	for _, file := range made.Files {
		files[file.Name] = file
	}
	return files
}

// Which files are written follows from what exists already.
func TestFiles(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		plan Plan
		want string
	}{
		"all new":            {Plan{}, ".env Caddyfile authelia/configuration.yml authelia/users.yml compose.yml romm.env"},
		"Authelia exists":    {Plan{AutheliaExists: true}, ".env Caddyfile authelia-client.yml compose.yml romm.env"},
		"RomM exists":        {Plan{RommExists: true}, ".env Caddyfile authelia/configuration.yml authelia/users.yml compose.yml romm.env"},
		"without containers": {Plan{OnHost: true, AutheliaExists: true}, ".env Caddyfile authelia-client.yml romm.env"},
	} {
		c.plan.Site, c.plan.Authelia, c.plan.Admin = "romm.example.com", "auth.example.com/", "you@example.com"
		files := contents(t, c.plan)
		names := make([]string, 0, len(files))
		for name, file := range files {
			names = append(names, name)
			want := fs.FileMode(0o644)
			if strings.Contains(name, "authelia/") || name == ".env" || name == "romm.env" && strings.Contains(file.Content, "CLIENT_SECRET=") {
				want = 0o600
			}
			if file.Mode != want {
				t.Errorf("%s has the mode %o, want %o", name, file.Mode, want)
			}
			if strings.Contains(file.Content, "<no value>") || strings.Contains(file.Content, "\n\n\n") || !strings.HasSuffix(file.Content, "\n") {
				t.Errorf("%s: %s is not well formed:\n%s", name, file.Name, file.Content)
			}
		}
		slices.Sort(names)
		if got := strings.Join(names, " "); got != c.want {
			t.Errorf("%s: got the files %s, want %s", name, got, c.want)
		}
		// The secret is in no file that others may read.
		_, secret, _ := strings.Cut(files[".env"].Content, "OIDC_CLIENT_SECRET=")
		secret, _, _ = strings.Cut(secret, "\n")
		for _, file := range files {
			if len(secret) < 32 || strings.Contains(file.Content, secret) && file.Mode != 0o600 {
				t.Errorf("%s has the client secret %q, and every user may read it", file.Name, secret)
			}
		}
	}
}

// With a key, there is no secret at Authelia, and it finds the key at the site.
func TestPrivateKey(t *testing.T) {
	t.Parallel()
	plan := Plan{Site: "https://romm.example.com:8443", Authelia: "https://auth.example.com", Admin: "you@example.com", PrivateKey: true}
	files := contents(t, plan)
	for name, wants := range map[string][]string{
		"Caddyfile":                  {"\t\tclient_auth private_key_jwt\n", "\t\tromm_client_secret {env.OIDC_CLIENT_SECRET}\n\t\tredirect_uri"},
		"authelia/configuration.yml": {"jwks_uri: 'https://romm.example.com:8443/api/oauth/openid/client-jwks'", "token_endpoint_auth_method: 'private_key_jwt'", "introspection_endpoint_auth_signing_alg: 'RS256'"},
		"compose.yml":                {"        aliases:\n          - romm.example.com\n"},
	} {
		for _, want := range wants {
			if !strings.Contains(files[name].Content, want) {
				t.Errorf("%s lacks %q:\n%s", name, want, files[name].Content)
			}
		}
		for _, not := range []string{"\t\tclient_secret", "        client_secret:", "client_secret_basic"} {
			if strings.Contains(files[name].Content, not) {
				t.Errorf("%s has %q:\n%s", name, not, files[name].Content)
			}
		}
	}
	plan.Site = "http://romm.lan"
	if _, err := Make(plan); err == nil || !strings.Contains(err.Error(), "--private-key-jwt") {
		t.Errorf("a site without TLS: %v, want an error", err)
	}
}

// The pieces name each other as they have to.
func TestPiecesFit(t *testing.T) {
	t.Parallel()
	files := contents(t, Plan{Site: "https://romm.example.com", Authelia: "https://auth.example.com", Admin: "you@example.com", Group: "rom players"})
	for name, wants := range map[string][]string{
		"Caddyfile": {
			"romm.example.com, http://caddy:9080 {", "issuer https://auth.example.com\n", "issuer_address http://authelia:9091\n", "client_secret {env.OIDC_CLIENT_SECRET}",
			"redirect_uri https://romm.example.com/api/oauth/openid", "scopes openid profile email groups\n", "groups \"rom players\"", "admin you@example.com", "reverse_proxy romm:8080", "reverse_proxy authelia:9091",
		},
		"romm.env":                   {"OIDC_SERVER_APPLICATION_URL=http://caddy:9080/api/oauth/openid\n", "OIDC_REDIRECT_URI=https://romm.example.com/api/oauth/openid\n", "ROMM_SESSION_SECURE_COOKIE=true\n"},
		"authelia/configuration.yml": {"- domain: 'example.com'", "authelia_url: 'https://auth.example.com'", "- 'https://romm.example.com/api/oauth/openid'", "client_secret: '$pbkdf2-sha512$310000$", "- 'groups'", "          -----BEGIN PRIVATE KEY-----\n", "authorization_policy: 'one_factor'", "consent_mode: 'pre-configured'", "require_pkce: true"},
		"authelia/users.yml":         {"'you':", "password: '$argon2id$v=19$m=65536,t=3,p=4$", "email: 'you@example.com'", "- 'rom players'"},
		"compose.yml":                {"- \"443:443\"\n", "./authelia:/config", "env_file: romm.env"},
	} {
		for _, want := range wants {
			if !strings.Contains(files[name].Content, want) {
				t.Errorf("%s lacks %q:\n%s", name, want, files[name].Content)
			}
		}
	}
}

// What cannot work is refused before a file is written, with what to write instead.
func TestRefusedPlans(t *testing.T) {
	t.Parallel()
	for want, change := range map[string]func(*Plan){
		"the public address of RomM is missing":           func(p *Plan) { p.Site = "" },
		"the public address of Authelia is missing":       func(p *Plan) { p.Authelia = "" },
		"the administrator's e-mail address":              func(p *Plan) { p.Admin = "" },
		`"you" is no e-mail address`:                      func(p *Plan) { p.Admin = "you" },
		"without a path":                                  func(p *Plan) { p.Site = "https://example.com/romm" },
		"must be https":                                   func(p *Plan) { p.Authelia = "http://auth.example.com" },
		"is RomM's name":                                  func(p *Plan) { p.Authelia = "https://romm.example.com:9443" },
		"has no dot":                                      func(p *Plan) { p.Authelia = "https://authelia" },
		"gets a name of its own":                          func(p *Plan) { p.Authelia = "https://auth.example.com/authelia" },
		"neither one_factor nor two_factor":               func(p *Plan) { p.Policy = "deny" },
		"where RomM reaches Caddy without TLS":            func(p *Plan) { p.CaddyAddress = "caddy:9080" },
		"is not like romm:8080":                           func(p *Plan) { p.RommAddress = "romm" },
		"has a character that the files cannot carry":     func(p *Plan) { p.Group = "{env.HOME}" },
		"is no login":                                     func(p *Plan) { p.AdminName = "x y" },
		"is no name of an image":                          func(p *Plan) { p.Image = "a: b" },
		"is no name of a container network":               func(p *Plan) { p.Network = "a: b" },
		"is this site itself":                             func(p *Plan) { p.AutheliaExists, p.Authelia = true, "https://romm.example.com" },
		"needs a port that the site does not use":         func(p *Plan) { p.OnHost, p.AutheliaExists, p.Site = true, true, "https://romm.example.com:9080" },
		`"https://romm.example.com?x" is no address like`: func(p *Plan) { p.Site = "romm.example.com?x" },
	} {
		plan := Plan{Site: "https://romm.example.com", Authelia: "https://auth.example.com", Admin: "you@example.com"}
		change(&plan)
		if _, err := Make(plan); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got error %v, want one with %q", err, want)
		}
	}
}

// Authelia sends browsers back from its logout page only within its cookie's
// domain, and browsers refuse cookies for domains such as co.uk.
func TestCookieDomain(t *testing.T) {
	t.Parallel()
	for addresses, want := range map[[2]string]string{
		{"https://auth.example.com", "https://romm.example.com"}:             "example.com",
		{"https://auth.example.com:9443", "https://romm.example.com:9443"}:   "example.com",
		{"https://auth.home.example.com", "https://romm.home.example.com"}:   "home.example.com",
		{"https://example.com", "https://romm.example.com"}:                  "example.com",
		{"https://auth.romm.example.com", "https://romm.example.com"}:        "romm.example.com",
		{"https://auth.example.co.uk", "https://romm.other.co.uk"}:           "auth.example.co.uk",
		{"https://alice.duckdns.org", "https://bob.duckdns.org"}:             "alice.duckdns.org",
		{"https://auth.alice.duckdns.org", "https://romm.alice.duckdns.org"}: "alice.duckdns.org",
		{"https://auth.example.org", "https://romm.example.com"}:             "auth.example.org",
	} {
		if got := cookieDomain(addresses[0], addresses[1]); got != want {
			t.Errorf("Authelia at %s and RomM at %s: got the cookie domain %s, want %s", addresses[0], addresses[1], got, want)
		}
	}
}

// A terminal is asked for what no flag says.
func TestAsk(t *testing.T) {
	t.Parallel()
	plan := Plan{Site: "https://romm.example.com"}
	var asked strings.Builder
	answers := strings.NewReader("yes\nauth.example.com\n\nyou@example.com\nromm-users")
	if err := plan.Ask(answers, &asked, func(flag string) bool { return flag == "site" }); err != nil {
		t.Fatal(err)
	}
	want := Plan{Site: "https://romm.example.com", RommExists: true, Authelia: "auth.example.com", Admin: "you@example.com", Group: "romm-users"}
	if plan != want || strings.Contains(asked.String(), "RomM's public address") {
		t.Errorf("got %+v, want %+v; the questions were %s", plan, want, asked.String())
	}
	if err := new(Plan).Ask(strings.NewReader("romm.example.com\n"), &asked, func(string) bool { return false }); err == nil {
		t.Error("answers that end early are accepted, want an error")
	}
}

// With an image, compose builds none.
func TestImage(t *testing.T) {
	t.Parallel()
	plan := Plan{Site: "romm.example.com", Authelia: "auth.example.com", Admin: "you@example.com", Image: "caddy-romm-oidc"}
	if compose := contents(t, plan)["compose.yml"].Content; !strings.Contains(compose, "  caddy:\n    image: caddy-romm-oidc\n    restart:") || strings.Contains(compose, "build:") {
		t.Errorf("compose.yml builds an image:\n%s", compose)
	}
	plan.Image = ""
	if compose := contents(t, plan)["compose.yml"].Content; !strings.Contains(compose, "  caddy:\n    build:\n") {
		t.Errorf("compose.yml builds no image:\n%s", compose)
	}
}
