// Command demo runs Caddy with this module in front of a stand-in for RomM, with a
// stand-in for Authelia beside it, all on this machine, until it is interrupted.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
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
	callback = "/api/oauth/openid"
	secret   = "insecuredemosecret"
	patience = 20 * time.Second
)

// ports are the demo's ports: the site, the same site for requests from RomM,
// Authelia and RomM.
type ports struct{ site, inside, authelia, romm int }

func main() {
	log.SetFlags(0)
	caddy := flag.String("caddy", "bin/caddy", "path of a Caddy with the module compiled in")
	port := flag.Int("port", 9080, "port of the site; the demo also uses the next three")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *caddy, ports{*port, *port + 1, *port + 2, *port + 3}); err != nil {
		log.Fatal("demo: ", err)
	}
}

// run runs the demo until ctx ends.
func run(ctx context.Context, caddy string, p ports) error {
	site, issuer := "http://localhost:"+strconv.Itoa(p.site), "http://localhost:"+strconv.Itoa(p.authelia)
	users := []authelia.User{
		{Name: "alice", Password: "alice", DisplayName: "Alice", Email: "alice@example.com"},
		{Name: "bob", Password: "bob", DisplayName: "Bob", Email: "bob@example.com"},
		{Name: "dave", Password: "dave", DisplayName: "Dave", Email: "dave@example.com", Disabled: true},
	}
	if err := serve(ctx, p.authelia, authelia.New(authelia.Options{
		Issuer: issuer, Users: users,
		Clients: []authelia.Client{{
			ID: "romm", Secret: secret, RedirectURIs: []string{site + callback},
			Scopes: []string{"openid", "profile", "email"}, RequirePKCE: true,
		}},
	})); err != nil {
		return err
	}
	if err := serve(ctx, p.romm, romm.New(romm.Options{OIDC: romm.OIDC{
		Enabled: true, Autologin: true, Provider: "authelia", ClientID: "romm", ClientSecret: secret,
		RedirectURI: site + callback, ServerURL: "http://127.0.0.1:" + strconv.Itoa(p.inside) + callback,
		ClaimRoles: "romm_roles", RoleAdmin: "admin", RoleViewer: "user",
	}})); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "romm_oidc-demo-")
	if err != nil {
		return fmt.Errorf("creating a temporary folder: %w", err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	return runCaddy(ctx, caddy, dir, site, fmt.Sprintf(caddyfile, filepath.Join(dir, "storage"), site, p.inside, issuer, secret, callback, p.romm))
}

const caddyfile = `{
	admin off
	persist_config off
	auto_https off
	storage file_system %[1]s
	log {
		level ERROR
	}
}

%[2]s, http://127.0.0.1:%[3]d {
	bind 127.0.0.1
	romm_oidc {
		issuer %[4]s
		client_id romm
		client_secret %[5]s
		redirect_uri %[2]s%[6]s
		provider Authelia
		roles {
			admin alice@example.com
			user *
		}
	}
	reverse_proxy 127.0.0.1:%[7]d
}
`

// serve serves h on a loopback port until ctx ends.
func serve(ctx context.Context, port int, h http.Handler) error {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:"+strconv.Itoa(port))
	if err != nil {
		return fmt.Errorf("listening: %w (choose other ports with -port)", err)
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

// runCaddy runs Caddy with config until ctx ends, and prints when it is ready.
func runCaddy(ctx context.Context, caddy, dir, site, config string) error {
	file := filepath.Join(dir, "Caddyfile")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		return fmt.Errorf("writing the Caddyfile: %w", err)
	}
	command := exec.CommandContext(ctx, caddy, "run", "--config", file, "--adapter", "caddyfile") //nolint:gosec // the operator's own binary
	command.Cancel = func() error { return command.Process.Signal(syscall.SIGTERM) }
	command.WaitDelay = 5 * time.Second
	command.Stderr = os.Stderr
	command.Env = append(os.Environ(), "XDG_CONFIG_HOME="+dir, "XDG_DATA_HOME="+dir)
	if err := command.Start(); err != nil {
		return fmt.Errorf("starting Caddy: %w", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- command.Wait() }()
	ready := make(chan error, 1)
	go func() { ready <- wait(ctx, site+"/api/heartbeat") }()
	for {
		select {
		case err := <-ready:
			if err != nil && ctx.Err() == nil {
				_ = command.Process.Kill()
				return err
			}
			if err == nil {
				fmt.Printf("Ready: open %s and sign in as alice (password alice, an administrator) or bob (password bob, a user). dave (password dave) is disabled. Press Ctrl-C to stop.\n", site)
			}
			ready = nil
		case err := <-ended:
			if ctx.Err() == nil {
				return fmt.Errorf("running Caddy: %w", err)
			}
			return nil // the user ended it
		}
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
