package tests

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddytest"

	_ "github.com/romm-oidc/caddy-romm-oidc"
)

var update = flag.Bool("update", false, "rewrite the expected JSON of tests/adapt")

const dashes = "----------\n"

// Each tests/adapt/*.caddyfiletest is a Caddyfile, a line of dashes, and the
// JSON that it adapts to; error_* a part of the error instead.
func TestAdapt(t *testing.T) {
	files, err := filepath.Glob("adapt/*.caddyfiletest")
	if err != nil || len(files) == 0 {
		t.Fatal("no adapt tests", err)
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
				t.Fatal("no line of dashes")
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
				t.Errorf("not formatted; it would be\n%s", formatted)
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
				t.Error("adapts to something else")
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

// validate provisions the configuration of a Caddyfile and throws it away.
func validate(t *testing.T, input string) error {
	t.Helper()
	input = "{\n\tstorage file_system " + t.TempDir() + "\n\tskip_install_trust\n}\n" + input
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

// Every Caddyfile of the example and the docs is formatted, and its configuration is accepted.
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
	for _, file := range []string{"README.md", "xcaddy.md", "SECURITY.md"} {
		content, err := os.ReadFile("../" + file)
		if err != nil {
			t.Fatal(err)
		}
		for _, match := range block.FindAllStringSubmatch(string(content), -1) {
			examples[file] = append(examples[file], match[1])
		}
	}
	if len(examples["README.md"]) < 4 {
		t.Errorf("found only %d Caddyfiles in the README", len(examples["README.md"]))
	}
	for file, inputs := range examples {
		for i, input := range inputs {
			if formatted := string(caddyfile.Format([]byte(input))); formatted != input {
				t.Errorf("%s, number %d is not formatted; it would be\n%s", file, i+1, formatted)
			}
			if err := validate(t, input); err != nil {
				t.Errorf("%s, number %d: %v", file, i+1, err)
			}
		}
	}
}

// A wrong configuration is refused with the word that is wrong and what to write instead.
func TestConfigErrors(t *testing.T) {
	good := map[string]string{
		"issuer": "https://auth.example.com", "client_id": "romm", "client_secret": "s",
		"redirect_uri": "https://romm.example.com/api/oauth/openid",
	}
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("s\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		lines string // beside or in place of the good ones; "-word" leaves one out
		want  string
	}{
		"good":                     {"", ""},
		"no issuer":                {"-issuer", `issuer is missing: write "issuer https://auth.example.com", or set the environment variable OIDC_SERVER_APPLICATION_URL`},
		"no client_id":             {"-client_id", "client_id is missing"},
		"no client_secret":         {"-client_secret", "client_secret is missing"},
		"no redirect_uri":          {"-redirect_uri", "redirect_uri is missing"},
		"unset variable":           {"client_secret {env.ROMM_OIDC_TEST_UNSET}", "client_secret: "},
		"http issuer":              {"issuer http://authelia:9091", "must be https"},
		"loopback issuer":          {"issuer http://localhost:9091", ""},
		"our own endpoint":         {"issuer https://romm.example.com/api/oauth/openid", "this handler's own endpoint"},
		"our own endpoint, inside": {"issuer http://caddy:9080/api/oauth/openid/", "this handler's own endpoint"},
		"issuer with a query":      {"issuer https://auth.example.com?x", "is not a URL like"},
		"issuer_address":           {"issuer_address authelia:9091", "is not like http://authelia:9091"},
		"other callback path":      {"redirect_uri https://romm.example.com/callback", `write "https://romm.example.com/api/oauth/openid"`},
		"callback in upper case":   {"redirect_uri https://ROMM.example.com/api/oauth/openid", `write "https://romm.example.com/api/oauth/openid"`},
		"relative callback":        {"redirect_uri /api/oauth/openid", "is not an absolute http or https URL"},
		"http origin":              {"redirect_uri http://romm.host.local/api/oauth/openid", ""},
		"client_auth":              {"client_auth jwt", "neither basic nor post"},
		"colon in client_id":       {"client_id a:b", "holds a colon"},
		"algorithm":                {"romm_id_token_alg HS256", "neither ES256 nor RS256"},
		"errors":                   {"errors show", `write "errors pass"`},
		"scopes":                   {"scopes profile", "openid is missing"},
		"allow groups, no scope":   {"allow {\n groups a\n}", `allow names the group "a", but scopes lacks groups`},
		"roles groups, no scope":   {"roles {\n admin a\n}", `roles names the group "a", but scopes lacks groups`},
		"roles with the scope":     {"scopes openid groups\nroles {\n admin a\n}", ""},
		"address outside ASCII":    {"roles {\n admin j\u00f6rg@example.com\n user *\n}", "\"j\u00f6rg@example.com\" has letters outside ASCII"},
		"domain outside ASCII":     {"allow {\n domains b\u00fccher.example\n}", "write a domain in its form xn--"},
		"roles by e-mail":          {"roles {\n admin you@example.com\n user *\n}", ""},
		"clients":                  {"clients password feeds\nclients covers", ""},
		"clients unknown":          {"clients feeds everything", `clients: "everything" is not known: there are [password bearer feeds downloads covers]`},
		"session":                  {"session {\n idle 2h\n lifetime 1h\n}", "lifetime at least as long"},
		"rotate":                   {"rotate 1h", "rotate: 1h0m0s is too short: write 1d or more"},
		"unproven":                 {"session {\n unproven 0s\n}", "is not a duration"},
		"idle too short":           {"session {\n idle 1s\n}", "idle must be a minute or more"},
		"tls_ca missing":           {"tls_ca /nonexistent.pem", "tls_ca: "},
		"tls_ca empty":             {"tls_ca config_test.go", "holds no certificate"},
		"secret from a file":       {"client_secret {file." + secret + "}", ""},
		"secret from no file":      {"client_secret {file./nonexistent}", "client_secret"},
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

// A configuration that fails half way leaves nothing behind, and a secret never stands in an error.
func TestFailedProvisionLeaksNothing(t *testing.T) {
	err := validate(t, "romm.example.com {\nromm_oidc {\nissuer http://x\nclient_id a\nclient_secret hunter2\nredirect_uri https://romm.example.com/api/oauth/openid\n}\n}\n")
	if err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("%v", err)
	}
}
