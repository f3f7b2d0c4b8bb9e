// An installation that setup wrote, between its stand-ins, and an operator who does
// what the doctor says.

package tests

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/romm-oidc/caddy-romm-oidc/handler/doctor"
	"github.com/romm-oidc/caddy-romm-oidc/tests/authelia"
	"github.com/romm-oidc/caddy-romm-oidc/tests/caddyprocess"
	"github.com/romm-oidc/caddy-romm-oidc/tests/romm"
)

// installation is a folder that setup wrote, and the running Caddy and stand-ins
// that have its files.
type installation struct {
	t                                *testing.T
	folder, admin                    string
	autheliaURL, rommAddress, within string
	secret, digest                   string
	portal, site                     *atomic.Pointer[http.Handler]
}

// findings are what the doctor found.
type findings []doctor.Finding

// beside returns the findings of which others has no code. What the running Caddy has is
// not part of the files.
func (f findings) beside(others findings) findings {
	return slices.DeleteFunc(slices.Clone(f), func(finding doctor.Finding) bool {
		return others.has(finding.Code) || finding.Code == "caddy_other_config"
	})
}

func (f findings) has(code string) bool {
	return slices.ContainsFunc(f, func(finding doctor.Finding) bool { return finding.Code == code })
}

// install runs setup beside an Authelia and a RomM, and starts all three.
func install(t *testing.T) *installation {
	t.Helper()
	ports := caddyprocess.Ports(t, 3)
	var portal, site atomic.Pointer[http.Handler]
	through := func(handler *atomic.Pointer[http.Handler]) *httptest.Server {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { (*handler.Load()).ServeHTTP(w, r) }))
		t.Cleanup(server.Close)
		return server
	}
	in := &installation{
		t: t, admin: "localhost:" + strconv.Itoa(ports[2]), within: "http://127.0.0.1:" + strconv.Itoa(ports[1]), portal: &portal, site: &site,
		autheliaURL: "http://localhost:" + port(through(&portal).Listener.Addr().String()), rommAddress: through(&site).Listener.Addr().String(),
	}
	in.folder, _ = setUp(t, "--no-containers", "--authelia-exists", "--policy", "one_factor", "--site", "http://localhost:"+strconv.Itoa(ports[0]),
		"--authelia", in.autheliaURL, "--admin", "alice@example.com", "--romm-address", in.rommAddress, "--caddy-address", in.within)
	in.secret = romm.Read([]byte(readFile(t, in.folder, ".env"))).OIDC.ClientSecret
	in.digest = regexp.MustCompile(`\$pbkdf2-[^']+`).FindString(readFile(t, in.folder, "authelia-client.yml"))
	in.serve()
	t.Setenv("CADDY_ADMIN", in.admin)
	p := caddyprocess.New(t, "")
	p.Config, p.Flags = filepath.Join(in.folder, "Caddyfile"), []string{"--envfile", filepath.Join(in.folder, ".env")}
	p.Run()
	return in
}

// serve gives the stand-ins the files of the folder, as a restart does.
func (in *installation) serve() {
	in.t.Helper()
	clients, err := authelia.ReadClients([]byte(readFile(in.t, in.folder, "authelia-client.yml")))
	if err != nil {
		in.t.Fatal(err)
	}
	var portal http.Handler = authelia.New(authelia.Options{Issuer: in.autheliaURL, Users: users, Clients: clients, NoRateLimit: true})
	var site http.Handler = romm.New(romm.Read([]byte(readFile(in.t, in.folder, "romm.env"))))
	in.portal.Store(&portal)
	in.site.Store(&site)
}

// copy returns the installation with a copy of the folder.
func (in *installation) copy(t *testing.T) *installation {
	t.Helper()
	other := *in
	other.t, other.folder = t, t.TempDir()
	if err := os.CopyFS(other.folder, os.DirFS(in.folder)); err != nil {
		t.Fatal(err)
	}
	return &other
}

