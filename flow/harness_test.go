// Helpers for the tests of this package.

package flow

import (
	"cmp"
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
	testSecret   = "a%b+c d\u00e9:e&f=g" // every kind of character that a form escapes
	testPrefix   = "__Host-romm_oidc_"
)

// clock is a clock that moves only when told to.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time { c.mu.Lock(); defer c.mu.Unlock(); return c.now }

func (c *clock) Advance(d time.Duration) { c.mu.Lock(); defer c.mu.Unlock(); c.now = c.now.Add(d) }

// harness is a relying party with a provider and a browser, without a network.
type harness struct {
	*testing.T
	*clock
	op      *authelia.Server
	rp      *RelyingParty
	keyring *keyring.Keyring
}

// setup is what a test may change before its harness is made.
type setup struct {
	config Config
	client authelia.Client
	user   authelia.User
}

func newHarness(t *testing.T, changes ...func(*setup)) *harness {
	t.Helper()
	h := &harness{T: t, clock: &clock{now: time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)}, keyring: newKeyring(t, "gate", 1)}
	s := setup{
		config: Config{
			Issuer: testIssuer, ClientID: "romm", ClientSecret: testSecret, RedirectURI: testCallback,
			Scopes: []string{"openid", "profile", "email", "groups"}, Now: h.Now,
			UsernameClaim: "preferred_username", GroupsClaim: "groups",
			Keyring: func(context.Context) (*keyring.Keyring, error) { return h.keyring, nil },
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
	// Both sides know what the client is registered with, unless a test is about that.
	s.config.IDTokenAlg = cmp.Or(s.config.IDTokenAlg, s.client.Alg)
	s.config.UserinfoAlg = cmp.Or(s.config.UserinfoAlg, s.client.UserinfoAlg)
	h.op = authelia.New(authelia.Options{
		Issuer: testIssuer, Now: h.Now, NoRateLimit: true, Clients: []authelia.Client{s.client}, Users: []authelia.User{s.user},
	})
	s.config.Client = newClient(t, ClientConfig{Issuer: testIssuer}, h.op.Transport())
	h.rp = New(s.config)
	return h
}

// newClient is NewClient over a given network.
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

// newKeyring returns a keyring of gate. Each secret consists of one repeated byte.
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

// begin starts a login, signs alice in, and returns the authorization response.
func (h *harness) begin() (*Login, url.Values) {
	h.Helper()
	login, location, err := h.rp.Begin(h.Context(), "/library", false)
	if err != nil {
		h.Fatalf("beginning: %v", err)
	}
	answer, err := h.op.SignIn(&http.Client{Transport: h.op.Transport()}, location, "alice", "alice-pw")
	if err != nil {
		h.Fatalf("signing in: %v", err)
	}
	u, err := url.Parse(answer)
	if err != nil {
		h.Fatal(err)
	}
	return login, u.Query()
}

// signIn runs a whole login by alice.
func (h *harness) signIn() (*Result, error) {
	h.Helper()
	login, query := h.begin()
	code, err := h.rp.CheckResponse(h.Context(), login, query)
	if err != nil {
		h.Fatalf("checking the response: %v", err)
	}
	return h.rp.Exchange(h.Context(), login, code)
}

// last returns the latest request at an endpoint.
func (h *harness) last(endpoint string) authelia.Request {
	h.Helper()
	request, ok := h.op.LastRequest(endpoint)
	if !ok {
		h.Fatalf("no request at %s", endpoint)
	}
	return request
}

// calls fails the test unless an endpoint got want requests.
func (h *harness) calls(endpoint string, want int) {
	h.Helper()
	if got := h.op.Calls(endpoint); got != want {
		h.Errorf("%d requests at %s, want %d", got, endpoint, want)
	}
}

// failsAs fails the test unless err matches want and contains text.
func failsAs(t *testing.T, err, want error, text string) {
	t.Helper()
	if !errors.Is(err, want) || want == nil && err != nil {
		t.Errorf("got error %v, want %v", err, want)
	} else if err != nil && !strings.Contains(err.Error(), text) {
		t.Errorf("got error %q, want one that contains %q", err, text)
	}
}

// network is a RoundTripper in memory.
type network func(*http.Request) (*http.Response, error)

func (n network) RoundTrip(r *http.Request) (*http.Response, error) { return n(r) }

// cutShort is the body of a connection that breaks.
type cutShort struct{}

func (cutShort) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

func (cutShort) Close() error { return nil }

// newBrokenClient returns a client without a connection.
func newBrokenClient() *http.Client {
	return &http.Client{Transport: network(func(*http.Request) (*http.Response, error) { return nil, io.ErrUnexpectedEOF })}
}
