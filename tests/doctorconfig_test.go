// The doctor and the configuration: each mistake is seeded in a Caddyfile that is
// adapted as Caddy does it.

package tests

import (
	"bytes"
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"

	"github.com/romm-oidc/caddy-romm-oidc/handler/doctor"
)

// diagnose runs the doctor for a Caddyfile. Nothing in the network answers, unless
// change says otherwise.
func diagnose(t *testing.T, config string, change func(*doctor.Input)) *doctor.Report {
	t.Helper()
	adapted, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(config), nil)
	if err != nil {
		t.Fatal(err)
	}
	repl := caddy.NewReplacer()
	in := doctor.Input{
		Config: adapted, File: "Caddyfile", Text: config,
		Replace: func(text string) (string, error) { return repl.ReplaceOrErr(text, true, true) },
		Lookup:  func(context.Context, string) ([]string, error) { return nil, errors.New("no such host") },
		Dial:    func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("connection refused") },
	}
	if change != nil {
		change(&in)
	}
	report, err := doctor.Run(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

// codes returns the codes of the findings, without those of a network that does
// not answer.
func codes(report *doctor.Report) (found []string) {
	for _, finding := range report.Findings {
		if finding.Code != "authelia_dns" && finding.Code != "romm_unreachable" {
			found = append(found, finding.Code)
		}
	}
	slices.Sort(found)
	return slices.Compact(found)
}

func TestDoctorConfiguration(t *testing.T) {
	t.Setenv("OIDC_CLIENT_SECRET", "0123456789abcdef")
	t.Setenv("QUOTED", `"0123456789abcdef"`)
	t.Setenv("DIGEST", "$pbkdf2-sha512$310000$abc$def")
	t.Setenv("ODD", "%&+ü")
	t.Setenv("INSECURE", "http://auth.example.com")
	t.Setenv("SITE", "https://romm.example.com")
	pem := filepath.Join(t.TempDir(), "root.pem")
	if err := os.WriteFile(pem, []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	issuer := "issuer https://auth.example.com"
	for code, c := range map[string]struct {
		old, new string
		line     string // that the finding names; empty: any
	}{
		"config_no_gate":           {goodCaddyfile, "romm.example.com {\n\treverse_proxy romm:8080\n}\n", ""},
		"config_setting":           {issuer, "issuer {env.INSECURE}", "Caddyfile:3: issuer {env.INSECURE}"},
		"config_secret_unset":      {secretLine, "client_secret {env.ROMM_OIDC_UNSET}", "Caddyfile:5: client_secret {env.ROMM_OIDC_UNSET}"},
		"config_secret_digest":     {secretLine, "client_secret {env.DIGEST}", "Caddyfile:5: client_secret …"},
		"config_secret_quoted":     {secretLine, "client_secret {env.QUOTED}", "Caddyfile:5: client_secret …"},
		"config_secret_characters": {secretLine, "client_secret {env.ODD}", "Caddyfile:5: client_secret …"},
		"config_secret_literal":    {secretLine, "client_secret 0123456789abcdef", "Caddyfile:5: client_secret …"},
		"config_issuer_is_site":    {issuer, "issuer {env.SITE}", "Caddyfile:3: issuer {env.SITE}"},
		"config_http_origin":       {"romm.example.com, http://caddy:9080 {" + goodCaddyfile[len("romm.example.com, http://caddy:9080 {"):], strings.NewReplacer("romm.example.com, ", "http://romm.example.com, ", "https://romm.", "http://romm.").Replace(goodCaddyfile), "Caddyfile:6: redirect_uri http://romm.example.com/api/oauth/openid"},
		"config_no_roles":          {"roles {\n\t\t\tadmin you@example.com\n\t\t\tuser *\n\t\t}", "", ""},
		"config_second_gate":       {endLine, "\troute {\n" + gateLine + between(gateLine, endLine) + "\t}\n" + endLine, ""},
		"config_path_stripped":     {goodCaddyfile, "romm.example.com, http://caddy:9080 {\n\thandle_path /romm/* {\n" + between("{\n", "}\n") + "\t}\n}\n", "Caddyfile:2: handle_path /romm/* {"},
		"config_rewrite":           {gateLine, "\trewrite * /romm{uri}\n" + gateLine, "Caddyfile:2: rewrite * /romm{uri}"},
		"config_forward_auth":      {endLine, "\tforward_auth authelia:9091 {\n\t\turi /api/authz/forward-auth\n\t}\n" + endLine, "Caddyfile:12: forward_auth authelia:9091 {"},
		"config_basic_auth":        {gateLine, "\tbasic_auth {\n\t\talice $2a$14$Zkx19XLiW6VYouLHR5NmfOFU0z2GTNmpkT/5qqR7hx4IjWJPDhjvG\n\t}\n" + gateLine, "Caddyfile:2: basic_auth {"},
		"config_no_proxy":          {endLine, "\tfile_server\n", "Caddyfile:2: romm_oidc {"},
		"config_api_not_covered":   {endLine, "\treverse_proxy /assets/* romm:8080\n\tfile_server\n", "Caddyfile:12: reverse_proxy /assets/* romm:8080"},
		"config_cookie_header":     {endLine, "\treverse_proxy romm:8080 {\n\t\theader_up X-Site romm\n\t\theader_up Cookie x\n\t}\n", "Caddyfile:14: header_up Cookie x"},
		"config_handle_response":   {endLine, "\treverse_proxy romm:8080 {\n\t\t@redirect status 3xx\n\t\thandle_response @redirect {\n\t\t\trespond moved\n\t\t}\n\t}\n", "Caddyfile:14: handle_response @redirect {"},
		"config_stream_timeout":    {endLine, "\treverse_proxy romm:8080 {\n\t\tstream_timeout 1m\n\t}\n", "Caddyfile:13: stream_timeout 1m"},
		"config_redirect_host":     {redirectLine, "redirect_uri https://roms.example.com/api/oauth/openid", "Caddyfile:6: redirect_uri https://roms.example.com/api/oauth/openid"},
		"config_callback_path":     {goodCaddyfile, strings.NewReplacer(gateLine, "\thandle /library/* {\n"+gateLine, endLine, endLine+"\t}\n").Replace(goodCaddyfile), "Caddyfile:3: romm_oidc {"},
		"config_inside_tls":        {"http://caddy:9080", "caddy:9080", "Caddyfile:1: romm.example.com, caddy:9080 {"},
		"config_inside_missing":    {", http://caddy:9080", "", "Caddyfile:1: romm.example.com {"},
		"config_blocks_differ":     {goodCaddyfile, goodCaddyfile + strings.NewReplacer("romm.example.com, http://caddy:9080", "http://caddy:9081", secretLine, secretLine+"\n\t\tsession {\n\t\t\tidle 2d\n\t\t}").Replace(goodCaddyfile), ""},
		"config_open_upstream":     {goodCaddyfile, goodCaddyfile + "roms.example.com {\n\treverse_proxy romm:8080\n}\n", "Caddyfile:15: reverse_proxy romm:8080"},
		"config_trusted_proxies":   {goodCaddyfile, "{\n\tservers {\n\t\ttrusted_proxies static private_ranges\n\t}\n}\n" + goodCaddyfile, "Caddyfile:3: trusted_proxies static private_ranges"},
		"config_admin_off":         {goodCaddyfile, "{\n\tadmin off\n}\n" + goodCaddyfile, "Caddyfile:2: admin off"},
		"config_tls_ca":            {secretLine, secretLine + "\n\t\ttls_ca " + pem, "Caddyfile:6: tls_ca " + pem},
		"authelia_consent":         {secretLine, secretLine + "\n\t\tscopes openid profile email offline_access", "Caddyfile:6: scopes openid profile email offline_access"},
		"":                         {"", "", ""}, // nothing is wrong
	} {
		t.Run(code, func(t *testing.T) {
			config := strings.Replace(goodCaddyfile, c.old, c.new, 1)
			if config == goodCaddyfile && code != "" {
				t.Fatal("the mistake is not in the Caddyfile")
			}
			report := diagnose(t, config, nil)
			found := codes(report)
			beside := map[string][]string{ // what follows from the mistake
				"config_no_proxy": nil, "config_inside_tls": {"config_inside_missing"}, "config_path_stripped": {"config_callback_path"}, "config_http_origin": nil,
			}[code]
			want := slices.DeleteFunc(append([]string{code}, beside...), func(code string) bool { return code == "" })
			slices.Sort(want)
			if !slices.Equal(found, want) {
				t.Fatalf("got the findings %q, want %q: %+v", found, want, report.Findings)
			}
			for _, finding := range report.Findings {
				if finding.Code == code && (finding.Seen == "" || finding.Expected == "" || c.line != "" && finding.Line != c.line) {
					t.Errorf("got %+v, want the line %q, what was seen and what was expected", finding, c.line)
				}
				if strings.Contains(finding.Line+finding.Seen+finding.Write, "0123456789abcdef") {
					t.Errorf("the finding shows the secret: %+v", finding)
				}
			}
		})
	}
}

// between returns a part of goodCaddyfile.
func between(from, to string) string {
	_, text, _ := strings.Cut(goodCaddyfile, from)
	return text[:strings.LastIndex(text, to)]
}

// What works is no finding, however it is written.
func TestDoctorAcceptsWhatWorks(t *testing.T) {
	t.Setenv("OIDC_CLIENT_SECRET", "0123456789abcdef")
	for name, config := range map[string]string{
		"a gate in a handle":        strings.NewReplacer(gateLine, "\thandle {\n"+gateLine, endLine, endLine+"\t}\n").Replace(goodCaddyfile),
		"a proxy in a handle":       strings.Replace(goodCaddyfile, endLine, "\thandle {\n\t"+endLine+"\t}\n", 1),
		"Authelia beside it":        goodCaddyfile + "auth.example.com {\n\treverse_proxy authelia:9091\n}\n",
		"forward_auth elsewhere":    goodCaddyfile + "other.example.com {\n\tforward_auth authelia:9091 {\n\t\turi /api/authz/forward-auth\n\t}\n\treverse_proxy other:80\n}\n",
		"forward_auth for one path": strings.Replace(goodCaddyfile, endLine, "\tforward_auth /admin/* authelia:9091 {\n\t\turi /api/authz/forward-auth\n\t}\n"+endLine, 1),
		"a gate in each handle":     strings.NewReplacer(gateLine, "\thandle /a/* {\n"+gateLine, endLine, endLine+"\t}\n\thandle {\n"+gateLine+between(gateLine, endLine)+endLine+"\t}\n").Replace(goodCaddyfile),
		"forward_auth for pages":    strings.Replace(goodCaddyfile, endLine, "\t@pages not path /api/* /ws/*\n\tforward_auth @pages authelia:9091 {\n\t\turi /api/authz/forward-auth\n\t}\n"+endLine, 1),
		"all but other paths":       strings.Replace(goodCaddyfile, endLine, "\t@romm not path /other/*\n\treverse_proxy @romm romm:8080\n", 1),
		"a wildcard certificate":    "(romm) {\n" + between("{\n", "}\n") + "}\n*.example.com {\n\t@romm host romm.example.com\n\thandle @romm {\n\t\timport romm\n\t}\n}\nhttp://caddy:9080 {\n\timport romm\n}\n",
		"a rewrite of one path":     strings.Replace(goodCaddyfile, gateLine, "\trewrite /old /new\n"+gateLine, 1),
		"a snippet, two sites":      "(romm) {\n" + between("{\n", "}\n") + "}\nromm.example.com {\n\timport romm\n}\nhttp://127.0.0.1:9080 {\n\tbind 127.0.0.1\n\timport romm\n}\n",
		"a wildcard site":           strings.Replace(goodCaddyfile, "romm.example.com,", "*.example.com,", 1),
		"behind another proxy":      strings.Replace(goodCaddyfile, "romm.example.com, http://caddy:9080", ":8080", 1),
		"a named route":             "&(romm) {\nroute {\n" + between("{\n", "}\n") + "}\n}\nromm.example.com, http://caddy:9080 {\n\tinvoke romm\n}\n",
	} {
		if report := diagnose(t, config, nil); len(codes(report)) > 0 {
			t.Errorf("%s: got %q, want no findings: %+v\n%s", name, codes(report), report.Findings, config)
		}
	}
}

// Two sites have the same words: the doctor names the line in the right one.
func TestDoctorNamesTheLineOfTheSite(t *testing.T) {
	t.Setenv("OIDC_CLIENT_SECRET", "0123456789abcdef")
	second := strings.NewReplacer("romm.example.com", "roms.example.com", "caddy:9080", "caddy:9081").Replace(goodCaddyfile)
	for code, c := range map[string]struct{ old, new, line string }{
		"config_secret_literal": {secretLine, "client_secret 0123456789abcdef", "Caddyfile:18: client_secret …"},
		"config_secret_unset":   {secretLine, "client_secret {env.ROMM_OIDC_UNSET}", "Caddyfile:18: client_secret {env.ROMM_OIDC_UNSET}"},
		"config_no_proxy":       {endLine, "", "Caddyfile:15: romm_oidc {"},
		"config_rewrite":        {gateLine, "\trewrite /romm{uri}\n" + gateLine, "Caddyfile:15: rewrite /romm{uri}"},
	} {
		config := goodCaddyfile + strings.Replace(second, c.old, c.new, 1)
		report := diagnose(t, config, nil)
		if at := slices.IndexFunc(report.Findings, func(f doctor.Finding) bool { return f.Code == code }); at < 0 || report.Findings[at].Line != c.line {
			t.Errorf("got the findings %+v, want %s at %q", report.Findings, code, c.line)
		}
	}
}

// Two sites have a RomM each: the doctor asks each RomM about its own site.
func TestDoctorTellsRomMsApart(t *testing.T) {
	t.Setenv("OIDC_CLIENT_SECRET", "0123456789abcdef")
	second := strings.NewReplacer("romm.example.com", "roms.example.com", "caddy:9080", "caddy:9081", "romm:8080", "roms:8080").Replace(goodCaddyfile)
	var got []string
	for _, finding := range diagnose(t, goodCaddyfile+second, nil).Findings {
		if finding.Code == "romm_unreachable" {
			got = append(got, finding.Site+" "+finding.Expected)
		}
	}
	if want := []string{"https://romm.example.com RomM at romm:8080", "https://roms.example.com RomM at roms:8080"}; !slices.Equal(got, want) {
		t.Errorf("the RomMs that do not answer are %q, want %q", got, want)
	}
}

// A word that Caddy would refuse in JSON is a finding.
func TestDoctorRefusesUnknownWordsInJSON(t *testing.T) {
	t.Setenv("OIDC_CLIENT_SECRET", "0123456789abcdef")
	report := diagnose(t, goodCaddyfile, func(in *doctor.Input) {
		in.Config, in.Text = bytes.Replace(in.Config, []byte(`"handler":"romm_oidc"`), []byte(`"handler":"romm_oidc","scope":["openid"]`), 1), ""
	})
	if found := codes(report); !slices.Contains(found, "config_setting") || !strings.Contains(report.Findings[0].Seen, `unknown field "scope"`) {
		t.Errorf("got %+v, want config_setting with the unknown field", report.Findings)
	}
}

// Beside a wildcard, the gate's own host matcher decides on its addresses.
func TestDoctorReadsWildcardSites(t *testing.T) {
	t.Setenv("OIDC_CLIENT_SECRET", "0123456789abcdef")
	wildcard := func(addresses, host string) string {
		return addresses + " {\n\t@romm host " + host + "\n\thandle @romm {\n" + between("{\n", "}\n") + "\t}\n}\n"
	}
	for name, c := range map[string]struct {
		config string
		want   doctor.Finding
	}{
		"no address for RomM": {
			wildcard("*.example.com", "romm.example.com"),
			doctor.Finding{Code: "config_inside_missing", Site: "https://romm.example.com", Write: "http://caddy:9080 {\n\t# the same romm_oidc and reverse_proxy\n}"},
		},
		"an address that the matcher leaves out": {
			wildcard("*.example.com, http://caddy:9080", "romm.example.com"),
			doctor.Finding{Code: "config_inside_missing", Site: "https://romm.example.com", Write: "http://caddy:9080 {\n\t# the same romm_oidc and reverse_proxy\n}"},
		},
		"the matcher of another name": {
			wildcard("*.example.com, http://caddy:9080", "roms.example.com caddy"),
			doctor.Finding{Code: "config_redirect_host", Site: "https://romm.example.com", Line: "Caddyfile:8: redirect_uri https://romm.example.com/api/oauth/openid"},
		},
	} {
		report := diagnose(t, c.config, nil)
		if found := codes(report); !slices.Equal(found, []string{c.want.Code}) {
			t.Errorf("%s: got the findings %q, want %s: %+v", name, found, c.want.Code, report.Findings)
			continue
		}
		for _, got := range report.Findings {
			if got.Code == c.want.Code && (got.Site != c.want.Site || got.Line != c.want.Line || got.Write != c.want.Write) {
				t.Errorf("%s: got %+v, want %+v", name, got, c.want)
			}
		}
	}
}

// Every code is seeded by a test.
func TestDoctorCodesAreSeeded(t *testing.T) {
	var tests strings.Builder
	files, err := filepath.Glob("*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		tests.WriteString(readFile(t, file))
	}
	if len(doctor.Codes) < 40 {
		t.Errorf("the doctor has %d codes, want 40 or more", len(doctor.Codes))
	}
	for code, cause := range doctor.Codes {
		if !regexp.MustCompile("[\"` ]" + code + "[\"` ,]").MatchString(tests.String()) {
			t.Errorf("no test seeds %s", code)
		}
		if !strings.HasSuffix(cause.What, ".") || !strings.HasSuffix(cause.Fix, ".") || cause.Level == "" {
			t.Errorf("%s: %+v is not complete", code, cause)
		}
	}
}
