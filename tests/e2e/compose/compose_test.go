// Package compose reads the compose files that operators get with the library that
// Docker Compose itself is made of.
package compose

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"

	"github.com/romm-oidc/caddy-romm-oidc/tests/caddyprocess"
)

func TestMain(m *testing.M) { os.Exit(caddyprocess.Main(m)) }

// load reads compose.yml and .env in folder, as `docker compose up` there does.
func load(t *testing.T, folder string) (*types.Project, error) {
	t.Helper()
	options, err := cli.NewProjectOptions([]string{filepath.Join(folder, "compose.yml")}, cli.WithWorkingDirectory(folder), cli.WithEnvFiles(), cli.WithDotEnv)
	if err != nil {
		t.Fatal(err)
	}
	return options.LoadProject(t.Context())
}

// project is load for a project without an error.
func project(t *testing.T, folder string) *types.Project {
	t.Helper()
	p, err := load(t, folder)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// check fails unless p has these services, publishes ports of Caddy only, and mounts
// files that exist.
func check(t *testing.T, p *types.Project, services ...string) {
	t.Helper()
	slices.Sort(services)
	if names := p.ServiceNames(); !slices.Equal(names, services) {
		t.Fatalf("the services are %q, want %q", names, services)
	}
	for name, service := range p.Services {
		if (name == "caddy") != (len(service.Ports) > 0) {
			t.Errorf("%s publishes the ports %v, want Caddy's only", name, service.Ports)
		}
		for _, port := range service.Ports {
			if port.Published != "80" && port.Published != "443" {
				t.Errorf("%s publishes %s, want 80 and 443 only", name, port.Published)
			}
		}
		for _, volume := range service.Volumes {
			if volume.Type != types.VolumeTypeBind || filepath.Ext(volume.Target) == "" && filepath.Base(volume.Target) != "Caddyfile" {
				continue // Docker creates folders
			}
			if _, err := os.Stat(volume.Source); err != nil {
				t.Errorf("%s mounts %s: %v", name, volume.Source, err)
			}
		}
		if service.Restart != "unless-stopped" {
			t.Errorf("%s has restart %q, want that it comes back after a restart of the machine", name, service.Restart)
		}
		if service.Image == "" && service.Build == nil || strings.HasSuffix(service.Image, ":latest") {
			t.Errorf("%s has the image %q, want one with a version, or a build", name, service.Image)
		}
	}
	caddy := p.Services["caddy"]
	if secret := caddy.Environment["OIDC_CLIENT_SECRET"]; secret == nil || *secret == "" {
		t.Error("Caddy has no OIDC_CLIENT_SECRET")
	}
	if romm, ok := p.Services["romm"]; ok {
		for _, name := range []string{"OIDC_CLIENT_SECRET", "OIDC_SERVER_APPLICATION_URL", "OIDC_REDIRECT_URI", "ROMM_AUTH_SECRET_KEY", "DB_PASSWD"} {
			if value := romm.Environment[name]; value == nil || *value == "" {
				t.Errorf("RomM has no %s", name)
			}
		}
		if *romm.Environment["OIDC_CLIENT_SECRET"] != *caddy.Environment["OIDC_CLIENT_SECRET"] {
			t.Error("Caddy and RomM have different secrets")
		}
		if *romm.Environment["DB_PASSWD"] != *p.Services["romm-db"].Environment["MARIADB_PASSWORD"] {
			t.Error("RomM and its database have different passwords")
		}
	}
}

// caddy-example, with the secrets that its compose.yml asks for, and without them.
func TestExample(t *testing.T) {
	folder := t.TempDir()
	if err := os.CopyFS(folder, os.DirFS("../../../caddy-example")); err != nil {
		t.Fatal(err)
	}
	if _, err := load(t, folder); err == nil || !strings.Contains(err.Error(), "put it into .env") {
		t.Errorf("without secrets, got error %v, want one that says where they belong", err)
	}
	env := "OIDC_CLIENT_SECRET=a\nDB_PASSWORD=b\nROMM_AUTH_SECRET_KEY=c\n"
	if err := os.WriteFile(filepath.Join(folder, ".env"), []byte(env), 0o600); err != nil {
		t.Fatal(err)
	}
	check(t, project(t, folder), "authelia", "caddy", "romm", "romm-db")
}

// What setup writes, in all four combinations of what exists.
func TestSetup(t *testing.T) {
	caddy, err := caddyprocess.Binary()
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		flags    []string
		services []string
	}{
		"everything":      {nil, []string{"authelia", "caddy", "romm", "romm-db"}},
		"Authelia exists": {[]string{"--authelia-exists"}, []string{"caddy", "romm", "romm-db"}},
		"RomM exists":     {[]string{"--romm-exists"}, []string{"authelia", "caddy"}},
		"both exist":      {[]string{"--authelia-exists", "--romm-exists"}, []string{"caddy"}},
		"with an image":   {[]string{"--image", "caddy-romm-oidc"}, []string{"authelia", "caddy", "romm", "romm-db"}},
	} {
		t.Run(name, func(t *testing.T) {
			folder := filepath.Join(t.TempDir(), "romm-oidc")
			arguments := append([]string{"romm-oidc", "setup", folder, "--site", "https://romm.example.com", "--authelia", "https://auth.example.com", "--admin", "you@example.com"}, c.flags...)
			if output, err := exec.CommandContext(t.Context(), caddy, arguments...).CombinedOutput(); err != nil {
				t.Fatalf("setup: %v: %s", err, output)
			}
			check(t, project(t, folder), c.services...)
		})
	}
}
