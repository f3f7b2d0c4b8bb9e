// The harness: a site is a handler at https://romm.example.com with a fake
// application, a storage in memory and a chain. The other harnesses embed it.

package handler

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/romm-oidc/caddy-romm-oidc/flow"
	"github.com/romm-oidc/caddy-romm-oidc/flow/session"
	"github.com/romm-oidc/caddy-romm-oidc/handler/application"
	"github.com/romm-oidc/caddy-romm-oidc/handler/problem"
	"github.com/romm-oidc/caddy-romm-oidc/handler/request"
)

// The limits of package limit, as the documentation promises them.
const (
	attemptLimit  = 20
	attemptWindow = time.Minute
	addressesKept = 10_000
)

const (
	navigation = "Sec-Fetch-Mode=navigate Sec-Fetch-Dest=document"
	// oldNavigation is a navigation without Fetch Metadata.
	oldNavigation = "Accept=text/html,application/xhtml+xml,*/*;q=0.8 Upgrade-Insecure-Requests=1"
	// oldSafari is the same over https in WebKit.
	oldSafari = "Accept=text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
	fetch     = "Sec-Fetch-Mode=cors Sec-Fetch-Dest=empty Sec-Fetch-Site=same-origin"
)

var alice = flow.Identity{Issuer: "https://auth.example.com", Subject: "1", Username: "alice", Email: "alice@example.com", Name: "Alice", Groups: []string{"a", "b"}}

var bob = flow.Identity{Issuer: alice.Issuer, Subject: "2", Username: "bob", Email: "bob@example.com"}

// chainFunc is a chain that ends in a handler.
type chainFunc struct {
	serve   func(w http.ResponseWriter, r *http.Request) error
	trusted bool
	handles bool   // the site handles errors
	ip      string // of the client; empty: 192.0.2.1

	mu     sync.Mutex // several requests share the chain
	uri    string
	values func(placeholder string) (any, bool)
}

func (c *chainFunc) Serve(w http.ResponseWriter, r *http.Request) error            { return c.serve(w, r) }
func (c *chainFunc) Fresh(_ http.ResponseWriter, r, _ *http.Request) *http.Request { return r }
func (c *chainFunc) Unreachable(err error) bool                                    { return unreachable(err) }

func (c *chainFunc) HandlesErrors() bool     { return c.handles }
func (c *chainFunc) Keep() application.Chain { return c }
func (c *chainFunc) ClientIP() string        { return cmp.Or(c.ip, "192.0.2.1") }

func (c *chainFunc) Identify(values func(string) (any, bool)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.values = values
}

func (c *chainFunc) OriginalURI() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.uri
}

func (c *chainFunc) request(uri string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.uri = uri
}

func (c *chainFunc) TrustedProxy() bool { return c.trusted }

// user returns the name of the user that the server was told; empty: none.
func (c *chainFunc) user() string {
	if c.values == nil {
		return ""
	}
	name, _ := c.values("http.auth.user.id")
	return fmt.Sprint(name)
}

// site is a handler with the application, the storage and the chain around it.
type site struct {
	tb      testing.TB
	handler *Handler
	app     *fakeApplication
	storage *memory
	chain   *chainFunc
	seen    []*http.Request // requests that reached the application
}

// newSite returns a site. change may alter its configuration first.
func newSite(tb testing.TB, change func(*Config)) *site {
	tb.Helper()
	return newSiteWithCapacity(tb, 0, change)
}

