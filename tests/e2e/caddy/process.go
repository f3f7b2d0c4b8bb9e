package caddy

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

// Process is a running Caddy. It ends with its test.
type Process struct {
	ready chan struct{}
	once  sync.Once
	mu    sync.Mutex
	lines []string
}

// Start runs Caddy with a Caddyfile and returns when it serves. Its storage and
// configuration lie in a folder of the test, unless config says otherwise.
func Start(t *testing.T, config string) *Process {
	t.Helper()
	file, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	caddyfile := filepath.Join(folder, "Caddyfile")
	if err := os.WriteFile(caddyfile, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	command := exec.CommandContext(context.Background(), file, "run", "--config", caddyfile, "--adapter", "caddyfile") //nolint:gosec // it was built here
	command.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + folder, "XDG_DATA_HOME=" + folder, "XDG_CONFIG_HOME=" + folder}
	stderr, err := command.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	p := &Process{ready: make(chan struct{})}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		p.read(stderr)
	}()
	t.Cleanup(func() {
		_ = command.Process.Kill() // it may have ended by itself
		<-ended
		_ = command.Wait() // by the kill, and reaps the process
		if t.Failed() {
			t.Logf("Caddy said:\n%s", strings.Join(p.Logged(""), "\n"))
		}
	})
	select {
	case <-p.ready:
	case <-ended:
		t.Fatalf("Caddy ended:\n%s", strings.Join(p.Logged(""), "\n"))
	case <-time.After(patience):
		t.Fatalf("Caddy does not serve within %s", patience)
	}
	return p
}

// read keeps Caddy's log until its end.
func (p *Process) read(log io.Reader) {
	lines := bufio.NewScanner(log)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		p.mu.Lock()
		p.lines = append(p.lines, lines.Text())
		p.mu.Unlock()
		if strings.Contains(lines.Text(), "serving initial configuration") {
			p.once.Do(func() { close(p.ready) })
		}
	}
	_, _ = io.Copy(io.Discard, log) // a line that is too long must not stop Caddy
}

// Logged returns the lines of Caddy's log that hold text.
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