func (in *installation) write(name, content string) {
	in.t.Helper()
	if err := os.WriteFile(filepath.Join(in.folder, name), []byte(content), 0o600); err != nil {
		in.t.Fatal(err)
	}
	if strings.HasSuffix(name, ".yml") || name == "romm.env" {
		in.serve()
	}
}

// edit replaces a text that is in a file.
func (in *installation) edit(name, old, with string) {
	in.t.Helper()
	content := readFile(in.t, in.folder, name)
	if !strings.Contains(content, old) {
		in.t.Fatalf("%s lacks %q:\n%s", name, old, content)
	}
	in.write(name, strings.Replace(content, old, with, 1))
}

// doctor runs the doctor for the files.
func (in *installation) doctor() (findings, int) {
	in.t.Helper()
	output, err := runCommand(in.t, "doctor", "--json", "--address", in.admin, "--config", filepath.Join(in.folder, "Caddyfile"), "--envfile", filepath.Join(in.folder, ".env"))
	code := 0
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		code = exit.ExitCode()
	}
	var report doctor.Report
	if err := json.NewDecoder(strings.NewReader(output[max(0, strings.Index(output, "{\n")):])).Decode(&report); err != nil {
		in.t.Fatalf("the doctor printed %s: %v", output, err)
	}
	return report.Findings, code
}

// healthy returns what the doctor finds before a mistake.
func (in *installation) healthy() findings {
	in.t.Helper()
	found, code := in.doctor()
	if code != 0 {
		in.t.Fatalf("the doctor found %+v in what setup wrote", found)
	}
	return found
}

var inFile = regexp.MustCompile(`^(\S+):(\d+): `)

// apply does literally what a finding says, or fails.
func (in *installation) apply(f doctor.Finding) {
	in.t.Helper()
	match := inFile.FindStringSubmatch(f.Line)
	name, value, _ := strings.Cut(f.Write, "=")
	switch {
	case match != nil && (f.Remove || f.Write != ""):
		number, err := strconv.Atoi(match[2])
		if err != nil {
			in.t.Fatal(err)
		}
		in.replaceLine(number, f)
	case f.Line == "RomM's environment" && name != "":
		if name == "OIDC_CLIENT_SECRET" && strings.HasPrefix(value, "(") {
			value = in.secret // which the doctor does not print
		}
		content := regexp.MustCompile(`(?m)^`+name+`=.*\n`).ReplaceAllString(readFile(in.t, in.folder, "romm.env"), "")
		in.write("romm.env", content+name+"="+value+"\n")
	case strings.HasPrefix(f.Line, "redirect_uris of the client") && f.Write != "":
		content := regexp.MustCompile(`(redirect_uris:\n +)- .*`).ReplaceAllString(readFile(in.t, in.folder, "authelia-client.yml"), "${1}"+f.Write)
		in.write("authelia-client.yml", content)
	case f.Line == "" && f.Write != "":
		in.write("Caddyfile", strings.Replace(readFile(in.t, in.folder, "Caddyfile"), "romm_oidc {\n", "romm_oidc {\n"+f.Write+"\n", 1))
	default:
		in.t.Fatalf("the finding does not say what to write: %+v", f)
	}
}

// replaceLine replaces a line of the Caddyfile, or removes it with its block.
func (in *installation) replaceLine(number int, f doctor.Finding) {
	in.t.Helper()
	lines := strings.Split(readFile(in.t, in.folder, "Caddyfile"), "\n")
	end := number
	if f.Remove {
		for depth := strings.Count(lines[number-1], "{") - strings.Count(lines[number-1], "}"); depth > 0; end++ {
			depth += strings.Count(lines[end], "{") - strings.Count(lines[end], "}")
		}
	}
	var with []string
	if !f.Remove {
		with = []string{f.Write}
	}
	in.write("Caddyfile", strings.Join(slices.Concat(lines[:number-1], with, lines[end:]), "\n"))
}
