// Command demo runs Caddy with this module in front of a stand-in for RomM, with a
// stand-in for Authelia beside it, all on this machine, until it is interrupted.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/tests/authelia"
	"github.com/romm-oidc/caddy-romm-oidc/tests/romm"
)

const (
	administrator = "alice@example.com"
	installation  = "romm-oidc" // the folder that setup writes
	patience      = 20 * time.Second
)

// ports are the demo's ports: the site, the same site for requests from RomM,
// Authelia, RomM, and Caddy's admin API.
type ports struct{ site, inside, authelia, romm, admin int }

// free returns an error that names the remedy if one of the ports is in use.
func (p ports) free(ctx context.Context) error {
	for _, port := range []int{p.site, p.inside, p.authelia, p.romm, p.admin} {
		listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:"+strconv.Itoa(port))
		if err != nil {
			return fmt.Errorf("port %d is in use: stop what uses it, or choose other ports: make demo PORT=%d", port, p.site+100)
		}
		_ = listener.Close()
	}
	return nil
}

func main() {
	log.SetFlags(0)
	caddy := flag.String("caddy", "bin/caddy", "path of a Caddy with the module compiled in")
	port := flag.Int("port", 9080, "port of the site; the demo also uses the next four")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Stdout, *caddy, ports{*port, *port + 1, *port + 2, *port + 3, *port + 4}); err != nil {
		log.Fatal("demo: ", err)
	}
}

// run runs the demo until ctx ends: what `caddy romm-oidc setup` writes, with the
// stand-ins for what it expects to be there.
func run(ctx context.Context, terminal io.Writer, caddy string, p ports) error {
	if err := p.free(ctx); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "romm_oidc-demo-")
	if err != nil {
		return fmt.Errorf("creating a temporary folder: %w", err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	made, err := setUp(ctx, caddy, dir, p)
	if err != nil {
		return err
	}
	clients, err := authelia.ReadClients(made["authelia-client.yml"])
	if err != nil {
		return fmt.Errorf("reading the client: %w", err)
	}
	if err := serve(ctx, p.authelia, authelia.New(authelia.Options{
		Issuer: address(p.authelia), Clients: clients, Users: []authelia.User{
			{Name: "alice", Password: "alice", DisplayName: "Alice", Email: administrator},
			{Name: "bob", Password: "bob", DisplayName: "Bob", Email: "bob@example.com"},
			{Name: "carol", Password: "carol", DisplayName: "Carol", Email: "carol@example.com"},
			{Name: "dave", Password: "dave", DisplayName: "Dave", Email: "dave@example.com", Disabled: true},
		},
	})); err != nil {
		return err
	}
	application := romm.New(romm.Read(made["romm.env"]))
	for _, account := range []romm.User{
		{Username: "alice", Email: administrator, Role: "admin"},
		{Username: "bob", Email: "bob@example.com", Role: "user"},
	} {
		application.AddUser(account)
	}
	if err := serve(ctx, p.romm, application); err != nil {
		return err
	}
	return runCaddy(ctx, terminal, caddy, dir, p)
}

// address returns the public address of a port.
func address(port int) string { return "http://localhost:" + strconv.Itoa(port) }

// setUp runs `caddy romm-oidc setup`, and returns the files that it wrote below dir.
func setUp(ctx context.Context, caddy, dir string, p ports) (map[string][]byte, error) {
	folder := filepath.Join(dir, installation)
	command := exec.CommandContext(ctx, caddy, "romm-oidc", "setup", folder, "--no-containers", "--authelia-exists", "--policy", "one_factor", //nolint:gosec // the operator's own binary
		"--site", address(p.site), "--authelia", address(p.authelia), "--admin", administrator,
		"--romm-address", "127.0.0.1:"+strconv.Itoa(p.romm), "--caddy-address", "http://127.0.0.1:"+strconv.Itoa(p.inside))
	if output, err := command.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("setting up: %w: %s", err, output)
	}
	files := map[string][]byte{}
	for _, name := range []string{"authelia-client.yml", "romm.env"} {
		content, err := os.ReadFile(filepath.Join(folder, name)) //nolint:gosec // in our own temporary folder
		if err != nil {
			return nil, fmt.Errorf("setting up: %w", err)
		}
		files[name] = content
	}
	return files, nil
}

