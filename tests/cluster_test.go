// Three Caddy processes that share one storage: sessions, refreshes, rotation, failures.

package tests

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
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

// The access token expires for three nodes at once. One node refreshes it and
// the others use the new token: a second refresh would revoke the token
// family.
func TestClusterRefreshesOnce(t *testing.T) {
	c := launchCluster(t, users, refreshingScopes+"session {\n recheck 500ms\n}\n")
	c.authelia.UpdateClient("romm", func(client *authelia.Client) {
		client.Scopes = append(client.Scopes, "offline_access")
		client.GrantTypes = []string{"authorization_code", "refresh_token"}
	})
	bob := c.signedIn("bob", 0)
	for node := range c.nodes {
		if !bob.is(c, "bob", node) {
			t.Fatalf("bob, signed in at node 0, is signed out at node %d", node)
		}
	}
	c.authelia.ExpireAccessTokens()
	c.authelia.ForgetRequests()
	for began := time.Now(); time.Since(began) < 6*time.Second; time.Sleep(20 * time.Millisecond) {
		for node := range c.nodes {
			if !bob.is(c, "bob", node) {
				t.Fatalf("bob is signed out at node %d after %s, want the refreshed session to live", node, time.Since(began))
			}
		}
	}
	if n := c.authelia.Calls(authelia.EndpointToken); n != 1 {
		t.Errorf("Authelia got %d refresh requests, want 1", n)
	}
	if n := c.authelia.Calls(authelia.EndpointUserinfo); n < 6 { // all nodes use the new token
		t.Errorf("Authelia got %d userinfo requests, want 6 or more", n)
	}
	for node := range c.nodes {
		if answer := bob.on(c, node).open("/"); answer.StatusCode != http.StatusOK {
			t.Errorf("node %d: a navigation answered %d, want 200 with a session that is proven", node, answer.StatusCode)
		}
	}
}

// Two nodes are told to rotate at the same time, but the keys rotate once.
func TestClusterRotatesOnce(t *testing.T) {
	c := launchCluster(t, users, "")
	bob := c.signedIn("bob", 0)
	var wg sync.WaitGroup
	for _, admin := range c.admins {
		wg.Go(func() {
			answer, err := http.Post("http://"+admin+"/romm_oidc/keys/rotate", "", nil)
			if err != nil {
				t.Error(err)
				return
			}
			_ = answer.Body.Close()
			if answer.StatusCode != http.StatusOK {
				t.Error(answer.Status)
			}
		})
	}
	wg.Wait()
	for document, want := range map[string]struct {
		list  string
		count int
	}{"keyring.json": {"secrets", 2}, "signing_keys.json": {"keys", 4}} {
		files, err := filepath.Glob(filepath.Join(c.storage, "romm_oidc", "*", document))
		if err != nil || len(files) != 1 {
			t.Fatalf("the storage has %v as %s, want one file; error: %v", files, document, err)
		}
		content, err := os.ReadFile(files[0])
		if err != nil {
			t.Fatal(err)
		}
		var value map[string]any
		if err := json.Unmarshal(content, &value); err != nil {
			t.Fatal(err)
		}
		if list, _ := value[want.list].([]any); len(list) != want.count {
			t.Errorf("%s has %d %s, want %d", document, len(list), want.list, want.count)
		}
	}
	for node := range c.nodes {
		if !bob.is(c, "bob", node) {
			t.Errorf("bob is signed out at node %d after the rotation", node)
		}
	}
}

