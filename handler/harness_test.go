package handler

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
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

// memory is a storage in memory.
type memory struct {
	mu     sync.Mutex
	values map[string][]byte
	locks  map[string]chan struct{}
	err    error // what every call answers, if set
}

func (m *memory) Lock(ctx context.Context, name string) error {
	m.mu.Lock()
	if m.locks == nil {
		m.locks = make(map[string]chan struct{})
	}
	if m.locks[name] == nil {
		m.locks[name] = make(chan struct{}, 1)
	}
	lock, err := m.locks[name], m.err
	m.mu.Unlock()
	if err != nil {
		return err
	}
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
	return m.err
}

func (m *memory) Store(_ context.Context, key string, value []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err == nil {
		m.values[key] = value
	}
	return m.err
}

func (m *memory) Load(_ context.Context, key string) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	value, ok := m.values[key]
	if m.err == nil && !ok {
		return nil, fs.ErrNotExist
	}
	return value, m.err
}

func (m *memory) Delete(_ context.Context, key string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.values, key)
	return m.err
}

func (m *memory) List(_ context.Context, path string, _ bool) ([]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var keys []string
	for key := range m.values {
		if strings.HasPrefix(key, path+"/") {
			keys = append(keys, key)
		}
	}
	return keys, m.err
}

// fail makes every call answer err.
func (m *memory) fail(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.err = err
}

// fakeApplication is an application that knows a few paths.
type fakeApplication struct {
	mu      sync.Mutex
	signIns int
	as      flow.Identity // whom the last SignIn was for
	during  func(n int)   // called by the nth SignIn before it is done; nil: nothing happens then
	err     error         // of SignIn
	alive   map[string]bool
	failed  int
	ended   []string
	gone    []string // user names
	status  int

	answered []string // "path status session"; nil: nobody wants to know

	credentials map[string]application.Recognition
	asked       int           // about credentials
	patience    time.Duration // how long the last one may take
	confirms    int           // questions whether a session lives
	hold        chan struct{} // what a question about one waits for; nil: nothing
}

func (a *fakeApplication) Access(r *http.Request, path string, plain bool) application.Access {
	switch {
	case path == "/signin":
		return application.SignIn
	case path == "/signout":
		return application.SignOut
	case path == "/open" && plain:
		return application.Open
	case path == "/token" && plain && r.Header.Get("Authorization") != "":
		return application.Credential
	case (path == "/bearer" || path == "/guarded") && plain && r.Header.Get("Authorization") != "":
		return application.Bearer
	case path == "/exchange" && plain:
		return application.Exchange
	}
	return application.Protected
}
func (a *fakeApplication) Document(path string) bool { return !request.Under(path, "/api") }
func (a *fakeApplication) Socket(path string) bool   { return request.Under(path, "/ws") }
func (a *fakeApplication) SignInTarget(r *http.Request, _ string, _ request.Origin) string {
	return r.URL.Query().Get("next")
}

func (a *fakeApplication) SignOutAnswer(url string) any { return map[string]string{"next": url} }

func (a *fakeApplication) DeniedStatus(context.Context, application.Caller) int { return a.status }

func (a *fakeApplication) Recognize(ctx context.Context, _ application.Caller, authorization string) (application.Recognition, error) {
	if a.hold != nil {
		<-a.hold
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.asked++
	deadline, _ := ctx.Deadline()
	a.patience = time.Until(deadline)
	if a.err != nil {
		return application.Undecided, a.err
	}
	return a.credentials[authorization], nil
}

func (a *fakeApplication) Unforgeable(r *http.Request) { r.Header.Set("X-Unforgeable", "yes") }

func (a *fakeApplication) SessionCookie() string { return "app_session" }

func (a *fakeApplication) BrowserCookies() []string { return []string{"app_csrf"} }

func (a *fakeApplication) ServeProvider(http.ResponseWriter, *http.Request, string) bool {
	return false
}

func (a *fakeApplication) SignIn(_ context.Context, _ application.Caller, identity flow.Identity) (string, error) {
	a.mu.Lock()
	a.signIns++
	n, during := a.signIns, a.during
	a.mu.Unlock()
	if during != nil {
		during(n)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.as = identity
	if a.err != nil {
		return "", a.err
	}
	name := "app-" + strings.Repeat("i", n)
	a.alive[name] = true
	return name, nil
}

func (a *fakeApplication) Confirm(_ context.Context, _ application.Caller, session string) (bool, error) {
	a.mu.Lock()
	a.confirms++
	a.mu.Unlock()
	return a.lives(session), nil
}

func (a *fakeApplication) SignOut(_ context.Context, _ application.Caller, session string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.ended = append(a.ended, session)
	delete(a.alive, session)
	return nil
}

func (a *fakeApplication) Shut(_ context.Context, identity flow.Identity) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.gone = append(a.gone, identity.Username)
	return nil
}

func (a *fakeApplication) Guard(_ context.Context, _ application.Caller, _ *http.Request, path string, _ flow.Identity, _ string) error {
	if path == "/guarded" {
		return problem.NotAllowed
	}
	return nil
}

func (a *fakeApplication) Filter(header http.Header, _ bool) application.Liveness {
	header.Del("X-Private")
	switch header.Get("X-Session") {
	case "alive":
		return application.Alive
	case "forgotten":
		return application.Forgotten
	}
	return application.Unknown
}

func (a *fakeApplication) AfterResponse(_ context.Context, _ application.Caller, _ *http.Request, path string, status int, session string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.answered == nil {
		return
	}
	a.answered = append(a.answered, strings.TrimSpace(path+" "+strconv.Itoa(status)+" "+session))
}

func (a *fakeApplication) Failed() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.failed++
}