// caddyfile is what the demo adds to the Caddyfile that setup wrote: options of
// Caddy as a whole.
const caddyfile = `{
	admin localhost:%d
	persist_config off
	auto_https off
	default_bind 127.0.0.1
	log {
		level ERROR
		format json
		exclude http.handlers.romm_oidc.audit
	}
	log audit {
		format json
		include http.handlers.romm_oidc.audit
	}
}
import ` + installation + `/Caddyfile
`

// serve serves h on a loopback port until ctx ends.
func serve(ctx context.Context, port int, h http.Handler) error {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:"+strconv.Itoa(port))
	if err != nil {
		return fmt.Errorf("listening: %w", err)
	}
	server := &http.Server{Handler: h, ReadHeaderTimeout: time.Minute}
	go func() {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			log.Print("demo: ", err)
		}
	}()
	context.AfterFunc(ctx, func() { _ = server.Close() })
	return nil
}

// ready is what the demo prints when all of it runs: the site, the admin API, and
// setup's file with the secret.
const ready = `
Ready: open %[1]s

  user   in RomM
  alice  an administrator
  bob    a user
  carol  has no account yet, and gets one
  dave   is disabled at Authelia, and cannot sign in

The passwords are the names. This terminal says what happens. Caddy's admin API runs, too. In another terminal:

  export CADDY_ADMIN=%[2]s
  bin/caddy romm-oidc status
  bin/caddy romm-oidc sessions list
  bin/caddy romm-oidc doctor --envfile %[3]s

docs/commands.md has all commands. Press Ctrl-C to stop.

`

// runCaddy runs Caddy with the files in dir until ctx ends, and says in the terminal
// when it is ready and what happens.
func runCaddy(ctx context.Context, terminal io.Writer, caddy, dir string, p ports) error {
	file, env := filepath.Join(dir, "Caddyfile"), filepath.Join(dir, installation, ".env")
	if err := os.WriteFile(file, fmt.Appendf(nil, caddyfile, p.admin), 0o600); err != nil {
		return fmt.Errorf("writing the Caddyfile: %w", err)
	}
	log, output, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("making a pipe: %w", err)
	}
	command := exec.CommandContext(ctx, caddy, "run", "--config", file, "--envfile", env) //nolint:gosec // the operator's own binary
	command.Cancel = func() error { return command.Process.Signal(syscall.SIGTERM) }
	command.WaitDelay = 5 * time.Second
	command.Stderr = output
	command.Env = append(os.Environ(), "XDG_CONFIG_HOME="+dir, "XDG_DATA_HOME="+dir)
	if err := command.Start(); err != nil {
		return fmt.Errorf("starting Caddy: %w", err)
	}
	_ = output.Close() // Caddy has it
	ended := make(chan error, 1)
	running, stop := context.WithCancel(ctx)
	defer stop()
	go func() {
		ended <- command.Wait()
		stop()
	}()
	err = wait(running, address(p.site)+"/api/heartbeat")
	switch {
	case err == nil:
		_, _ = fmt.Fprintf(terminal, ready, address(p.site), "localhost:"+strconv.Itoa(p.admin), env)
	case running.Err() == nil:
		_ = command.Process.Kill()
	}
	narrate(terminal, log) // until Caddy ends
	caddys := <-ended
	switch {
	case ctx.Err() != nil || err == nil && caddys == nil:
		return nil // the user ended it, or Caddy, which gets Ctrl-C too
	case caddys == nil:
		return err
	default:
		return fmt.Errorf("running Caddy: %w", caddys)
	}
}

// wait waits until url returns 200.
func wait(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return fmt.Errorf("requesting %s: %w", url, err)
		}
		if answer, err := http.DefaultClient.Do(r); err == nil {
			_ = answer.Body.Close()
			if answer.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s: no 200 within %s", url, patience)
		case <-time.After(50 * time.Millisecond):
		}
	}
}
