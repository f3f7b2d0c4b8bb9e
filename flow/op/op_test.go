package op

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/flow/keyring"
)

const testGate = "gate"

var testConfig = Config{
	ClientID:     "romm",
	ClientSecret: "s3cret+with%20signs",
	RedirectURI:  "https://romm.example.com/api/oauth/openid",
}

var testClaims = Claims{
	Subject:  "f0919359-9d15-4e15-bcba-83b41620a073",
	Username: "ada",
	Email:    "Ada@example.com",
	Name:     "Ada Lovelace",
	Roles:    []string{"admin"},
	AuthTime: 1_700_000_000,
}

// memory is a storage in memory with a lock that locks.
type memory struct {
	mu     sync.Mutex
	values map[string][]byte
	locks  map[string]chan struct{}
	loads  int
	// before, if set, runs before each Load, outside mu.
	before func() error
}

func newMemory() *memory {
	return &memory{values: map[string][]byte{}, locks: map[string]chan struct{}{}}
}

func (m *memory) Lock(ctx context.Context, name string) error {
	m.mu.Lock()
	lock, ok := m.locks[name]
	if !ok {
		lock = make(chan struct{}, 1)
		m.locks[name] = lock
	}
	m.mu.Unlock()
	select {
	case lock <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (m *memory) Unlock(_ context.Context, name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	<-m.locks[name]
	return nil
}

func (m *memory) Store(_ context.Context, key string, value []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.values[key] = slices.Clone(value)
	return nil
}

func (m *memory) Load(_ context.Context, key string) ([]byte, error) {
	m.mu.Lock()
	before := m.before
	m.loads++
	m.mu.Unlock()
	if before != nil {
		if err := before(); err != nil {
			return nil, err
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	value, ok := m.values[key]
	if !ok {
		return nil, fs.ErrNotExist
	}
	return slices.Clone(value), nil
}

func (m *memory) Delete(_ context.Context, key string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.values, key)
	return nil
}

func (m *memory) List(context.Context, string, bool) ([]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Collect(maps.Keys(m.values)), nil
}

// hook sets what runs before each Load.
func (m *memory) hook(before func() error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.before = before
}

// clock is a clock that moves when it is told to.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// node is one process: a state over a storage that others may share.
func node(gate string, storage keyring.Storage, now func() time.Time) *Keys {
	return NewKeys(gate, func(ctx context.Context) (*keyring.Keyring, error) {
		return keyring.Load(ctx, storage, gate, now())
	}, func() keyring.Storage { return storage }, now)
}

// keysOnce is a storage after a gate's first start: RSA keys take their time.
var keysOnce = sync.OnceValues(func() (map[string][]byte, error) {
	storage := newMemory()
	err := New(node(testGate, storage, newClock().Now), testConfig).Prepare(context.Background())
	return storage.values, err
})

// prepared is a provider with its keys in memory.
func prepared(t *testing.T, config Config) (*Provider, *clock) {
	t.Helper()
	values, err := keysOnce()
	if err != nil {
		t.Fatal(err)
	}
	storage, clock := newMemory(), newClock()
	storage.values = maps.Clone(values)
	provider := New(node(testGate, storage, clock.Now), config)
	if err := provider.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	return provider, clock
}

// serve puts the provider at a real server, under the paths that it has at a gate.
func serve(t *testing.T, provider *Provider) *httptest.Server {
	t.Helper()
	server := httptest.NewServer(routes(provider))
	t.Cleanup(server.Close)
	return server
}

func routes(provider *Provider) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc(IssuerPath+MetadataPath, provider.ServeMetadata)
	mux.HandleFunc(IssuerPath+TokenPath, provider.ServeToken)
	mux.HandleFunc(IssuerPath+JWKSPath, provider.ServeJWKS)
	return mux
}

func code(t *testing.T, provider *Provider, claims Claims) string {
	t.Helper()
	code, err := provider.Code(t.Context(), claims, "the-nonce")
	if err != nil {
		t.Fatal(err)
	}
	return code
}

// tokenForm is the body that RomM sends.
func tokenForm(code string) url.Values {
	return url.Values{
		"grant_type":   {"authorization_code"},
		"code":         {code},
		"redirect_uri": {testConfig.RedirectURI},
	}
}

// tokenRequest is the request that RomM sends.
func tokenRequest(form url.Values) *http.Request {
	request := httptest.NewRequest(http.MethodPost, "http://caddy:9080"+IssuerPath+TokenPath, strings.NewReader(form.Encode()))
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded;charset=UTF-8")
	request.Header.Set("Accept", "application/json")
	request.Header.Set("User-Agent", "Authlib/1.6.12 (+https://authlib.org)")
	request.Header.Set("Authorization", basic(testConfig.ClientID, testConfig.ClientSecret))
	return request
}

// basic is the header as Authlib writes it: nothing is form-urlencoded.
func basic(id, secret string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(id+":"+secret))
}

func post(provider *Provider, request *http.Request) *httptest.ResponseRecorder {
	recorder := httptest.NewRecorder()
	provider.ServeToken(recorder, request)
	return recorder
}

// redeem redeems a code and returns the token response.
func redeem(t *testing.T, provider *Provider, code string) map[string]any {
	t.Helper()
	recorder := post(provider, tokenRequest(tokenForm(code)))
	if recorder.Code != http.StatusOK {
		t.Fatalf("status %d: %s", recorder.Code, recorder.Body)
	}
	return object(t, recorder.Body.Bytes())
}

func object(t *testing.T, document []byte) map[string]any {
	t.Helper()
	var value map[string]any
	if err := json.Unmarshal(document, &value); err != nil {
		t.Fatalf("%v in %q", err, document)
	}
	return value
}

// part decodes one part of a compact JWS without looking at its signature.
func part(t *testing.T, token any, index int) map[string]any {
	t.Helper()
	parts := strings.Split(fmt.Sprint(token), ".")
	if len(parts) != 3 {
		t.Fatalf("not a compact JWS: %v", token)
	}
	raw, err := base64.RawURLEncoding.DecodeString(parts[index])
	if err != nil {
		t.Fatal(err)
	}
	return object(t, raw)
}

// events collects what Config.Report hears.
type events struct {
	mu   sync.Mutex
	list []string
}

func (e *events) report(event string, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if err != nil {
		event += ": " + err.Error()
	}
	e.list = append(e.list, event)
}

func (e *events) all() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.list)
}

// until waits for something that happens in another goroutine.
func until(t *testing.T, what string, done func() bool) {
	t.Helper()
	deadline := time.After(10 * time.Second)
	for !done() {
		select {
		case <-deadline:
			t.Fatalf("never: %s", what)
		case <-time.After(time.Millisecond):
		}
	}
}

var errStorage = errors.New("storage is away")
