// Caddy processes that share one storage: the harness, and sessions.

package tests

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/websocket"

	"github.com/romm-oidc/caddy-romm-oidc/tests/authelia"
)

// cluster is three Caddy processes that share one storage. All have the same
// public address on different interfaces, 127.0.0.2 and up, so that a test can
// send a browser to any of them.
type cluster struct {
	*stack
	nodes  []*process
	admins []string
	asked  []atomic.Int64 // RomM's requests to each node
}

// launchCluster starts a cluster; directive holds further lines of romm_oidc.
func launchCluster(t *testing.T, accounts []authelia.User, directive string) *cluster {
	t.Helper()
	site, within := address(t), address(t)
	c := &cluster{stack: &stack{t: t, origin: "http://localhost:" + port(site), storage: filepath.Join(t.TempDir(), "storage")}}
	c.standIns(accounts, within)
	for i := range 3 {
		bind, admin := fmt.Sprint("127.0.0.", i+2), address(t)
		node := &process{stack: c.stack}
		node.configure(admin, bind, within, directive)
		c.nodes, c.admins = append(c.nodes, node), append(c.admins, admin)
	}
	c.asked = make([]atomic.Int64, len(c.nodes))
	c.balance(within)
	for _, node := range c.nodes {
		node.Run()
	}
	return c
}

// balance listens at the inside address, and passes RomM's requests to the
// nodes in turn.
func (c *cluster) balance(within string) {
	listener, err := net.Listen("tcp", within)
	if err != nil {
		c.t.Fatal(err)
	}
	var turn atomic.Int64
	server := &http.Server{Handler: &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		i := int(turn.Add(1)) % len(c.nodes)
		c.asked[i].Add(1)
		r.Out.URL.Scheme, r.Out.URL.Host, r.Out.Host = "http", fmt.Sprint("127.0.0.", i+2, ":", port(within)), r.In.Host
	}}}
	go func() { _ = server.Serve(listener) }()
	c.t.Cleanup(func() { _ = server.Close() })
}

// at returns a transport that dials one node for the public address.
func (c *cluster) at(node int) *http.Transport {
	return &http.Transport{MaxIdleConnsPerHost: 100, DialContext: func(ctx context.Context, network, at string) (net.Conn, error) {
		if at == strings.TrimPrefix(c.origin, "http://") {
			at = fmt.Sprint("127.0.0.", node+2, ":", port(at))
		}
		return new(net.Dialer).DialContext(ctx, network, at)
	}}
}

// on sends the browser's requests to one node from now on.
func (b *browser) on(c *cluster, node int) *browser {
	b.client.Transport = c.at(node)
	return b
}

// signedIn returns a new browser that is signed in as user at a node.
func (c *cluster) signedIn(user string, node int) *browser {
	c.t.Helper()
	b := c.browser().on(c, node)
	if answer := b.signIn("/", user); answer.StatusCode != http.StatusSeeOther {
		c.t.Fatalf("signing in as %s: the callback answered %d, want 303: %s", user, answer.StatusCode, answer.body)
	}
	return b
}

// is reports whether the browser is signed in as user at a node.
func (b *browser) is(c *cluster, user string, node int) bool {
	b.t.Helper()
	me := b.on(c, node).fetch("/api/users/me")
	return me.StatusCode == http.StatusOK && strings.Contains(me.body, `"username":"`+user+`"`)
}

// socketAt opens RomM's socket through a node.
func (b *browser) socketAt(node int) *websocket.Conn {
	b.t.Helper()
	site, err := url.Parse(b.origin)
	if err != nil {
		b.t.Fatal(err)
	}
	config, err := websocket.NewConfig("ws://"+site.Host+"/ws/socket.io/?EIO=4&transport=websocket", b.origin)
	if err != nil {
		b.t.Fatal(err)
	}
	for _, cookie := range b.client.Jar.Cookies(site) {
		config.Header.Add("Cookie", cookie.Name+"="+cookie.Value)
	}
	conn, err := net.Dial("tcp", fmt.Sprint("127.0.0.", node+2, ":", site.Port()))
	if err != nil {
		b.t.Fatal(err)
	}
	socket, err := websocket.NewClient(config, conn)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { _ = socket.Close() })
	return socket
}

// A session created on one node works on the others, whichever node RomM's
// token requests reach. A sign-out at one node takes effect on all of them
// within 5 s, sockets included.
func TestClusterSharesSessions(t *testing.T) {
	c := launchCluster(t, users, "")
	for node := range c.nodes {
		c.signedIn("alice", node)
	}
	for i := range c.asked {
		if c.asked[i].Load() == 0 {
			t.Errorf("RomM sent node %d no request, want at least one", i)
		}
	}
	bob := c.signedIn("bob", 0)
	for node := range c.nodes {
		if !bob.is(c, "bob", node) {
			t.Errorf("bob, signed in at node 0, is signed out at node %d", node)
		}
	}
	sockets := []*websocket.Conn{bob.socketAt(0), bob.socketAt(1), bob.socketAt(2)}
	began := time.Now()
	if answer := bob.on(c, 0).fetch("POST /api/logout", "Origin", c.origin); answer.StatusCode != http.StatusOK {
		t.Fatalf("the sign-out answered %d, want 200: %s", answer.StatusCode, answer.body)
	}
	for node, socket := range sockets {
		if until(socket, "never") || time.Since(began) > 5*time.Second {
			t.Errorf("node %d: the socket was open for %s after the sign-out, want at most 5 s", node, time.Since(began))
		}
	}
	for node := range c.nodes {
		if answer := bob.on(c, node).fetch("/api/users/me"); answer.StatusCode != http.StatusUnauthorized {
			t.Errorf("node %d: /api/users/me after the sign-out answered %d, want 401", node, answer.StatusCode)
		}
	}
}

// An operator at one node ends a session with open sockets at another within 5
// s.
func TestClusterRevokes(t *testing.T) {
	c := launchCluster(t, users, "")
	bob := c.signedIn("bob", 1)
	socket := bob.socketAt(2)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodDelete, "http://"+c.admins[0]+"/romm_oidc/sessions?user=bob", nil)
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if body, _ := io.ReadAll(answer.Body); answer.StatusCode != http.StatusOK {
		t.Fatalf("the admin API answered %d, want 200: %s", answer.StatusCode, body)
	}
	if until(socket, "never") || time.Since(began) > 5*time.Second {
		t.Errorf("the socket was open for %s after the operator ended the session, want at most 5 s", time.Since(began))
	}
	eventually(t, func() bool { return bob.on(c, 1).refused("/api/users/me") })
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("bob was signed in for %s after the operator ended the session, want at most 5 s", took)
	}
}
