// Three gates that share a storage, in front of one RomM and one provider.

package nodes

import (
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/romm-oidc/caddy-romm-oidc/flow/keyring/keyringtest"
	"github.com/romm-oidc/caddy-romm-oidc/handler/request"
	"github.com/romm-oidc/caddy-romm-oidc/tests/authelia"
	standin "github.com/romm-oidc/caddy-romm-oidc/tests/romm"
)

const (
	public   = "https://romm.example.com"
	callback = public + request.Base
	secret   = "insecure_secret"
	recheck  = 5 * time.Minute
	gateID   = "0123456789abcdef"
)

// cluster is three nodes in front of one RomM.
type cluster struct {
	*testing.T
	authelia *authelia.Server
	romm     *standin.Server
	storage  *keyringtest.Storage
	begun    time.Time
	logger   *zap.Logger
	providerDelay,
	rommDelay atomic.Int64 // how long each answer takes, in nanoseconds
	rommStatus atomic.Int64 // what a proxy before RomM answers instead; 0: nothing

	ahead   [3]atomic.Int64 // of each machine's wall clock, in seconds
	leaving sync.WaitGroup  // processes that have ended and still have locks

	mu    sync.Mutex
	nodes [3]*node
}

func newCluster(t *testing.T, users []authelia.User) *cluster {
	t.Helper()
	c := &cluster{T: t, storage: keyringtest.New(), begun: time.Now(), logger: zap.NewNop()}
	t.Cleanup(c.leaving.Wait)
	c.authelia = authelia.New(authelia.Options{
		Issuer: "https://auth.example.com", CookieDomain: "example.com", NoRateLimit: true, Users: users, RefreshInterval: -1,
		Clients: []authelia.Client{{
			ID: "romm", Secret: secret, RedirectURIs: []string{callback}, ConsentMode: "implicit",
			Scopes:     []string{"openid", "profile", "email", "groups", "offline_access"},
			GrantTypes: []string{"authorization_code", "refresh_token"},
		}},
		Lifespans: authelia.Lifespans{RefreshToken: 30 * 24 * time.Hour},
	})
	c.romm = standin.New(standin.Options{SecretKey: strings.Repeat("k", 64), ContentSize: 4 << 10, OIDC: standin.OIDC{
		Enabled: true, Provider: "authelia", ClientID: "romm", ClientSecret: secret, RedirectURI: callback,
		ServerURL: "http://caddy:9080" + request.Base, ClaimRoles: "romm_roles", RoleAdmin: "admin", RoleViewer: "user",
		HTTPClient: &http.Client{Transport: inside{c}},
	}})
	for i := range c.nodes {
		c.restart(i)
	}
	return c
}

// at returns the process that is node i now.
func (c *cluster) at(i int) *node {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.nodes[i]
}

// start makes a new process node i.
func (c *cluster) start(i int) {
	n := newNode(c, i)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.nodes[i] = n
}

// restart replaces node i by a new process over the same storage. The former
// one takes no more requests, and answers those that it has.
func (c *cluster) restart(i int) {
	if former := c.at(i); former != nil {
		former.end()
	}
	c.start(i)
}
