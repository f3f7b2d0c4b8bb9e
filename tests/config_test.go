// The configuration: adapt goldens, the documentation's Caddyfiles, errors of wrong settings.

package tests

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddytest"
)

var update = flag.Bool("update", false, "rewrite the expected JSON of tests/adapt")

const dashes = "----------\n"

// Each tests/adapt/*.caddyfiletest holds a Caddyfile, a line of dashes, and
// the JSON that the Caddyfile adapts to. In error_* files, part of the error
// message takes the place of the JSON.
func TestAdapt(t *testing.T) {
	files, err := filepath.Glob("adapt/*.caddyfiletest")
	if err != nil || len(files) == 0 {
		t.Fatal("tests/adapt has no *.caddyfiletest:", err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".caddyfiletest")
		t.Run(name, func(t *testing.T) {
			content, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			input, want, ok := strings.Cut(string(content), dashes)
			if !ok {
				t.Fatal("the file lacks the line of dashes")
			}
			want = strings.TrimSpace(want)
			if strings.HasPrefix(name, "error_") {
				_, err := adapt(input)
				if err == nil || want == "" || !strings.Contains(err.Error(), want) {
					t.Errorf("got error %v, want one with %q", err, want)
				}
				return
			}
			if formatted := string(caddyfile.Format([]byte(input))); formatted != input {
				t.Errorf("the Caddyfile is not formatted, want\n%s", formatted)
			}
			if *update {
				got, err := adapt(input)
				if err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(file, []byte(input+dashes+string(got)+"\n"), 0o600); err != nil {
					t.Fatal(err)
				}
				return
			}
			if !caddytest.CompareAdapt(t, file, input, "caddyfile", want) {
				t.Error("the Caddyfile adapts to other JSON than the file has")
			}
		})
	}
}

func adapt(input string) ([]byte, error) {
	adapted, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(input), nil)
	if err != nil {
		return nil, err
	}
	var indented bytes.Buffer
	err = json.Indent(&indented, adapted, "", "\t")
	return indented.Bytes(), err
}

// validate provisions the configuration of a Caddyfile and discards it.
func validate(t *testing.T, input string) error {
	t.Helper()
	own, hasOwn := strings.CutPrefix(input, "{\n")
	input = "{\n\tstorage file_system " + t.TempDir() + "\n\tskip_install_trust\n"
	if hasOwn {
		input += own
	} else {
		input += "}\n" + own
	}
	adapted, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(input), nil)
	if err != nil {
		return err
	}
	var config caddy.Config
	if err := json.Unmarshal(adapted, &config); err != nil {
		return err
	}
	return caddy.Validate(&config)
}

