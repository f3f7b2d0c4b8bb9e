package flow

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/flow/keyring"
	"github.com/romm-oidc/caddy-romm-oidc/tests/authelia"
)

const (
	testIssuer   = "https://auth.example.test"
	testCallback = "https://romm.example.test/api/oauth/openid"
	testSecret   = "a%b+c d\u00e9:e&f=g" // all that a form has to escape
	testPrefix   = "__Host-romm_oidc_"
)

// clock is a clock that a test moves.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time { c.mu.Lock(); defer c.mu.Unlock(); return c.now }

func (c *clock) Advance(d time.Duration) { c.mu.Lock(); defer c.mu.Unlock(); c.now = c.now.Add(d) }

// world is a relying party, its provider and a browser, without a network.
type world struct {
	*testing.T
	*clock
	op      *authelia.Server
	rp      *RelyingParty
	keyring *keyring.Keyring
}

// setup is what a test may change before its world is made.
type setup struct {
	config Config
	client authelia.Client
	user   authelia.User
}

func newWorld(t *testing.T, changes ...func(*setup)) *world {
	t.Helper()
	w := &world{T: t, clock: &clock{now: time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)}, keyring: newKeyring(t, "gate", 1)}
	s := setup{
		config: Config{
			Issuer: testIssuer, ClientID: "romm", ClientSecret: testSecret, RedirectURI: testCallback,
			Scopes: []string{"openid", "profile", "email", "groups"}, Now: w.Now,
			UsernameClaim: "preferred_username", GroupsClaim: "groups",
			Keyring: func(context.Context) (*keyring.Keyring, error) { return w.keyring, nil },
		},
		client: authelia.Client{
			ID: "romm", Secret: testSecret, RedirectURIs: []string{testCallback}, RequirePKCE: true, ConsentMode: "implicit",
			Scopes:     []string{"openid", "profile", "email", "groups", "offline_access"},
			GrantTypes: []string{"authorization_code", "refresh_token"},
		},
		user: authelia.User{
			Name: "alice", Password: "alice-pw", DisplayName: "Alice Example", Email: "Alice@example.test",
			Groups: []string{"romm-admins", "romm users"},
		},
	}
	for _, change := range changes {
		change(&s)
	}
	w.op = authelia.New(authelia.Options{
		Issuer: testIssuer, Now: w.Now, NoRateLimit: true, Clients: []authelia.Client{s.client}, Users: []authelia.User{s.user},
	})
	s.config.Client = newClient(t, ClientConfig{Issuer: testIssuer}, w.op.Transport())
	w.rp = New(s.config)
	return w
}

// newClient is NewClient with another network under it.
func newClient(t *testing.T, cfg ClientConfig, network http.RoundTripper) *http.Client {
	t.Helper()
	client, err := NewClient(cfg)
	if err != nil {
		t.Fatal(err)
	}
	transport := client.Transport.(*providerTransport)
	transport.base, transport.inside = network, network
	return client
}

// newKeyring returns a keyring of gate whose secrets are made of these bytes.
func newKeyring(tb testing.TB, gate string, secrets ...byte) *keyring.Keyring {
	tb.Helper()
	all := make([][]byte, len(secrets))
	for i, secret := range secrets {
		all[i] = slices.Repeat([]byte{secret}, 32)
	}
	keyring, err := keyring.New(gate, all...)
	if err != nil {
		tb.Fatal(err)
	}
	return keyring
}

// begin starts a login and lets alice sign in, and returns the authorization response.
func (w *world) begin() (*Login, url.Values) {
	w.Helper()
	login, location, err := w.rp.Begin(w.Context(), "/library", false)
	if err != nil {
		w.Fatalf("beginning: %v", err)
	}
	answer, err := w.op.SignIn(&http.Client{Transport: w.op.Transport()}, location, "alice", "alice-pw")
	if err != nil {
		w.Fatalf("signing in: %v", err)
	}
	u, err := url.Parse(answer)
	if err != nil {
		w.Fatal(err)
	}
	return login, u.Query()
}

// signIn is a whole login by alice.
func (w *world) signIn() (*Result, error) {
	w.Helper()
	login, query := w.begin()
	code, err := w.rp.CheckResponse(w.Context(), login, query)
	if err != nil {
		w.Fatalf("checking the response: %v", err)
	}
	return w.rp.Exchange(w.Context(), login, code)
}

// last returns the newest request that an endpoint got.
func (w *world) last(endpoint string) authelia.Request {
	w.Helper()
	request, ok := w.op.LastRequest(endpoint)
	if !ok {
		w.Fatalf("no request at %s", endpoint)
	}
	return request
}

// calls fails the test unless an endpoint got so many requests.
func (w *world) calls(endpoint string, want int) {
	w.Helper()
	if got := w.op.Calls(endpoint); got != want {
		w.Errorf("%d requests at %s, want %d", got, endpoint, want)
	}
}

// failsAs fails the test unless err matches want, nil for none, and says text.
func failsAs(t *testing.T, err, want error, text string) {
	t.Helper()
	if !errors.Is(err, want) || want == nil && err != nil {
		t.Errorf("got error %v, want %v", err, want)
	} else if err != nil && !strings.Contains(err.Error(), text) {
		t.Errorf("got error %q, want one that says %q", err, text)
	}
}

// network answers requests without one.
type network func(*http.Request) (*http.Response, error)

func (n network) RoundTrip(r *http.Request) (*http.Response, error) { return n(r) }

// cutShort is a body whose connection breaks.
type cutShort struct{}

func (cutShort) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

func (cutShort) Close() error { return nil }

// newBrokenClient returns a client that reaches nobody.
func newBrokenClient() *http.Client {
	return &http.Client{Transport: network(func(*http.Request) (*http.Response, error) { return nil, io.ErrUnexpectedEOF })}
}
