// Three gates that share a storage, and browsers that visit them.

package accounts

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/romm-oidc/caddy-romm-oidc/flow"
	"github.com/romm-oidc/caddy-romm-oidc/flow/keyring"
	"github.com/romm-oidc/caddy-romm-oidc/flow/keyring/keyringtest"
	"github.com/romm-oidc/caddy-romm-oidc/flow/op"
	"github.com/romm-oidc/caddy-romm-oidc/flow/session"
	"github.com/romm-oidc/caddy-romm-oidc/handler"
	"github.com/romm-oidc/caddy-romm-oidc/handler/application"
	"github.com/romm-oidc/caddy-romm-oidc/handler/request"
	"github.com/romm-oidc/caddy-romm-oidc/handler/romm"
	"github.com/romm-oidc/caddy-romm-oidc/tests/authelia"
	standin "github.com/romm-oidc/caddy-romm-oidc/tests/romm"
)

const (
	public   = "https://romm.example.com"
	callback = public + request.Base
	secret   = "insecure_secret"
	recheck  = 5 * time.Minute
)

// cluster is three nodes in front of one RomM.
type cluster struct {
	*testing.T
	authelia *authelia.Server
	romm     *standin.Server
	storage  *keyringtest.Storage
	nodes    [3]*node
}

// node is one Caddy: a gate, without the server around it.
type node struct {
	cluster *cluster
	handler *handler.Handler
	stop    context.CancelFunc
	store   *session.Store
}

func newCluster(t *testing.T, users []authelia.User) *cluster {
	t.Helper()
	c := &cluster{T: t, storage: keyringtest.New()}
	c.authelia = authelia.New(authelia.Options{
		Issuer: "https://auth.example.com", CookieDomain: "example.com", NoRateLimit: true, Users: users, RefreshInterval: -1,
		Clients: []authelia.Client{{
			ID: "romm", Secret: secret, RedirectURIs: []string{callback}, ConsentMode: "implicit",
			Scopes:     []string{"openid", "profile", "email", "groups", "offline_access"},
			GrantTypes: []string{"authorization_code", "refresh_token"},
		}},
		Lifespans: authelia.Lifespans{RefreshToken: 30 * 24 * time.Hour},
	})
	c.romm = standin.New(standin.Options{SecretKey: strings.Repeat("k", 64), OIDC: standin.OIDC{
		Enabled: true, Provider: "authelia", ClientID: "romm", ClientSecret: secret, RedirectURI: callback,
		ServerURL: "http://caddy:9080" + request.Base, ClaimRoles: "romm_roles", RoleAdmin: "admin", RoleViewer: "user",
		HTTPClient: &http.Client{Transport: inside{c}},
	}})
	for i := range c.nodes {
		c.restart(i)
	}
	return c
}

// restart replaces node i by a new process over the same storage.
func (c *cluster) restart(i int) {
	if c.nodes[i] != nil {
		c.nodes[i].end()
	}
	const gate = "0123456789abcdef"
	storage := func() keyring.Storage { return c.storage }
	n := &node{cluster: c, store: session.New(session.Options{Gate: gate, Node: string(rune('a' + i)), Capacity: 64})}
	n.store.Configure(c.storage, session.Limits{Idle: 14 * 24 * time.Hour, Lifetime: 30 * 24 * time.Hour, Rotate: 90 * 24 * time.Hour})
	keys := op.NewKeys(gate, n.store.Keyring, storage, time.Now)
	state := handler.NewGate(n.store)
	origin, err := request.OriginOf(callback)
	if err != nil {
		c.Fatal(err)
	}
	n.handler = handler.New(handler.Config{
		Origin: origin, ProviderLabel: "Authelia", Gate: state, Logger: zap.NewNop(),
		Lifetime: 30 * 24 * time.Hour, Recheck: recheck, Unproven: 24 * time.Hour,
		RelyingParty: flow.New(flow.Config{
			Issuer: "https://auth.example.com", ClientID: "romm", ClientSecret: secret, RedirectURI: callback,
			Scopes:        []string{"openid", "profile", "email", "groups", "offline_access"},
			UsernameClaim: "preferred_username", GroupsClaim: "groups",
			Client: &http.Client{Transport: c.authelia.Transport(), Timeout: 30 * time.Second}, Keyring: n.store.Keyring,
		}),
		Application: romm.New(romm.Config{
			Provider: op.New(keys, op.NewCodes(time.Now), op.Config{
				IssuerPath: request.Base, ClientID: "romm", ClientSecret: secret, RedirectURI: callback, Algorithm: op.ES256,
			}),
			ClientID: "romm", RedirectURI: callback, Roles: &romm.Roles{Admin: []string{"admins"}, User: []string{"*"}},
			Links: romm.NewLinks(gate, storage), Release: romm.NewReleaseCache(),
		}),
	})
	var ctx context.Context
	ctx, n.stop = context.WithCancel(context.Background())
	go n.store.Run(ctx)
	go state.Run(ctx)
	c.nodes[i] = n
}

func (n *node) end() {
	n.stop()
	n.store.Close()
}

// serve answers r as the node's Caddy would.
func (n *node) serve(r *http.Request) (answer *http.Response) {
	w := httptest.NewRecorder()
	defer func() {
		if recover() != nil { // as the server closes the connection then
			answer = &http.Response{StatusCode: http.StatusBadGateway, Body: http.NoBody}
		}
	}()
	if err := n.handler.ServeHTTP(w, r, &chain{node: n, uri: r.URL.RequestURI()}); err != nil && w.Code == http.StatusOK && w.Body.Len() == 0 {
		w.Code = http.StatusBadGateway // as Caddy answers an error of reverse_proxy
	}
	return w.Result()
}

