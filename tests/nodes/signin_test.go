// What a sign-in asks of the storage.

package nodes

import (
	"context"
	"net/http"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/tests/authelia"
	standin "github.com/romm-oidc/caddy-romm-oidc/tests/romm"
)

// Caddy's file system storage flushes a file for each Store and for each Lock, and
// one in the network has to answer each call. None of these writes can be left out:
// the lock and the two links keep an account with one user, the marker makes other
// nodes ask again whose sessions RomM's name opens now, and the head is a value of its
// own because each list and each end of many sessions reads all heads.
func TestSignInCallsTheStorage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, []authelia.User{
			{Name: "alice", Password: "alice-password", Email: "alice@example.com", Groups: []string{"users"}},
			{Name: "bob", Password: "bob-password", Email: "bob@example.com", Groups: []string{"users"}},
		})
		c.romm.AddUser(standin.User{Username: "root", Email: "root@example.com", Role: "admin", Password: "root-password"})
		var mu sync.Mutex
		var writes []string
		reads := 0
		c.storage.Before(func(_ context.Context, method, key string) error {
			mu.Lock()
			defer mu.Unlock()
			switch method {
			case "Load", "List":
				reads++
			default:
				writes = append(writes, method+" "+strings.TrimPrefix(path.Dir(key), "romm_oidc/"+gateID+"/"))
			}
			return nil
		})
		signIn := func(user string) {
			synctest.Wait()
			mu.Lock()
			writes, reads = nil, 0
			mu.Unlock()
			if status, text := c.browser().signIn(0, user); status != http.StatusSeeOther {
				t.Fatalf("signing in as %s: %d %s", user, status, text)
			}
		}
		signIn("alice") // which makes the gate's keys
		time.Sleep(time.Second)
		for _, row := range []struct {
			name  string
			reads int
			write []string
		}{
			{"the first one of a user", 18, []string{
				"Lock links/account", "Store links/account", "Store links/subject", "Store sessions/ends", "Store sessions/heads", "Store sessions/records",
			}},
			{"another one", 16, []string{"Store sessions/heads", "Store sessions/records"}},
		} {
			signIn("bob")
			mu.Lock()
			if !slices.Equal(writes, row.write) || reads > row.reads {
				t.Errorf("%s: it wrote %q and read %d times, want %q and at most %d", row.name, writes, reads, row.write, row.reads)
			}
			mu.Unlock()
		}
		for i := range c.nodes {
			c.at(i).end()
		}
	})
}
