package authlib

import (
	"context"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/flow/keyring"
	"github.com/romm-oidc/caddy-romm-oidc/flow/op"
)

const (
	gate       = "gate"
	issuerPath = "/api/oauth/openid"
)

// gateway is our side of a brokered login: the provider at a server, and the
// steps that the gate takes.
type gateway struct {
	config  op.Config
	keyring *keyring.Keyring
	offset  atomic.Int64 // of the clock, in nanoseconds

	mu       sync.Mutex
	provider *op.Provider
	seen     []string // method and path of each request
}

func newGateway(t *testing.T, config op.Config) *gateway {
	t.Helper()
	keyring, err := keyring.New(gate, make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	g := &gateway{config: config, keyring: keyring}
	g.use(newMemory())
	g.code(t, claims, "n") // waits until the keys are in memory
	return g
}

// use puts another state behind the same address, as a restart with another
// storage would.
func (g *gateway) use(storage keyring.Storage) {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := func() time.Time { return time.Now().Add(time.Duration(g.offset.Load())) }
	keys := op.NewKeys(gate, func(context.Context) (*keyring.Keyring, error) { return g.keyring, nil },
		func() keyring.Storage { return storage }, now)
	g.provider = op.New(keys, op.NewCodes(now), g.config)
}

func (g *gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	g.mu.Lock()
	provider := g.provider
	g.seen = append(g.seen, r.Method+" "+r.URL.Path)
	g.mu.Unlock()
	switch r.URL.Path {
	case issuerPath + op.MetadataPath:
		provider.ServeMetadata(w, r)
	case issuerPath + op.TokenPath:
		provider.ServeToken(w, r)
	case issuerPath + op.JWKSPath:
		provider.ServeJWKS(w, r)
	default:
		http.NotFound(w, r)
	}
}

// requests returns what arrived since it was last asked.
func (g *gateway) requests() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	seen := g.seen
	g.seen = nil
	return seen
}

// login is a login that RomM has begun: its state and nonce, and its cookie.
type login struct {
	location *url.URL
	cookie   *http.Cookie
}

// follow asks for one URL and follows nothing.
func follow(t *testing.T, address string, cookie *http.Cookie) (status int, header http.Header, body string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	if cookie != nil {
		request.AddCookie(cookie)
	}
	response, err := http.DefaultTransport.RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	content, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, response.Header, string(content)
}

// begin is the first brokered call: without cookies, its redirect only read.
func begin(t *testing.T, romm string) login {
	t.Helper()
	status, header, body := follow(t, romm+"/api/login/openid", nil)
	if status != http.StatusFound {
		t.Fatalf("login: %d %s", status, body)
	}
	location, err := url.Parse(header.Get("Location"))
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range header.Values("Set-Cookie") {
		cookie, err := http.ParseSetCookie(line)
		if err == nil && cookie.Name == "romm_session" {
			return login{location, &http.Cookie{Name: cookie.Name, Value: cookie.Value}}
		}
	}
	t.Fatalf("no session: %v", header)
	return login{}
}

// finish is the second brokered call.
func (l login) finish(t *testing.T, romm, code string) (int, string) {
	t.Helper()
	query := url.Values{"code": {code}, "state": {l.location.Query().Get("state")}}
	status, _, body := follow(t, romm+"/api/oauth/openid?"+query.Encode(), l.cookie)
	return status, body
}

// outcome fails the test unless this is what happened to code at the token endpoint.
func (g *gateway) outcome(t *testing.T, code string, requested bool, reason string) {
	t.Helper()
	g.mu.Lock()
	provider := g.provider
	g.mu.Unlock()
	if gotRequested, gotReason := provider.Outcome(code); gotRequested != requested || gotReason != reason {
		t.Errorf("outcome of the code = %v, %q, want %v, %q", gotRequested, gotReason, requested, reason)
	}
}

// code makes a code for a login, as the gate does once a user has signed in.
func (g *gateway) code(t *testing.T, claims op.Claims, nonce string) string {
	t.Helper()
	code, err := g.provider.Code(t.Context(), claims, nonce)
	if err != nil {
		t.Fatal(err)
	}
	return code
}

// memory is a storage in memory, for one process.
type memory struct {
	mu     sync.Mutex
	lock   sync.Mutex
	values map[string][]byte
}

func newMemory() *memory { return &memory{values: map[string][]byte{}} }

func (m *memory) Lock(context.Context, string) error   { m.lock.Lock(); return nil }
func (m *memory) Unlock(context.Context, string) error { m.lock.Unlock(); return nil }

func (m *memory) Store(_ context.Context, key string, value []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.values[key] = value
	return nil
}

func (m *memory) Load(_ context.Context, key string) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if value, ok := m.values[key]; ok {
		return value, nil
	}
	return nil, fs.ErrNotExist
}

func (m *memory) Delete(_ context.Context, key string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.values, key)
	return nil
}

func (m *memory) List(context.Context, string, bool) ([]string, error) { return nil, nil }

// hanging is a storage that answers only when the request gives up.
type hanging struct{ *memory }

func (hanging) Load(ctx context.Context, _ string) ([]byte, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func serve(t *testing.T, g *gateway) *httptest.Server {
	t.Helper()
	server := httptest.NewServer(g)
	t.Cleanup(server.Close)
	return server
}