// errRefused is what a reverse_proxy returns for a RomM that is down.
var errRefused = errors.New("dial tcp: connection refused")

// chain is Caddy's chain behind the gate: a reverse_proxy to RomM.
type chain struct {
	application.Chain // what these tests do not use panics
	node              *node
	uri               string
}

// Serve implements application.Chain. A RomM that is down is an error of reverse_proxy.
func (c *chain) Serve(w http.ResponseWriter, r *http.Request) (err error) {
	defer func() {
		if recover() != nil {
			err = errRefused
		}
	}()
	c.node.cluster.romm.ServeHTTP(w, r)
	return nil
}

// Unreachable implements application.Chain.
func (c *chain) Unreachable(err error) bool { return errors.Is(err, errRefused) }

// HandlesErrors implements application.Chain.
func (c *chain) HandlesErrors() bool { return false }

// Fresh implements application.Chain.
func (c *chain) Fresh(_ http.ResponseWriter, r, _ *http.Request) *http.Request { return r }

// Keep implements application.Chain.
func (c *chain) Keep() application.Chain { return c }

// Identify implements application.Chain.
func (c *chain) Identify(*flow.Identity) {}

// OriginalURI implements application.Chain.
func (c *chain) OriginalURI() string { return c.uri }

// ClientIP implements application.Chain.
func (c *chain) ClientIP() string { return "192.0.2.7" }

// TrustedProxy implements application.Chain.
func (c *chain) TrustedProxy() bool { return false }

// inside is RomM's way to the gate: any node answers.
type inside struct{ *cluster }

// RoundTrip implements http.RoundTripper.
func (c inside) RoundTrip(r *http.Request) (*http.Response, error) {
	in := httptest.NewRequest(r.Method, r.URL.RequestURI(), r.Body)
	in.Header, in.Host = r.Header.Clone(), r.URL.Host
	in.TLS = nil
	answer := c.nodes[len(r.URL.Path)%len(c.nodes)].serve(in)
	answer.Request = r
	return answer, nil
}

// browser is a browser with cookies of its own, at the site and at the portal.
type browser struct {
	cluster *cluster
	jar     http.CookieJar
	portal  *http.Client
	user    string // who signed in last
}

func (c *cluster) browser() *browser {
	jar, _ := cookiejar.New(nil) // never fails without options
	portal, _ := cookiejar.New(nil)
	return &browser{cluster: c, jar: jar, portal: &http.Client{Transport: c.authelia.Transport(), Jar: portal}}
}

// send sends a request to node i; fields are name, value, ...
func (b *browser) send(i int, method, target, body string, fields ...string) (*http.Response, string) {
	u, err := url.Parse(public + target)
	if err != nil {
		b.cluster.Fatal(err)
	}
	var content io.Reader
	if body != "" {
		content = strings.NewReader(body)
	}
	r := httptest.NewRequest(method, public+target, content)
	r.TLS.HandshakeComplete = true
	for j := 0; j < len(fields); j += 2 {
		r.Header.Set(fields[j], fields[j+1])
	}
	for _, cookie := range b.jar.Cookies(u) {
		r.AddCookie(cookie)
	}
	answer := b.cluster.nodes[i].serve(r)
	b.jar.SetCookies(u, answer.Cookies())
	text, _ := io.ReadAll(answer.Body)
	return answer, string(text)
}

var navigation = []string{"Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document", "Sec-Fetch-Site", "none", "Sec-Fetch-User", "?1", "Accept", "text/html"}

// signIn signs user in at node i and returns the status of the callback.
func (b *browser) signIn(i int, user string) (int, string) {
	answer, text := b.send(i, http.MethodGet, request.Base+"/login", "", navigation...)
	if answer.StatusCode != http.StatusFound {
		return answer.StatusCode, text
	}
	location, err := b.cluster.authelia.SignIn(b.portal, answer.Header.Get("Location"), user, user+"-password")
	if err != nil {
		return 0, err.Error()
	}
	u, err := url.Parse(location)
	if err != nil {
		b.cluster.Fatal(err)
	}
	answer, text = b.send(i, http.MethodGet, u.RequestURI(), "", navigation...)
	b.user = user
	return answer.StatusCode, text
}

// account is what RomM says of an account.
type account struct {
	ID       int    `json:"id"`
	Username string `json:"username"`
	Role     string `json:"role"`
}

// whoIs returns whom RomM takes the browser for, false if for nobody.
func (b *browser) whoIs(i int) (account, bool) {
	answer, text := b.send(i, http.MethodGet, "/api/users/me", "", script...)
	var me account
	return me, answer.StatusCode == http.StatusOK && json.Unmarshal([]byte(text), &me) == nil
}

var script = []string{"Sec-Fetch-Mode", "cors", "Sec-Fetch-Dest", "empty", "Sec-Fetch-Site", "same-origin"}

// write sends a request of RomM's own page that changes something.
func (b *browser) write(i int, method, target, body string) int {
	b.send(i, http.MethodGet, "/api/heartbeat", "", script...)
	u, _ := url.Parse(public)
	fields := append([]string{"Origin", public, "Content-Type", "application/x-www-form-urlencoded"}, script...)
	for _, cookie := range b.jar.Cookies(u) {
		if cookie.Name == "romm_csrftoken" {
			fields = append(fields, "X-Csrftoken", cookie.Value)
		}
	}
	answer, _ := b.send(i, method, target, body, fields...)
	return answer.StatusCode
}