// One of three nodes is killed under 500 requests a second. Only the requests
// that it was serving fail, and no session is lost.
func TestClusterLosesANode(t *testing.T) {
	const n, victim, rate, seconds = 30, 2, 500, 4
	accounts := make([]authelia.User, n)
	for i := range accounts {
		name := fmt.Sprintf("user%d", i)
		accounts[i] = authelia.User{Name: name, Password: name + "-password", Email: name + "@example.com"}
	}
	c := launchCluster(t, accounts, "")
	browsers := make([]*browser, n)
	for i := range browsers {
		browsers[i] = c.signedIn(accounts[i].Name, i%3)
	}
	clients := make([]*http.Client, 3)
	for node := range clients {
		clients[node] = &http.Client{Transport: c.at(node), Timeout: 10 * time.Second}
	}
	var served, lost atomic.Int64
	var dead atomic.Bool
	request := func(i int) {
		user, node := i%n, (i/n)%3
		if node == victim && dead.Load() { // a load balancer does the same
			node = (user + 1) % 2
		}
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, c.origin+"/api/users/me", nil)
		if err != nil {
			t.Error(err)
			return
		}
		r.Header.Set("Sec-Fetch-Mode", "cors")
		for _, cookie := range browsers[user].client.Jar.Cookies(r.URL) {
			r.AddCookie(cookie)
		}
		answer, err := clients[node].Do(r)
		if err != nil {
			if lost.Add(1); node != victim {
				t.Errorf("node %d, which was not killed: %v", node, err)
			}
			return
		}
		defer answer.Body.Close()
		body, err := io.ReadAll(answer.Body)
		if err != nil && node == victim {
			lost.Add(1)
			return
		}
		if served.Add(1); answer.StatusCode != http.StatusOK || !strings.Contains(string(body), `"username":"`+accounts[user].Name+`"`) {
			t.Errorf("node %d: /api/users/me as %s answered %d, want 200 with that user: %s", node, accounts[user].Name, answer.StatusCode, body)
		}
	}
	ticker := time.NewTicker(time.Second / rate)
	defer ticker.Stop()
	var wg sync.WaitGroup
	room := make(chan struct{}, 64) // limits the requests in flight
	began := time.Now()
	for i := range rate * seconds {
		<-ticker.C
		if i == rate*seconds/2 {
			c.nodes[victim].Kill()
			dead.Store(true)
		}
		room <- struct{}{}
		wg.Go(func() { defer func() { <-room }(); request(i) })
	}
	wg.Wait()
	t.Logf("%d answered and %d lost in flight, %.0f requests a second", served.Load(), lost.Load(), rate*seconds/time.Since(began).Seconds())
	if lost.Load() > int64(cap(room)) {
		t.Errorf("%d requests were lost, want at most the %d in flight", lost.Load(), cap(room))
	}
	c.nodes[victim].Run()
	for i, b := range browsers {
		for node := range c.nodes {
			if !b.is(c, accounts[i].Name, node) {
				t.Errorf("%s is signed out at node %d after the restart", accounts[i].Name, node)
			}
		}
	}
}

// While storage is down, a node keeps serving the sessions in its memory, and
// answers 503 for other sessions rather than start a sign-in. Once storage is
// back, all sessions work again.
func TestClusterWithoutStorage(t *testing.T) {
	c := launchCluster(t, users, "")
	bob := c.signedIn("bob", 0)
	carol := c.signedIn("carol", 0)
	away := c.storage + ".away"
	if err := os.Rename(c.storage, away); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(c.storage, nil, 0o600); err != nil { // a file, so that the folder cannot be made again
		t.Fatal(err)
	}
	for range 20 {
		if !bob.is(c, "bob", 0) {
			t.Fatal("bob is signed out at the node that has the session in memory")
		}
		if answer := bob.on(c, 1).fetch("/api/users/me"); answer.StatusCode != http.StatusServiceUnavailable {
			t.Fatalf("a node that has not seen the session answered %d, want 503: %s", answer.StatusCode, answer.body)
		}
		time.Sleep(50 * time.Millisecond)
	}
	eventually(t, func() bool {
		return len(c.nodes[0].Logged("session storage unreachable, sessions in memory continue, will retry")) == 1
	})
	carol.on(c, 0).fetch("POST /api/logout", "Origin", c.origin)
	if answer := carol.fetch("/api/users/me"); answer.StatusCode != http.StatusUnauthorized {
		t.Errorf("/api/users/me after the sign-out without storage answered %d, want 401", answer.StatusCode)
	}
	if err := os.Remove(c.storage); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(away, c.storage); err != nil {
		t.Fatal(err)
	}
	for node := range c.nodes {
		eventually(t, func() bool { return bob.is(c, "bob", node) })
	}
	// The sign-out that storage could not take now reaches the other nodes.
	eventually(t, func() bool { return carol.on(c, 1).refused("/api/users/me") })
}
