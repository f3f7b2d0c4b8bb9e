// Python environments with a given version of Authlib, and the app that stands for RomM.

package authlib

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

//go:embed app.py
var app string

// packages are what the app needs besides Authlib, in the versions of RomM 5.2
// where it pins them.
var packages = []string{"starlette==1.0.1", "httpx==0.28.1", "itsdangerous==2.2.0", "uvicorn==0.35.0"}

// python returns the interpreter of a virtual environment with this version of
// Authlib, which it keeps in the user's cache folder. If it cannot create the
// environment it skips the test, or fails it if ROMM_OIDC_REQUIRE_AUTHLIB=1.
func python(t *testing.T, version string) string {
	t.Helper()
	interpreter, err := environment(t.Context(), append([]string{"authlib==" + version}, packages...))
	if err == nil {
		return interpreter
	}
	if os.Getenv("ROMM_OIDC_REQUIRE_AUTHLIB") == "1" {
		t.Fatalf("Authlib %s is required: %v", version, err)
	}
	t.Skipf("Authlib %s is needed (python3 with venv and pip, and the Python package index): %v", version, err)
	return ""
}

func environment(ctx context.Context, requirements []string) (string, error) {
	system, err := exec.LookPath("python3")
	if err != nil {
		return "", fmt.Errorf("looking for python3: %w", err)
	}
	release, err := run(ctx, system, "-c", "import sys; print(sys.version, sys.base_prefix)")
	if err != nil {
		return "", err
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("looking for a cache folder: %w", err)
	}
	parent := filepath.Join(cache, "romm_oidc", "authlib")
	sum := sha256.Sum256([]byte(release + strings.Join(requirements, " ")))
	folder := filepath.Join(parent, strings.ReplaceAll(requirements[0], "==", "-")+"-"+hex.EncodeToString(sum[:4]))
	interpreter := filepath.Join("bin", "python")
	if _, err := os.Stat(filepath.Join(folder, interpreter)); err == nil {
		return filepath.Join(folder, interpreter), nil
	}
	// The environment is created elsewhere and renamed, so that a half-made
	// one is never used and two test runs do not share it. Only bin/python
	// survives the rename, so nothing else of it is run.
	if err := os.MkdirAll(parent, 0o700); err != nil {
		return "", fmt.Errorf("making a cache folder: %w", err)
	}
	fresh, err := os.MkdirTemp(parent, "new-")
	if err != nil {
		return "", fmt.Errorf("making a cache folder: %w", err)
	}
	defer os.RemoveAll(fresh)
	if _, err := run(ctx, system, "-m", "venv", fresh); err != nil {
		return "", err
	}
	install := append([]string{"-m", "pip", "install", "--quiet", "--disable-pip-version-check"}, requirements...)
	if _, err := run(ctx, filepath.Join(fresh, interpreter), install...); err != nil {
		return "", err
	}
	if err := os.Rename(fresh, folder); err != nil {
		if _, other := os.Stat(filepath.Join(folder, interpreter)); other != nil {
			return "", fmt.Errorf("keeping the environment: %w", err)
		}
	}
	return filepath.Join(folder, interpreter), nil
}

// run returns a command's output, or an error with its last line.
func run(ctx context.Context, name string, arguments ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	output, err := exec.CommandContext(ctx, name, arguments...).CombinedOutput()
	if err != nil {
		lines := strings.Split(strings.TrimSpace(string(output)), "\n")
		return "", fmt.Errorf("running %s: %w: %s", strings.Join(append([]string{name}, arguments...), " "), err, lines[len(lines)-1])
	}
	return string(output), nil
}

// start starts the app with these variables and returns its address. The app
// ends with the test.
func start(t *testing.T, interpreter string, variables map[string]string) string {
	t.Helper()
	command := exec.Command(interpreter, "-c", app)
	// The tester's own environment is not passed on: a proxy or an OIDC
	// variable there would change the result.
	command.Env = []string{"PATH=" + os.Getenv("PATH"), "NO_PROXY=*", "PYTHONDONTWRITEBYTECODE=1"}
	for name, value := range variables {
		command.Env = append(command.Env, name+"="+value)
	}
	log := &buffer{}
	command.Stderr = log
	stdout, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = command.Process.Kill()
		_ = command.Wait() // by the kill, and reaps the process
		if t.Failed() {
			t.Logf("the app said:\n%s", log)
		}
	})
	port := make(chan string, 1)
	go func() {
		line, _ := bufio.NewReader(stdout).ReadString('\n')
		port <- strings.TrimSpace(line)
	}()
	select {
	case port := <-port:
		if port == "" {
			t.Fatalf("the app did not start:\n%s", log)
		}
		address := net.JoinHostPort("127.0.0.1", port)
		await(t, address, log)
		return "http://" + address
	case <-time.After(time.Minute):
		t.Fatalf("the app did not start:\n%s", log)
		return ""
	}
}

// await polls until a server listens at address.
func await(t *testing.T, address string, log *buffer) {
	t.Helper()
	for range 200 {
		connection, err := (&net.Dialer{Timeout: time.Second}).DialContext(t.Context(), "tcp", address)
		if err == nil {
			_ = connection.Close()
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatalf("the app does not listen at %s:\n%s", address, log)
}

// buffer is a bytes.Buffer that two goroutines may use.
type buffer struct {
	mu    sync.Mutex
	bytes bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.bytes.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.bytes.String()
}
