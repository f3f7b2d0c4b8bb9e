// What a release is made of: the workflows, and the version of Caddy in all files
// that name one.

package tests

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// A workflow may only read the repository unless one of its jobs says otherwise, runs
// scripts that exist, and pins the actions that it uses.
func TestWorkflows(t *testing.T) {
	files, err := filepath.Glob("../.github/workflows/*.yml")
	if err != nil || len(files) != 2 {
		t.Fatalf("the workflows are %q, error %v, want two", files, err)
	}
	script := regexp.MustCompile(`\.ci/[a-z]+`)
	pinned := regexp.MustCompile(`^[a-z-]+/[a-z-]+@(v[0-9]+|[0-9a-f]{40})$`)
	for _, file := range files {
		var workflow struct {
			Permissions map[string]string `yaml:"permissions"`
			Jobs        map[string]struct {
				Timeout int `yaml:"timeout-minutes"`
				Steps   []struct {
					Uses string `yaml:"uses"`
					Run  string `yaml:"run"`
				} `yaml:"steps"`
			} `yaml:"jobs"`
		}
		if err := yaml.Unmarshal([]byte(readFile(t, file)), &workflow); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		if len(workflow.Permissions) != 1 || workflow.Permissions["contents"] != "read" {
			t.Errorf("%s has the permissions %v, want contents: read", file, workflow.Permissions)
		}
		for name, job := range workflow.Jobs {
			if job.Timeout == 0 {
				t.Errorf("%s: %s has no timeout-minutes", file, name)
			}
			for _, step := range job.Steps {
				if step.Uses != "" && !pinned.MatchString(step.Uses) {
					t.Errorf("%s: %s uses %s, want a major version or a commit", file, name, step.Uses)
				}
				for _, path := range script.FindAllString(step.Run, -1) {
					if info, err := os.Stat(filepath.Join("..", path)); err != nil || info.Mode()&0o100 == 0 {
						t.Errorf("%s: %s runs %s: %v, want a script that can be run", file, name, path, err)
					}
				}
			}
		}
	}
}

// All files name the Caddy of go.mod: the releases that the module builds with, and
// the tag of Caddy's images.
func TestCaddysVersion(t *testing.T) {
	required := regexp.MustCompile(`caddyserver/caddy/v2 (v(\d+\.\d+)\.\d+)\n`).FindStringSubmatch(readFile(t, "../go.mod"))
	if required == nil {
		t.Fatal("go.mod does not require Caddy")
	}
	version, minor := required[1], required[2]
	for _, file := range []string{"../README.md", "../docs/by-hand.md", "../docs/upgrading.md", "../xcaddy.md", "../.ci/run"} {
		if !strings.Contains(readFile(t, file), strings.TrimPrefix(version, "v")) {
			t.Errorf("%s does not name Caddy %s", file, version)
		}
	}
	image := regexp.MustCompile(`caddy:(\d\S*?)(?:-builder)?(?:\s|$)`)
	templates, err := filepath.Glob("../handler/setup/files/*")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, file := range append(templates, "../Dockerfile", "../xcaddy.md") {
		for _, match := range image.FindAllStringSubmatch(readFile(t, file), -1) {
			found++
			if match[1] != minor {
				t.Errorf("%s is built from caddy:%s, want caddy:%s", file, match[1], minor)
			}
		}
	}
	if found < 6 {
		t.Errorf("found %d images of Caddy, want the builder's and Caddy's in three files", found)
	}
}
