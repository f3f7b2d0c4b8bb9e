// A Redis server, and the storage of a node in it: the plugin that Caddy's users have.

package storage

import (
	"fmt"
	"net"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	storageredis "github.com/pberkel/caddy-storage-redis"
	"github.com/redis/go-redis/v9"

	"github.com/romm-oidc/caddy-romm-oidc/flow/keyring"
	"github.com/romm-oidc/caddy-romm-oidc/tests/caddyprocess"
)

// redisServer is a Redis server that can be killed, paused and made read-only.
// What it has acknowledged outlives a kill.
type redisServer struct {
	*testing.T
	file, dir, address string
	process            *exec.Cmd
	operator           *redis.Client
}

// startRedis starts a server, which the test's end stops.
func startRedis(t *testing.T) *redisServer {
	t.Helper()
	file, err := exec.LookPath("redis-server")
	if err != nil {
		t.Skip("no Redis is installed: install the package redis-server, or put redis-server into PATH")
	}
	r := &redisServer{T: t, file: file, dir: t.TempDir(), address: fmt.Sprint("127.0.0.1:", caddyprocess.Ports(t, 1)[0])}
	r.operator = redis.NewClient(&redis.Options{Addr: r.address})
	t.Cleanup(func() { _ = r.operator.Close() })
	r.start()
	t.Cleanup(r.kill)
	return r
}

func (r *redisServer) start() {
	r.Helper()
	_, port, _ := net.SplitHostPort(r.address)
	r.process = exec.Command(r.file, "--bind", "127.0.0.1", "--port", port, "--dir", r.dir,
		"--save", "", "--appendonly", "yes", "--appendfsync", "always")
	if err := r.process.Start(); err != nil {
		r.Fatal(err)
	}
	for deadline := time.Now().Add(10 * time.Second); r.operator.Ping(r.Context()).Err() != nil; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			r.Fatal("Redis does not answer")
		}
	}
}

func (r *redisServer) kill() {
	_ = r.process.Process.Kill()
	_ = r.process.Wait()
}

func (r *redisServer) signal(s syscall.Signal) {
	r.Helper()
	if err := r.process.Process.Signal(s); err != nil {
		r.Fatal(err)
	}
}

// configure sends a command to the server and expects it to succeed.
func (r *redisServer) configure(command ...any) {
	r.Helper()
	if err := r.operator.Do(r.Context(), command...).Err(); err != nil {
		r.Fatal(err)
	}
}

// connect returns a storage of its own, as each Caddy has one.
func (r *redisServer) connect() keyring.Storage {
	r.Helper()
	plugin := storageredis.New()
	plugin.Address = []string{r.address}
	ctx, cancel := caddy.NewContext(caddy.Context{Context: r.Context()})
	r.Cleanup(cancel)
	if err := plugin.Provision(ctx); err != nil {
		r.Fatal(err)
	}
	r.Cleanup(func() { _ = plugin.Cleanup() })
	return plugin
}
