// One node: a gate, without the server around it.

package nodes

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/romm-oidc/caddy-romm-oidc/flow"
	"github.com/romm-oidc/caddy-romm-oidc/flow/keyring"
	"github.com/romm-oidc/caddy-romm-oidc/flow/monotonic"
	"github.com/romm-oidc/caddy-romm-oidc/flow/op"
	"github.com/romm-oidc/caddy-romm-oidc/flow/session"
	"github.com/romm-oidc/caddy-romm-oidc/handler"
	"github.com/romm-oidc/caddy-romm-oidc/handler/limit"
	"github.com/romm-oidc/caddy-romm-oidc/handler/request"
	"github.com/romm-oidc/caddy-romm-oidc/handler/romm"
)

// node is one process.
type node struct {
	cluster *cluster
	clock   *monotonic.Clock
	handler atomic.Pointer[handler.Handler]
	stop    context.CancelFunc
	store   *session.Store
	gate    *handler.Gate
	keys    *op.Keys
	codes   *op.Codes
	links   *romm.Links
	release *romm.ReleaseCache
	disk    *disk
	ahead   *atomic.Int64 // of its machine's wall clock, in seconds
	dead    atomic.Bool
	closing atomic.Bool
	active  atomic.Int64 // requests in progress
}

func newNode(c *cluster, i int) *node {
	n := &node{cluster: c, release: romm.NewReleaseCache(), ahead: &c.ahead[i]}
	n.disk = &disk{Storage: c.storage, node: n, held: map[string]bool{}}
	n.clock = monotonic.NewClock(n.now)
	n.store = session.New(session.Options{Gate: gateID, Node: string(rune('a' + i)), Capacity: 64, Now: n.clock.Now, Logger: c.logger})
	n.gate = handler.NewGate(n.store)
	n.keys = op.NewKeys(gateID, n.store.BackgroundKeyring, n.store.Storage, n.now)
	n.keys.AwaitRepair = n.store.AwaitRepair
	n.store.OnDoubt(n.keys.Doubt)
	n.store.Every(op.MaintainEvery, "maintain the signing keys", n.keys.Maintain)
	n.codes = op.NewCodes(n.now)
	n.links = romm.NewLinks(gateID, n.store.Storage)
	n.configure()
	var ctx context.Context
	ctx, n.stop = context.WithCancel(context.Background())
	go n.store.Run(ctx)
	go n.gate.Run(ctx)
	n.gate.ShareFailures(ctx, limit.Share{Gate: gateID, Storage: n.store.Storage})
	return n
}

// started is a time with a monotonic reading, which times in a synctest bubble
// do not have.
var started = time.Now()

// now is the time by the node's machine: its wall clock may be wrong, its
// monotonic reading is not.
func (n *node) now() time.Time {
	wall := time.Now()
	now := started.Add(wall.Sub(n.cluster.begun))
	ahead := wall.Unix() - now.Unix() + n.ahead.Load()
	*(*uint64)(unsafe.Pointer(&now)) += uint64(ahead) << 30 // the wall clock's part of time.Time
	return now
}

// configure makes a new configuration take the place of the former.
func (n *node) configure() {
	c := n.cluster
	n.store.Configure(n.disk, session.Limits{Idle: 14 * 24 * time.Hour, Lifetime: 30 * 24 * time.Hour, Rotate: 90 * 24 * time.Hour})
	origin, err := request.OriginOf(callback)
	if err != nil {
		c.Fatal(err)
	}
	n.handler.Store(handler.New(handler.Config{
		Origin: origin, ProviderLabel: "Authelia", Gate: n.gate, Logger: c.logger, Now: n.clock.Now, Paused: n.clock.Paused,
		Lifetime: 30 * 24 * time.Hour, Recheck: recheck, Unproven: 24 * time.Hour,
		RelyingParty: flow.New(flow.Config{
			Issuer: "https://auth.example.com", ClientID: "romm", ClientSecret: secret, RedirectURI: callback,
			Scopes:        []string{"openid", "profile", "email", "groups", "offline_access"},
			UsernameClaim: "preferred_username", GroupsClaim: "groups", Now: n.clock.Now, Compare: n.clock.Compare,
			Client: &http.Client{Transport: outside{n, c.authelia.Transport()}, Timeout: 30 * time.Second}, Keyring: n.store.Keyring,
		}),
		Application: romm.New(romm.Config{
			Provider: op.New(n.keys, n.codes, op.Config{
				IssuerPath: request.Base, ClientID: "romm", ClientSecret: secret, RedirectURI: callback, Algorithm: op.ES256,
			}),
			ClientID: "romm", RedirectURI: callback, Roles: &romm.Roles{Admin: []string{"admins"}, User: []string{"*"}},
			Links: n.links, Release: n.release, Now: n.now, Logger: c.logger,
		}),
	}))
}

// end shuts the process down.
func (n *node) end() {
	n.closing.Store(true)
	for range 100 { // as Caddy does in its grace period
		if n.active.Load() == 0 {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	n.stop()
	n.store.Close()
	n.dead.Store(true)
	n.leave()
}

// leave frees the locks that the process had when their time is up.
func (n *node) leave() {
	n.cluster.leaving.Go(func() {
		time.Sleep(lease)
		n.disk.release()
	})
}

// kill ends the process at once. Its locks end when their time is up.
func (n *node) kill() {
	n.dead.Store(true)
	n.stop()
	go n.store.Close()
	n.leave()
}

// serve answers r as the node's Caddy would. A status of 0 is a connection that
// breaks, or is refused.
func (n *node) serve(r *http.Request) (answer *http.Response) {
	none := &http.Response{Body: http.NoBody, Header: http.Header{}}
	if n.dead.Load() || n.closing.Load() {
		return none
	}
	n.active.Add(1)
	defer n.active.Add(-1)
	w := httptest.NewRecorder()
	defer func() {
		if recover() != nil || n.dead.Load() {
			answer = none
		}
	}()
	err := n.handler.Load().ServeHTTP(w, r, &chain{node: n, uri: r.URL.RequestURI()})
	if err != nil && w.Code == http.StatusOK && w.Body.Len() == 0 {
		w.Code = http.StatusBadGateway // as Caddy answers an error of reverse_proxy
	}
	return w.Result()
}

// outside is the node's way to the provider.
type outside struct {
	node *node
	base http.RoundTripper
}

// waitFor waits for that many nanoseconds. It starts no timer that has fired already:
// under the race detector, Go 1.26 crashes if two goroutines of a bubble receive from
// such timers at once.
func waitFor(ctx context.Context, nanoseconds int64) error {
	if nanoseconds <= 0 {
		return ctx.Err()
	}
	select {
	case <-time.After(time.Duration(nanoseconds)):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// RoundTrip implements http.RoundTripper.
func (o outside) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := waitFor(r.Context(), o.node.cluster.providerDelay.Load()); err != nil {
		return nil, err
	}
	if o.node.dead.Load() {
		return nil, io.ErrUnexpectedEOF
	}
	answer, err := o.base.RoundTrip(r)
	if o.node.dead.Load() {
		return nil, io.ErrUnexpectedEOF
	}
	if err == nil {
		answer.Header.Set("Date", time.Now().UTC().Format(http.TimeFormat)) // as its server adds it
	}
	return answer, err //nolint:wrapcheck // as the transport says it
}

var _ keyring.Storage = (*disk)(nil)
