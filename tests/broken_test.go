// Caddyfiles that a newcomer may write, and what each is told: by `caddy validate`,
// with the line if the mistake is in the file.

package tests

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/romm-oidc/caddy-romm-oidc/tests/caddyprocess"
)

const goodCaddyfile = `romm.example.com, http://caddy:9080 {
	romm_oidc {
		issuer https://auth.example.com
		client_id romm
		client_secret {env.OIDC_CLIENT_SECRET}
		redirect_uri https://romm.example.com/api/oauth/openid
		roles {
			admin you@example.com
			user *
		}
	}
	reverse_proxy romm:8080
}
`

// broken is a Caddyfile with a mistake.
type broken struct {
	name     string
	old, new string // what is replaced in goodCaddyfile
	want     string // of the error, or of a warning
	line     int    // that it names; 0: none, because the mistake is not in the file
}

const secretLine, redirectLine, gateLine, endLine = "client_secret {env.OIDC_CLIENT_SECRET}", "redirect_uri https://romm.example.com/api/oauth/openid", "\tromm_oidc {", "\treverse_proxy romm:8080\n"

func brokenCaddyfiles() []broken {
	issuerLine := "issuer https://auth.example.com"
	return []broken{
		{"issuer left out", issuerLine, "", `issuer is missing: write "issuer https://auth.example.com"`, 2},
		{"issuer http", issuerLine, "issuer http://auth.example.com", `must be https; to reach it inside a network without TLS, keep the public https URL and add "issuer_address`, 3},
		{"issuer with slash", issuerLine, issuerLine + "/", `the issuer ends with a slash, and Authelia's has none: write "issuer https://auth.example.com"`, 3},
		{"issuer = site", issuerLine, "issuer https://romm.example.com", "is this site itself", 3},
		{"issuer without scheme", issuerLine, "issuer auth.example.com", "is not a URL like https://auth.example.com", 3},
		{"issuer container", issuerLine, "issuer http://authelia:9091", `add "issuer_address http://authelia:9091"`, 3},
		{"redirect_uri with a slash", redirectLine, redirectLine + "/", `write "https://romm.example.com/api/oauth/openid"`, 6},
		{"redirect_uri with another path", redirectLine, "redirect_uri https://romm.example.com/oauth2/callback", `write "https://romm.example.com/api/oauth/openid"`, 6},
		{"redirect_uri host not the site's", redirectLine, "redirect_uri https://roms.example.com/api/oauth/openid", "no site with romm_oidc answers https://roms.example.com, only romm.example.com, http://caddy:9080", 6},
		{"env var not set", secretLine, "client_secret {env.ROMM_SECRET}", "client_secret: the environment variable ROMM_SECRET is not set, or empty, where Caddy runs", 5},
		{"env name wrong", secretLine, "client_secret {$ROMM_SECRET}", "the environment variable NAME is not set where Caddy runs", 5},
		{"secret is digest", secretLine, "client_secret $pbkdf2-sha512$310000$abc$def", "this is the digest for Authelia's client; Caddy needs the secret itself", 5},
		{"secret quoted by env file", secretLine, "client_secret {env.QUOTED}", "it has quotes around it, which an env file makes part of the value: leave them out", 5},
		{"secret file missing", secretLine, "client_secret {file./run/secrets/none}", "client_secret: the file /run/secrets/none cannot be read by Caddy", 5},
		{"unknown word scope", secretLine, secretLine + "\n\t\tscope openid", `romm_oidc does not know "scope": it takes [allow`, 6},
		{"commas in scopes", secretLine, secretLine + "\n\t\tscopes openid, profile, email", `scopes: "openid,": it is more than one: put spaces between them`, 6},
		{"groups without scope", "admin you@example.com", "admin romm-admins", "roles names the group \"romm-admins\", but `scopes` lacks groups", 7},
		{"matcher", gateLine, "\tromm_oidc /api/* {", "romm_oidc does not accept a matcher, because unmatched requests would bypass it", 2},
		{"brace missing", "\t}\n\treverse_proxy romm:8080\n}", "\treverse_proxy romm:8080\n}\n}", "is the } missing that closes romm_oidc?", 11},
		{"reverse_proxy missing", endLine, "", `no reverse_proxy follows romm_oidc, so that every sign-in fails: the gate signs users in to RomM through it. Add "reverse_proxy romm:8080"`, 2},
		{"reverse_proxy first in a route", goodCaddyfile, "romm.example.com, http://caddy:9080 {\n\troute {\n" + endLine + gateLine + "\n" + between(gateLine+"\n", endLine) + "\t}\n}\n", "no reverse_proxy follows romm_oidc: sign-ins will fail", 4},
		{"http:// left out", "http://caddy:9080", "caddy:9080", "write http:// before it: http://caddy:9080", 1},
		{"inner address left out", ", http://caddy:9080", "", "the site has no address without TLS at which RomM can reach it inside a container network: add one", 2},
		{"inner address left out beside a wildcard", goodCaddyfile, "*.example.com {\n\t@romm host romm.example.com\n\thandle @romm {\n" + gateLine + "\n" + between(gateLine+"\n", "}\n") + "\t}\n}\n", `add a block of its own for one, "http://caddy:9080 {"`, 4},
		{"http:// left out, other auto_https", goodCaddyfile, "{\n\tauto_https disable_redirects\n}\n" + strings.Replace(goodCaddyfile, "http://caddy", "caddy", 1), "write http:// before it: http://caddy:9080", 4},
		{"address with a slash", "romm.example.com, http", "https://romm.example.com/, http", "is for the path / only, and RomM's callback is at /api/oauth/openid: write the address without a path: https://romm.example.com,", 1},
		{"address with a path", "romm.example.com, http", "romm.example.com/romm*, http", "is for the path /romm* only, and RomM's callback is at /api/oauth/openid: write the address without a path: romm.example.com,", 1},
		{"inner address with a path", "http://caddy:9080", "http://caddy:9080/api/oauth/openid", "write the address without a path: http://caddy:9080,", 1},
		{"twice in one site", endLine, "\tromm_oidc\n" + endLine, "two romm_oidc directives handle the same requests, and the second strips the stamp of the first: remove one", 12},
		{"session lifetime only", secretLine, secretLine + "\n\t\tsession {\n\t\t\tlifetime 1h\n\t\t}", "session: lifetime (1h) is shorter than idle (14d, the default): set idle too", 6},
		{"session idle without a unit", secretLine, secretLine + "\n\t\tsession {\n\t\t\tidle 14\n\t\t}", `idle: "14" is not a duration like 90s, 5m, 12h or 14d`, 7},
		{"allow e-mail without @", secretLine, secretLine + "\n\t\tallow {\n\t\t\temails piet\n\t\t}", `"piet": this is no e-mail address like you@example.com`, 7},
		{"allow @domain", secretLine, secretLine + "\n\t\tallow {\n\t\t\tdomains @example.com\n\t\t}", "write example.com, without @ and *", 7},
		{"roles in one line", "roles {\n\t\t\tadmin you@example.com\n\t\t\tuser *\n\t\t}", "roles admin you@example.com", `roles takes a block: write "roles {" and one word a line`, 7},
		{"forward_auth behind", endLine, "\tforward_auth authelia:9091 {\n\t\turi /api/authz/forward-auth\n\t}\n" + endLine, "forward_auth refuses the gate's own requests to RomM, so that every sign-in fails: remove it", 12},
		{"strip_prefix before", gateLine, "\turi strip_prefix /romm\n" + gateLine, "uri strips a part of the path before romm_oidc sees it", 2},
		{"rewrite before", gateLine, "\trewrite /romm{uri}\n" + gateLine, "rewrite changes the path before romm_oidc sees it, so that the callback never arrives", 2},
		{"handle_path", gateLine, "\thandle_path /romm/* {\n" + gateLine, "use handle, which leaves the path as it is", 2},
		{"clients typo", secretLine, secretLine + "\n\t\tclients feed", `clients: "feed" is not known: there are [password bearer feeds downloads covers]`, 6},
		{"two gates, other issuer", goodCaddyfile, goodCaddyfile + strings.NewReplacer("romm.example.com, http://caddy:9080", "http://caddy:9081", issuerLine, "issuer https://login.example.com").Replace(goodCaddyfile), "issuer is https://auth.example.com at ", 16},
		{"directive romm-oidc", gateLine, "\tromm-oidc {", "the directive is called romm_oidc", 2},
		{"tls_ca missing file", secretLine, secretLine + "\n\t\ttls_ca /etc/ssl/none.pem", "tls_ca: the file with the certificate authorities cannot be read", 6},
		{"tls_ca without PEM", secretLine, secretLine + "\n\t\ttls_ca /etc/hosts", "tls_ca: /etc/hosts holds no certificate in PEM form: it must begin with -----BEGIN CERTIFICATE-----", 6},
		{"recheck 0", secretLine, secretLine + "\n\t\tsession {\n\t\t\trecheck 0\n\t\t}", "recheck cannot be switched off: write a duration like 12h or 14d, or leave it out", 7},
		{"OIDC_SERVER_APPLICATION_URL is Caddy", issuerLine, "issuer http://caddy:9080/api/oauth/openid", "is this handler's own endpoint. OIDC_SERVER_APPLICATION_URL is the provider", 3},
		{"client_auth of another kind", secretLine, secretLine + "\n\t\tclient_auth tls_client_auth", `"tls_client_auth" is not known: write one of basic, post, private_key_jwt`, 6},
		{"key and secret", secretLine, "client_auth private_key_jwt\n\t\t" + secretLine, "client_secret: with `client_auth private_key_jwt` the client has a key in place of a secret: remove it", 6},
		{"form_post over http", goodCaddyfile, strings.NewReplacer("romm.example.com, http", "http://romm.example.com, http", redirectLine, "redirect_uri http://romm.example.com/api/oauth/openid\n\t\tresponse_mode form_post").Replace(goodCaddyfile), "response_mode: form_post needs a redirect_uri with https", 7},
		{"response_mode fragment", secretLine, secretLine + "\n\t\tresponse_mode fragment", "response_mode: \"fragment\" is neither query nor form_post", 6},
		{"key without client_auth", secretLine, secretLine + "\n\t\tclient_key /etc/romm.pem", "client_key: \"/etc/romm.pem\" is used with `client_auth private_key_jwt` only", 6},
		{"client_key missing file", secretLine, "client_auth private_key_jwt\n\t\tclient_key /etc/ssl/none.pem", "client_key: the file with the private key cannot be read", 6},
		{"client_key without PEM", secretLine, "client_auth private_key_jwt\n\t\tclient_key /etc/hosts", "client_key: /etc/hosts: it holds nothing in PEM form: it must begin with -----BEGIN PRIVATE KEY-----", 6},
		{"issuer with well-known", issuerLine, issuerLine + "/.well-known/openid-configuration", `issuer: write "https://auth.example.com": the rest is added automatically`, 3},
		{"upper case host in redirect_uri", redirectLine, "redirect_uri https://Romm.example.com/api/oauth/openid", `write "https://romm.example.com/api/oauth/openid"`, 6},
		{"empty secret", secretLine, "client_secret {env.EMPTY}", "client_secret: the environment variable EMPTY is not set, or empty", 5},
		{"roles viewer", "user *", "viewer *", `roles does not know "viewer": it takes [admin user]`, 9},
		{"allow *", secretLine, secretLine + "\n\t\tallow *", `allow takes a block: write "allow {" and one word a line`, 6},
		{"literal secret", secretLine, "client_secret 0123456789abcdef", "client_secret is written as it is, so that `caddy adapt`, the admin API and the autosaved configuration show it: write {env.OIDC_CLIENT_SECRET}", 5},
		{"a literal issuer and an unknown secret", issuerLine, "issuer http://auth.example.com", "must be https", 3},
	}
}

