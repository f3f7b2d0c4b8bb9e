// Caddies that share one storage: a node or the storage fails.

package tests

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/tests/authelia"
)

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
