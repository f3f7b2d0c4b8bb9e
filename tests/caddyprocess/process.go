// A Caddy process that a test starts and kills.

package caddyprocess

import (
	"bufio"
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// patience is how long Caddy may take to start.
const patience = 30 * time.Second

// Process is a Caddy that a test can start, kill and start again. It ends with its
// test.
type Process struct {
	Config string   // path of its Caddyfile; a change takes effect at the next Run
	Flags  []string // further flags of `caddy run`

	t       *testing.T
	command *exec.Cmd
	ended   chan struct{} // closed when the log of this run has ended
	mu      sync.Mutex
	lines   []string
}

// New returns a Caddy with a Caddyfile. It does not run yet. Its storage and
// configuration are in a folder of the test, unless config says otherwise.
func New(t *testing.T, config string) *Process {
	t.Helper()
	p := &Process{Config: filepath.Join(t.TempDir(), "Caddyfile"), t: t}
	if err := os.WriteFile(p.Config, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.Kill()
		if t.Failed() {
			t.Logf("Caddy logged:\n%s", strings.Join(p.Logged(""), "\n"))
		}
	})
	return p
}

// Start is New and Run.
func Start(t *testing.T, config string) *Process {
	t.Helper()
	p := New(t, config)
	p.Run()
	return p
}

// Run starts Caddy and returns when it is ready.
func (p *Process) Run() {
	p.t.Helper()
	file, err := Binary()
	if err != nil {
		p.t.Fatal(err)
	}
	folder := filepath.Dir(p.Config)
	arguments := append([]string{"run", "--config", p.Config, "--adapter", "caddyfile"}, p.Flags...)
	p.command = exec.CommandContext(context.Background(), file, arguments...) //nolint:gosec // Binary built it
	p.command.Env = append(os.Environ(), "HOME="+folder, "XDG_DATA_HOME="+folder, "XDG_CONFIG_HOME="+folder)
	stderr, err := p.command.StderrPipe()
	if err != nil {
		p.t.Fatal(err)
	}
	if err := p.command.Start(); err != nil {
		p.t.Fatal(err)
	}
	serves, ended := make(chan struct{}), make(chan struct{})
	p.ended = ended
	go func() {
		defer close(ended)
		p.read(stderr, sync.OnceFunc(func() { close(serves) }))
	}()
	select {
	case <-serves:
	case <-ended:
		p.t.Fatal("Caddy exited, want it ready to serve")
	case <-time.After(patience):
		p.t.Fatalf("Caddy is not ready after %s, want it to serve", patience)
	}
}

// read collects Caddy's log until its end, and calls serves when Caddy logs that it
// is ready.
func (p *Process) read(log io.Reader, serves func()) {
	lines := bufio.NewScanner(log)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		p.mu.Lock()
		p.lines = append(p.lines, lines.Text())
		p.mu.Unlock()
		if strings.Contains(lines.Text(), "serving initial configuration") {
			serves()
		}
	}
	_, _ = io.Copy(io.Discard, log) // after a line that is too long, so that Caddy does not block
}

// Kill kills Caddy with SIGKILL. A test may call it at any time.
func (p *Process) Kill() {
	if p.command == nil {
		return
	}
	_ = p.command.Process.Kill() // it may have exited already
	<-p.ended
	_ = p.command.Wait() // reports the kill, and reaps the process
	p.command = nil
}

// Logged returns the lines of Caddy's log that contain text, from earlier runs too.
func (p *Process) Logged(text string) []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var found []string
	for _, line := range p.lines {
		if strings.Contains(line, text) {
			found = append(found, line)
		}
	}
	return found
}
