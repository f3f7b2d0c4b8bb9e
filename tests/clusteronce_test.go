// Caddies that share one storage: what happens once for all of them.

package tests

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/tests/authelia"
)

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