// A wrong configuration is refused with an error that names the word and the
// fix.
func TestConfigErrors(t *testing.T) {
	good := map[string]string{
		"issuer": "https://auth.example.com", "client_id": "romm", "client_secret": "s",
		"redirect_uri": "https://romm.example.com/api/oauth/openid",
	}
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("s\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	marked := secret + "-marked"
	if err := os.WriteFile(marked, []byte("\uFEFFs\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		lines string // added to the required lines, or replacing one; "-word" removes one
		want  string
	}{
		"only the required lines":         {"", ""},
		"no issuer":                       {"-issuer", `issuer is missing: write "issuer https://auth.example.com", or set the environment variable OIDC_SERVER_APPLICATION_URL`},
		"no client_id":                    {"-client_id", "client_id is missing"},
		"no client_secret":                {"-client_secret", "client_secret is missing"},
		"no redirect_uri":                 {"-redirect_uri", "redirect_uri is missing"},
		"unset variable for a secret":     {"client_secret {env.ROMM_OIDC_TEST_UNSET}", "client_secret: "},
		"http issuer":                     {"issuer http://authelia:9091", "must be https"},
		"loopback issuer":                 {"issuer http://localhost:9091", ""},
		"our own endpoint":                {"issuer https://romm.example.com/api/oauth/openid", "this handler's own endpoint"},
		"our own endpoint, inside":        {"issuer http://caddy:9080/api/oauth/openid/", "this handler's own endpoint"},
		"issuer with a query":             {"issuer https://auth.example.com?x", "is not a URL like"},
		"issuer_address without a scheme": {"issuer_address authelia:9091", "is not like http://authelia:9091"},
		"other callback path":             {"redirect_uri https://romm.example.com/callback", `write "https://romm.example.com/api/oauth/openid"`},
		"callback in upper case":          {"redirect_uri https://ROMM.example.com/api/oauth/openid", `write "https://romm.example.com/api/oauth/openid"`},
		"relative callback":               {"redirect_uri /api/oauth/openid", "is not an absolute http or https URL"},
		"also without a scheme":           {"also romm.lan", `also: "romm.lan" is no origin: write it like http://192.168.1.5:9080`},
		"also with a path":                {"also https://romm.lan/", `also: write "https://romm.lan"`},
		"also with the default port":      {"also https://romm.lan:443", `also: write "https://romm.lan"`},
		"also in upper case":              {"also https://ROMM.lan", `also: write "https://romm.lan"`},
		"also the public origin":          {"also https://romm.example.com", "is the public origin already"},
		"also":                            {"also https://romm.lan http://10.0.0.5:9080", ""},
		"http origin":                     {"redirect_uri http://romm.host.local/api/oauth/openid", ""},
		"unknown client_auth":             {"client_auth jwt", "write one of basic, post, private_key_jwt"},
		"colon in client_id":              {"client_id a:b", "holds a colon"},
		"unknown algorithm":               {"romm_id_token_alg HS256", "neither ES256 nor RS256"},
		"unknown value of errors":         {"errors show", `write "errors pass"`},
		"scopes without openid":           {"scopes profile", "openid is missing"},
		"allow groups, no scope":          {"allow {\n groups a\n}", `allow names the group "a", but ` + "`scopes` lacks groups"},
		"roles groups, no scope":          {"roles {\n admin a\n}", `roles names the group "a", but ` + "`scopes` lacks groups"},
		"roles with the scope":            {"scopes openid groups\nroles {\n admin a\n}", ""},
		"role outside ASCII":              {"roles {\n admin j\u00f6rg@example.com\n user *\n}", "only ASCII is compared"},
		"roles by e-mail":                 {"roles {\n admin you@example.com\n user *\n}", ""},
		"clients on two lines":            {"clients password feeds\nclients covers", ""},
		"clients unknown":                 {"clients feeds everything", `clients: "everything" is not known: there are [password bearer feeds downloads covers]`},
		"lifetime shorter than idle":      {"session {\n idle 2h\n lifetime 1h\n}", "session: lifetime (1h) is shorter than idle (2h): make it at least as long"},
		"rotate too short":                {"rotate 1h", "rotate: 1h is too short: write 1d or more"},
		"idle too short":                  {"session {\n idle 1s\n}", "session: idle: 1s is too short: write 1m or more"},
		"lifetime alone":                  {"session {\n lifetime 1d\n}", "session: lifetime (1d) is shorter than idle (14d, the default): set idle too"},
		"idle alone":                      {"session {\n idle 60d\n}", "session: lifetime (30d, the default) is shorter than idle (60d): set lifetime too"},
		"unproven of 0s":                  {"session {\n unproven 0s\n}", "unproven cannot be switched off"},
		"recheck too short":               {"session {\n recheck 300ns\n}", "session: recheck: 300ns is too short"},

		"issuer is this site":          {"issuer https://romm.example.com/", "is this site itself"},
		"issuer below this site":       {"issuer https://romm.example.com/authelia", ""},
		"issuer is the metadata":       {"issuer https://auth.example.com/.well-known/openid-configuration", `write "https://auth.example.com"`},
		"issuer is other metadata":     {"issuer https://auth.example.com/.well-known/oauth-authorization-server", `write "https://auth.example.com"`},
		"issuer with a space":          {"issuer \"https://auth.example.com \"", "it begins or ends with a space"},
		"issuer with a default":        {"issuer {env.ROMM_OIDC_TEST_UNSET:https://auth.example.com}", "a default is written {$NAME:default}"},
		"zero-width space":             {"client_id romm\u200b", `client_id: "romm\u200b": it has an invisible character`},
		"line break of Windows":        {"username_claim \"name\r\"", "username_claim: \"name\\r\": it begins or ends with"},
		"byte order mark":              {"client_secret {file." + marked + "}", "client_secret: it has an invisible character"},
		"file of a secret":             {"client_secret file:/run/secrets/romm", "this is the name of a secret"},
		"variable without env":         {"client_secret {OIDC_CLIENT_SECRET}", "unrecognized placeholder {OIDC_CLIENT_SECRET}: write {env.NAME}"},
		"placeholder of a request":     {"redirect_uri https://{http.request.host}/api/oauth/openid", "such as {host}, are not known"},
		"group with a space":           {"scopes openid groups\nallow {\n groups \"admins \"\n}", `allow: groups: "admins ": it begins or ends with`},
		"equals sign":                  {"client_auth = basic", `client_auth: remove the "="`},
		"equals sign without spaces":   {"romm_client_secret=hunter2", `does not know "romm_client_secret="`},
		"colon":                        {"provider: X", `Did you mean "provider"?`},
		"letters missing":              {"issuer_addess http://authelia:9091", `Did you mean "issuer_address"?`},
		"another letter":               {"redirect_url x", `Did you mean "redirect_uri"?`},
		"letters swapped":              {"romm_client_secrte x", `Did you mean "romm_client_secret"?`},
		"short word":                   {"roels {\n user *\n}", `Did you mean "roles"?`},
		"directive of the site":        {"route {\n}", "is the } missing that closes romm_oidc?"},
		"duration in words":            {"session {\n idle 14 days\n}", `idle: "14 days" is not a duration like`},
		"duration in a placeholder":    {"session {\n idle {env.IDLE}\n}", "a duration takes no placeholder"},
		"clients in a block":           {"clients {\n feeds\n}", "clients takes one value or more, on the same line"},
		"issuer with a comma":          {"issuer https://auth.example.com,", "is not a URL like"},
		"issuer with a typing mistake": {"issuer htps://auth.example.com", `"htps://auth.example.com" must begin with https://`},
		"issuer without a scheme":      {"issuer auth.example.com", "is not a URL like"},
		"callback that is no URL":      {"redirect_uri https://romm.example.com:port/api/oauth/openid", `is no URL: write it like "https://romm.example.com/api/oauth/openid"`},
		"callback without a host":      {"redirect_uri https:/api/oauth/openid", `write it like "https://romm.example.com/api/oauth/openid"`},
		"callback in Unicode":          {"redirect_uri https://röm.example.com/api/oauth/openid", `browsers call the host "xn--rm-fka.example.com"`},
		"quoted client_id":             {"client_id `\"romm\"`", `client_id: "\"romm\"": it has quotes around it`},
		"quoted issuer":                {"issuer `'https://auth.example.com'`", "issuer: \"'https://auth.example.com'\": it has quotes"},
		"quoted callback":              {"redirect_uri `\"https://romm.example.com/api/oauth/openid\"`", "it has quotes"},
		"quoted secret":                {"client_secret `\"secret\"`", "client_secret: it has quotes around it"},
		"digest for a secret":          {"client_secret $pbkdf2-sha512$310000$abc$def", "client_secret: this is the digest for Authelia's client; Caddy needs the secret itself"},
		"another digest":               {"romm_client_secret $2b$12$abc", "romm_client_secret: this is the digest"},
		"name of a variable":           {"client_secret env.OIDC_CLIENT_SECRET", "client_secret: this is the name of a secret"},
		"shell variable":               {"client_secret $OIDC_CLIENT_SECRET", "write {env.OIDC_CLIENT_SECRET} or {file./path}"},
		"half a placeholder":           {"client_secret {env.OIDC_CLIENT_SECRET", "this is the name of a secret"},
		"path of a secret":             {"client_secret /run/secrets/romm", "this is the name of a secret"},
		"secret with punctuation":      {"client_secret $a/b%c;d,e'", ""},
		"secret that begins with $":    {"client_secret $abc", ""},
		"scopes in quotes":             {`scopes "openid profile"`, `scopes: "openid profile": it is more than one`},
		"scopes with commas":           {"scopes openid, profile", `scopes: "openid,": it is more than one`},
		"addresses with a comma":       {"allow {\n emails a@example.com,b@example.com\n}", "allow: emails: \"a@example.com,b@example.com\": it is more than one"},
		"address without @":            {"allow {\n emails alice\n}", `allow: emails: "alice": this is no e-mail address`},
		"wildcard address":             {"allow {\n emails *@example.com\n}", "allow { domains example.com }"},
		"address not in ASCII":         {"allow {\n emails a@röm.example.com\n}", "only ASCII is compared"},
		"domain with @":                {"allow {\n domains @example.com\n}", `allow: domains: "@example.com": write example.com, without @ and *; each subdomain is an entry of its own`},
		"domains with a comma":         {"allow {\n domains example.com,example.org\n}", `allow: domains: "example.com,example.org": it is more than one`},
		"domain not in ASCII":          {"allow {\n domains röm.example.com\n}", "write a domain in its xn-- form"},
		"domain that is a URL":         {"allow {\n domains https://example.com\n}", "write example.com, without @ and *"},
		"subdomains":                   {"allow {\n domains *.example.com\n}", "each subdomain is an entry of its own"},
		"domain with a dot":            {"allow {\n domains .example.com\n}", "each subdomain is an entry of its own"},
		"domains and an address":       {"allow {\n domains example.com xn--rm-fka.example.com\n emails you@example.org\n}", ""},
		"wildcard group":               {"scopes openid groups\nallow {\n groups *\n}", "to let in all users, leave `allow` out"},
		"group with spaces":            {"scopes openid groups\nallow {\n groups \"Domain Users\" cn=romm,dc=example\n}", ""},
		"empty group":                  {"scopes openid groups\nallow {\n groups \"\"\n}", "it is empty"},
		"role for a domain":            {"roles {\n user *@example.com\n}", `roles: user: "*@example.com": this is no e-mail address`},
		"role for a name":              {"roles {\n admin alice\n}", "a single user is named by e-mail address"},
		"clients twice":                {"clients feeds covers feeds", "clients: feeds is given twice"},
		"clients twice, apart":         {"clients feeds\nclients covers feeds", "clients: feeds is given twice"},

		"tls_ca names no file":         {"tls_ca /nonexistent.pem", "tls_ca: "},
		"tls_ca without a certificate": {"tls_ca config_test.go", "holds no certificate"},
		"secret from a file":           {"client_secret {file." + secret + "}", ""},
		"secret from no file":          {"client_secret {file./nonexistent}", "client_secret"},
	} {
		t.Run(name, func(t *testing.T) {
			lines := make([]string, 0, len(good)+1)
			for word, value := range good {
				if !strings.HasPrefix(c.lines, word+" ") && c.lines != "-"+word {
					lines = append(lines, word+" "+value)
				}
			}
			if !strings.HasPrefix(c.lines, "-") {
				lines = append(lines, c.lines)
			}
			err := validate(t, "romm.example.com {\nromm_oidc {\n"+strings.Join(lines, "\n")+"\n}\n}\n")
			switch {
			case c.want == "" && err != nil:
				t.Error(err)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
				t.Errorf("got %v, want an error with %q", err, c.want)
			}
		})
	}
}

// A configuration that fails half way through provisioning leaks nothing, and
// the error never contains a secret.
func TestFailedProvisionLeaksNothing(t *testing.T) {
	err := validate(t, "romm.example.com {\nromm_oidc {\nissuer http://x\nclient_id a\nclient_secret hunter2\nredirect_uri https://romm.example.com/api/oauth/openid\n}\n}\n")
	if err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("provisioning returned %v, want an error without the client secret", err)
	}
}
