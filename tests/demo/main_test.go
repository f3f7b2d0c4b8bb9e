// The demo: its accounts, what its terminal says, and every command of the manual
// beside it.

package main

import (
	"bytes"
	"context"
	"net"
	"net/http"
	"net/http/cookiejar"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/tests/authelia"
	"github.com/romm-oidc/caddy-romm-oidc/tests/caddyprocess"
)

func TestMain(m *testing.M) { os.Exit(caddyprocess.Main(m)) }

// demo is a running demo.
type demo struct {
	t     *testing.T
	ports ports
	caddy string
	env   string // setup's file with the secret

	mu       sync.Mutex
	terminal bytes.Buffer
}

func (d *demo) Write(p []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.terminal.Write(p)
}

func (d *demo) said() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.terminal.String()
}

// says waits until the terminal has text.
func (d *demo) says(text string) {
	d.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !strings.Contains(d.said(), text); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			d.t.Fatalf("the terminal does not say %q within 30 s:\n%s", text, d.said())
		}
	}
}

func start(t *testing.T) *demo {
	t.Helper()
	caddy, err := caddyprocess.Binary()
	if err != nil {
		t.Fatal(err)
	}
	free := caddyprocess.Ports(t, 5)
	d := &demo{t: t, caddy: caddy, ports: ports{free[0], free[1], free[2], free[3], free[4]}}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- run(ctx, d, caddy, d.ports) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("the demo ended with %v, want no error:\n%s", err, d.said())
		}
	})
	d.says("Press Ctrl-C to stop.")
	d.env = regexp.MustCompile(`--envfile (\S+)`).FindStringSubmatch(d.said())[1]
	return d
}

// signIn signs user in, and returns the last status.
func (d *demo) signIn(user string) int {
	d.t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		d.t.Fatal(err)
	}
	client := &http.Client{Jar: jar, Timeout: time.Minute, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	_, location := d.get(client, address(d.ports.site)+"/")
	portal := authelia.New(authelia.Options{Issuer: address(d.ports.authelia)})
	callback, err := portal.SignIn(client, location, user, user)
	if err != nil {
		return http.StatusUnauthorized
	}
	status, _ := d.get(client, callback)
	return status
}

// get opens target, and returns the status and where it leads.
func (d *demo) get(client *http.Client, target string) (status int, location string) {
	d.t.Helper()
	r, err := http.NewRequestWithContext(d.t.Context(), http.MethodGet, target, http.NoBody)
	if err != nil {
		d.t.Fatal(err)
	}
	r.Header.Set("Sec-Fetch-Mode", "navigate")
	r.Header.Set("Sec-Fetch-Dest", "document")
	answer, err := client.Do(r)
	if err != nil {
		d.t.Fatal(err)
	}
	_ = answer.Body.Close()
	return answer.StatusCode, answer.Header.Get("Location")
}

// command runs `caddy romm-oidc` as the demo's own text says.
func (d *demo) command(arguments ...string) (string, int) {
	d.t.Helper()
	command := exec.CommandContext(d.t.Context(), d.caddy, append([]string{"romm-oidc"}, arguments...)...)
	command.Env = append(os.Environ(), "CADDY_ADMIN=localhost:"+strconv.Itoa(d.ports.admin), "HOME="+d.t.TempDir())
	output, _ := command.CombinedOutput()
	return string(output), command.ProcessState.ExitCode()
}

// trial is a command of the manual's table, and what it prints.
type trial struct {
	command   string
	arguments []string
	want      string
}

// Each account of the demo does what the demo says of it, bob first, and every
// command in the table of docs/commands.md does what it is for.
func TestDemo(t *testing.T) {
	d := start(t)
	for _, user := range []string{"bob", "alice", "carol"} {
		if status := d.signIn(user); status != http.StatusSeeOther {
			t.Fatalf("signing in as %s answered %d, want 303:\n%s", user, status, d.said())
		}
		d.says("signed in · " + user)
	}
	if status := d.signIn("dave"); status != http.StatusUnauthorized {
		t.Errorf("signing in as dave ended with %d, want that Authelia refuses", status)
	}
	id := func() string {
		t.Helper()
		list, _ := d.command("sessions", "list")
		found := regexp.MustCompile(`(?m)^([0-9a-f]{32}) `).FindStringSubmatch(list)
		if found == nil {
			t.Fatalf("sessions list printed %s, want a session", list)
		}
		return found[1]
	}
	folder := filepath.Join(t.TempDir(), "new")
	tried := []trial{
		{"setup", []string{"setup", folder, "--site", "https://romm.example.com", "--authelia", "https://auth.example.com", "--admin", "you@example.com"}, "docker compose up -d"},
		{"doctor", []string{"doctor", "--envfile", d.env}, "No problem found"},
		{"status", []string{"status"}, "health         ready"},
		{"sessions list", []string{"sessions", "list"}, "carol"},
		{"links list", []string{"links", "list"}, "carol@example.com"},
		{"sessions end", []string{"sessions", "end", id()}, "1 session ended"},
		{"links trust", []string{"links", "trust", "bob"}, "bob"},
		{"links move", []string{"links", "move", "carol", "another-subject"}, "carol"},
		{"links forget", []string{"links", "forget", "carol"}, "carol"},
		{"sessions end-user", []string{"sessions", "end-user", "bob"}, "ended"},
		{"sessions end-all", []string{"sessions", "end-all", "--yes"}, "ended"},
		{"keys rotate", []string{"keys", "rotate"}, "hour"},
	}
	page, err := os.ReadFile("../../docs/commands.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := regexp.MustCompile("(?m)^\\| `((?:setup|doctor|status)|(?:sessions|links|keys) [a-z-]+)").FindAllStringSubmatch(string(page), -1)
	if len(documented) != len(tried) {
		t.Errorf("docs/commands.md has %d commands, and the test tries %d", len(documented), len(tried))
	}
	for _, row := range documented {
		if !slices.ContainsFunc(tried, func(try trial) bool { return try.command == row[1] }) {
			t.Errorf("the test does not try %q", row[1])
		}
	}
	for _, try := range tried {
		if output, code := d.command(try.arguments...); code != 0 || !strings.Contains(output, try.want) {
			t.Errorf("%q exited with %d, want 0 and %q:\n%s", try.arguments, code, try.want, output)
		}
	}
	d.says("session ended · bob")
}

// A port that is in use is an error that names the port and the way out.
func TestPortInUse(t *testing.T) {
	free := caddyprocess.Ports(t, 5)
	listener, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(free[4]))
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	err = run(t.Context(), &bytes.Buffer{}, "caddy", ports{free[0], free[1], free[2], free[3], free[4]})
	if want := "port " + strconv.Itoa(free[4]) + " is in use"; err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "make demo PORT="+strconv.Itoa(free[0]+100)) {
		t.Errorf("got error %v, want %q and the command with other ports", err, want)
	}
}