// newSiteWithCapacity is newSite with room for that many sessions in memory. The
// gate scans all of it every two seconds.
func newSiteWithCapacity(tb testing.TB, capacity int, change func(*Config)) *site {
	tb.Helper()
	s := &site{tb: tb, app: &fakeApplication{alive: map[string]bool{}, status: http.StatusUnauthorized}, storage: &memory{values: map[string][]byte{}}}
	store := session.New(session.Options{Gate: "gate", Capacity: capacity, Logger: zap.NewNop()})
	store.Configure(s.storage, session.Limits{Idle: time.Hour, Lifetime: 24 * time.Hour})
	tb.Cleanup(store.Close)
	origin, err := request.OriginOf("https://romm.example.com")
	if err != nil {
		tb.Fatal(err)
	}
	state := NewGate(store)
	go state.Run(tb.Context())
	cfg := Config{
		Origin: origin, ProviderLabel: "Authelia", Application: s.app, Gate: state,
		RelyingParty: flow.New(flow.Config{
			Issuer: "https://auth.example.com", ClientID: "romm", ClientSecret: "s", RedirectURI: "https://romm.example.com/api/oauth/openid",
			Scopes: []string{"openid"}, Client: &http.Client{Transport: providerDown{}}, Keyring: store.Keyring,
		}),
		Lifetime: 24 * time.Hour, Unproven: 24 * time.Hour, Logger: zap.NewNop(),
	}
	if change != nil {
		change(&cfg)
	}
	s.handler = New(cfg)
	var mu sync.Mutex
	s.chain = &chainFunc{serve: func(w http.ResponseWriter, r *http.Request) error {
		mu.Lock()
		s.seen = append(s.seen, r)
		mu.Unlock()
		w.Header().Set("X-Private", "secret")
		_, err := w.Write([]byte("upstream"))
		return err
	}}
	return s
}

// unreachable reports whether err is not one of the gate's own.
func unreachable(err error) bool {
	_, own := errors.AsType[*problem.Problem](err)
	return err != nil && !own
}

// providerDown is the transport to a provider that is down.
type providerDown struct{}

func (providerDown) RoundTrip(*http.Request) (*http.Response, error) {
	return nil, errors.New("provider down")
}

// ticket signs a user in without the provider and returns their cookie.
func (s *site) ticket(tb testing.TB, identity flow.Identity) string {
	tb.Helper()
	s.app.mu.Lock()
	s.app.alive["app-0"] = true
	s.app.mu.Unlock()
	ticket, _, err := s.handler.config.Gate.Sessions.Create(tb.Context(), session.Record{
		Identity: identity, Upstream: session.Upstream{ID: "app-0"}, Created: time.Now(),
	})
	if err != nil {
		tb.Fatal(err)
	}
	return "__Host-romm_oidc=" + ticket
}

// do sends a request to the gate. The target may start with a method, as in
// "POST /api/x". The response has the status 0 if the end of the session cut it off.
func (s *site) do(tb testing.TB, target string, fields ...string) *httptest.ResponseRecorder {
	tb.Helper()
	method, path, ok := strings.Cut(target, " ")
	if !ok {
		method, path = http.MethodGet, target
	}
	r := httptest.NewRequest(method, "https://romm.example.com"+path, nil)
	r.RequestURI = path
	r.Host = "romm.example.com"
	r.TLS.HandshakeComplete = true
	for i := 0; i < len(fields); i += 2 {
		if fields[i] == "Host" {
			r.Host = fields[i+1]
			continue
		}
		r.Header.Add(fields[i], fields[i+1])
	}
	s.chain.request(path)
	w := httptest.NewRecorder()
	defer func() {
		switch cause := recover(); cause {
		case nil:
		case http.ErrAbortHandler: // the server closes the connection
			w.Code = 0
		default:
			panic(cause)
		}
	}()
	if err := s.handler.ServeHTTP(w, r, s.chain); err != nil {
		tb.Fatalf("%s: ServeHTTP returned %v, want nil", target, err)
	}
	return w
}

// endedInApplication waits until the gate signed n sessions out of the application.
func (s *site) endedInApplication(tb testing.TB, n int) []string {
	tb.Helper()
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(time.Millisecond) {
		s.app.mu.Lock()
		ended := slices.Clone(s.app.ended)
		s.app.mu.Unlock()
		if len(ended) >= n || time.Now().After(deadline) {
			return ended
		}
	}
}

// fields splits "A=1 B=2" for site.do.
func fields(s string) []string {
	var list []string
	for pair := range strings.FieldsSeq(s) {
		name, value, _ := strings.Cut(pair, "=")
		list = append(list, name, value)
	}
	return list
}