func (a *fakeApplication) lives(session string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.alive[session]
}

// chainFunc is a chain that ends in a handler.
type chainFunc struct {
	serve    func(w http.ResponseWriter, r *http.Request) error
	identity *flow.Identity
	trusted  bool
	uri      string
	ip       string // of the visitor; empty: 192.0.2.1
}

func (c *chainFunc) Serve(w http.ResponseWriter, r *http.Request) error            { return c.serve(w, r) }
func (c *chainFunc) Fresh(_ http.ResponseWriter, r, _ *http.Request) *http.Request { return r }
func (c *chainFunc) Keep() application.Chain                                       { return c }
func (c *chainFunc) Identify(identity *flow.Identity)                              { c.identity = identity }
func (c *chainFunc) OriginalURI() string                                           { return c.uri }
func (c *chainFunc) ClientIP() string                                              { return cmp.Or(c.ip, "192.0.2.1") }

func (c *chainFunc) TrustedProxy() bool { return c.trusted }

// bench is a gate at https://romm.example.com with everything around it.
type fixture struct {
	handler *Handler
	app     *fakeApplication
	storage *memory
	chain   *chainFunc
	seen    []*http.Request // what passed
}

// newFixture returns a fixture; change alters its configuration first.
func newFixture(tb testing.TB, change func(*Config)) *fixture {
	tb.Helper()
	return newSizedFixture(tb, session.DefaultCapacity, change)
}

// newSizedFixture is newFixture with room for so many sessions in memory, which
// are all looked at every two seconds.
func newSizedFixture(tb testing.TB, capacity int, change func(*Config)) *fixture {
	tb.Helper()
	f := &fixture{app: &fakeApplication{alive: map[string]bool{}, status: http.StatusUnauthorized}, storage: &memory{values: map[string][]byte{}}}
	store := session.New(session.Options{Gate: "gate", Capacity: capacity, Logger: zap.NewNop()})
	store.Configure(f.storage, session.Limits{Idle: time.Hour, Lifetime: 24 * time.Hour})
	tb.Cleanup(store.Close)
	origin, err := request.OriginOf("https://romm.example.com")
	if err != nil {
		tb.Fatal(err)
	}
	state := NewGate(store)
	go state.Run(tb.Context())
	cfg := Config{
		Origin: origin, ProviderLabel: "Authelia", Application: f.app, Gate: state,
		RelyingParty: flow.New(flow.Config{
			Issuer: "https://auth.example.com", ClientID: "romm", ClientSecret: "s", RedirectURI: "https://romm.example.com/api/oauth/openid",
			Scopes: []string{"openid"}, Client: &http.Client{Transport: unreachable{}}, Keyring: store.Keyring,
			UsernameClaim: "preferred_username", GroupsClaim: "groups",
		}),
		Lifetime: 24 * time.Hour, Unproven: 24 * time.Hour, Logger: zap.NewNop(),
	}
	if change != nil {
		change(&cfg)
	}
	f.handler = New(cfg)
	f.chain = &chainFunc{serve: func(w http.ResponseWriter, r *http.Request) error {
		f.seen = append(f.seen, r)
		w.Header().Set("X-Private", "secret")
		_, err := w.Write([]byte("upstream"))
		return err
	}}
	return f
}

// unreachable is a provider that is away.
type unreachable struct{}

func (unreachable) RoundTrip(*http.Request) (*http.Response, error) {
	return nil, errors.New("away")
}

// ticket signs somebody in, past the provider, and returns their cookie.
func (f *fixture) ticket(tb testing.TB, identity flow.Identity) string {
	tb.Helper()
	f.app.mu.Lock()
	f.app.alive["app-0"] = true
	f.app.mu.Unlock()
	ticket, _, err := f.handler.config.Gate.Sessions.Create(tb.Context(), session.Record{
		Identity: identity, UpstreamSession: "app-0", Created: time.Now(),
	})
	if err != nil {
		tb.Fatal(err)
	}
	return "__Host-romm_oidc=" + ticket.String()
}

// do sends a request to the gate. target may carry a method before the path.
func (f *fixture) do(tb testing.TB, target string, fields ...string) *httptest.ResponseRecorder {
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
	f.chain.uri = path
	w := httptest.NewRecorder()
	if err := f.handler.ServeHTTP(w, r, f.chain); err != nil {
		tb.Fatalf("%s: %v", target, err)
	}
	return w
}

var alice = flow.Identity{Issuer: "https://auth.example.com", Subject: "1", Username: "alice", Email: "alice@example.com", Name: "Alice", Groups: []string{"a", "b"}}

// endedInApplication waits until n sessions were signed out of the application.
func (f *fixture) endedInApplication(tb testing.TB, n int) []string {
	tb.Helper()
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(time.Millisecond) {
		f.app.mu.Lock()
		ended := slices.Clone(f.app.ended)
		f.app.mu.Unlock()
		if len(ended) >= n || time.Now().After(deadline) {
			return ended
		}
	}
}