// adaptFile runs `caddy validate` for a Caddyfile, and returns what it printed.
func adaptFile(t *testing.T, config string) (string, error) {
	t.Helper()
	binary, err := caddyprocess.Binary()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "Caddyfile")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	home := t.TempDir()
	command := exec.CommandContext(t.Context(), binary, "validate", "--config", file, "--adapter", "caddyfile")
	command.Env = append(os.Environ(), "HOME="+home, "XDG_DATA_HOME="+home, "XDG_CONFIG_HOME="+home,
		"OIDC_CLIENT_SECRET=0123456789abcdef", `QUOTED="0123456789abcdef"`, "EMPTY=")
	output, err := command.CombinedOutput()
	return strings.NewReplacer(file, "Caddyfile", `\"`, `"`).Replace(string(output)), err
}

func TestBrokenCaddyfiles(t *testing.T) {
	if output, err := adaptFile(t, goodCaddyfile); err != nil || strings.Contains(output, `"warn"`) {
		t.Fatalf("the good Caddyfile: error %v: %s", err, output)
	}
	warnings := []string{"issuer with slash", "inner address left out", "inner address left out beside a wildcard", "reverse_proxy first in a route", "literal secret"}
	for _, c := range brokenCaddyfiles() {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			config := strings.Replace(goodCaddyfile, c.old, c.new, 1)
			if c.name == "handle_path" {
				config = strings.Replace(config, endLine, endLine+"\t}\n", 1)
			}
			output, err := adaptFile(t, config)
			if isWarning := strings.Contains(strings.Join(warnings, "\n"), c.name); (err == nil) != isWarning {
				t.Errorf("got error %v, want one: %v", err, !isWarning)
			}
			told, ok := "", false
			for line := range strings.SplitSeq(output, "\n") {
				if strings.Contains(line, c.want) {
					told, ok = line, true
				}
			}
			if !ok {
				t.Fatalf("validate printed:\n%s\nwant a line with %q", output, c.want)
			}
			if place := regexp.MustCompile(fmt.Sprintf(`Caddyfile:%d\b`, c.line)); c.line > 0 && !place.MatchString(told) {
				t.Errorf("the line is not %d:\n%s", c.line, told)
			}
			if strings.Contains(output, "0123456789abcdef") {
				t.Errorf("validate printed the secret:\n%s", output)
			}
			if strings.Count(output, c.want) > 1 {
				t.Errorf("validate said the same twice:\n%s", output)
			}
			t.Logf("%s: %s", c.name, told)
		})
	}
}
