// A shut account on the nodes that did not shut it.

package tests

import (
	"context"
	"net/http"
	"testing"
	"time"
)

// A node passes a client token that RomM recognized for a minute without another
// question. Another node shuts the account: the operator takes it from bob, or bob
// is disabled. The first node must not wait for the end of that minute.
func TestShutReachesTheOtherNodes(t *testing.T) {
	for name, shut := range map[string]func(c *cluster, bob *browser){
		"the operator takes the account": func(c *cluster, _ *browser) {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodDelete, "http://"+c.admins[0]+"/romm_oidc/links?account=bob", nil)
			if err != nil {
				t.Fatal(err)
			}
			answer, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = answer.Body.Close() }()
			if answer.StatusCode != http.StatusOK {
				t.Fatalf("forgetting the link answered %d, want 200", answer.StatusCode)
			}
		},
		"the user is disabled": func(c *cluster, bob *browser) {
			c.authelia.DisableUser("bob")
			out := func() bool { // a request in flight while its session ends may be aborted
				answer, err := bob.on(c, 0).client.Get(c.origin + "/api/users/me")
				if err != nil {
					return false
				}
				_ = answer.Body.Close()
				return answer.StatusCode == http.StatusUnauthorized
			}
			for disabled := time.Now(); !out(); time.Sleep(50 * time.Millisecond) {
				if time.Since(disabled) > 30*time.Second {
					t.Fatal("30 s after bob was disabled, he is still in")
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := launchCluster(t, users, recheckSoon)
			bob := c.signedIn("bob", 0)
			token := "Bearer " + c.romm.NewClientToken("bob", "me.read roms.read")
			status := func(node int) int {
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
				defer cancel()
				r, err := http.NewRequestWithContext(ctx, http.MethodGet, c.origin+"/api/roms", nil)
				if err != nil {
					t.Fatal(err)
				}
				r.Header.Set("Authorization", token)
				answer, err := (&http.Client{Transport: c.at(node)}).Do(r)
				if err != nil {
					t.Fatal(err)
				}
				_ = answer.Body.Close()
				return answer.StatusCode
			}
			shutAt := time.Now()
			for status(1) != http.StatusOK || status(0) != http.StatusOK {
				if time.Since(shutAt) > 10*time.Second {
					t.Fatal("bob's token does not pass, want it to")
				}
			}
			shut(c, bob)
			shutAt = time.Now()
			for status(1) == http.StatusOK {
				if time.Since(shutAt) > 30*time.Second {
					t.Fatal("the other node passes bob's token for 30 s after his account was shut, want a refusal within the next poll")
				}
				time.Sleep(100 * time.Millisecond)
			}
		})
	}
}
