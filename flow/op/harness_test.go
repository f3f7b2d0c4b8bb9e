// Helpers for the tests of this package.

package op

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/flow/keyring"
	"github.com/romm-oidc/caddy-romm-oidc/flow/keyring/keyringtest"
)

const (
	testGate       = "gate"
	testIssuerPath = "/api/oauth/openid"
)

var testConfig = Config{
	ClientID:     "romm",
	ClientSecret: "s3cret+with%20signs",
	RedirectURI:  "https://romm.example.com/api/oauth/openid",
	IssuerPath:   testIssuerPath,
	Algorithm:    ES256,
}

var testClaims = Claims{
	Subject:  "f0919359-9d15-4e15-bcba-83b41620a073",
	Username: "ada",
	Email:    "Ada@example.com",
	Name:     "Ada Lovelace",
	Roles:    []string{"admin"},
	AuthTime: 1_700_000_000,
}

// clock is a clock that moves only when told to.
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

// newProvider returns the provider of one node. Nodes with the same storage
// share their keys.
func newProvider(gate string, storage keyring.Storage, now func() time.Time, config Config) *Provider {
	keys := NewKeys(gate, func(ctx context.Context) (*keyring.Keyring, error) {
		return keyring.Load(ctx, storage, gate, now())
	}, func() keyring.Storage { return storage }, now)
	return New(keys, NewCodes(now), config)
}

// loadKeys waits until the provider has keys in memory.
func loadKeys(tb testing.TB, provider *Provider) {
	tb.Helper()
	if _, err := provider.keys.await(tb.Context(), provider.config.Report); err != nil {
		tb.Fatalf("loading the keys: %v", err)
	}
}

// firstStart is a storage after a gate's first start, made once because RSA
// keys take their time.
var firstStart = sync.OnceValues(func() (*keyringtest.Storage, error) {
	storage := keyringtest.New()
	provider := newProvider(testGate, storage, newClock().Now, testConfig)
	_, err := provider.keys.await(context.Background(), provider.config.Report)
	return storage, err
})

// loaded returns a provider with its keys in memory.
func loaded(t *testing.T, config Config) (*Provider, *clock) {
	t.Helper()
	first, err := firstStart()
	if err != nil {
		t.Fatal(err)
	}
	clock := newClock()
	provider := newProvider(testGate, first.Clone(), clock.Now, config)
	loadKeys(t, provider)
	return provider, clock
}

// serve runs the provider on a real server, at the paths it has on a gate.
func serve(t *testing.T, provider *Provider) *httptest.Server {
	t.Helper()
	server := httptest.NewServer(routes(provider))
	t.Cleanup(server.Close)
	return server
}

func routes(provider *Provider) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc(testIssuerPath+MetadataPath, provider.ServeMetadata)
	mux.HandleFunc(testIssuerPath+TokenPath, provider.ServeToken)
	mux.HandleFunc(testIssuerPath+JWKSPath, provider.ServeJWKS)
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
	request := httptest.NewRequest(http.MethodPost, "http://caddy:9080"+testIssuerPath+TokenPath, strings.NewReader(form.Encode()))
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded;charset=UTF-8")
	request.Header.Set("Accept", "application/json")
	request.Header.Set("User-Agent", "Authlib/1.6.12 (+https://authlib.org)")
	request.Header.Set("Authorization", basic(testConfig.ClientID, testConfig.ClientSecret))
	return request
}

// basic returns the header as Authlib writes it, without form-urlencoding.
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
		t.Fatalf("token response %d %s, want 200", recorder.Code, recorder.Body)
	}
	return object(t, recorder.Body.Bytes())
}

func object(t *testing.T, document []byte) map[string]any {
	t.Helper()
	var value map[string]any
	if err := json.Unmarshal(document, &value); err != nil {
		t.Fatalf("decoding %q: %v", document, err)
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

// events collects what Config.Report receives.
type events struct {
	mu   sync.Mutex
	list []string
}

func (e *events) report(event Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	text := event.Name
	if event.Err != nil {
		text += ": " + event.Err.Error()
	}
	e.list = append(e.list, text)
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
			t.Fatalf("waited 10 s for %s", what)
		case <-time.After(time.Millisecond):
		}
	}
}

// outcome is what happened to a code at the token endpoint of one node.
type outcome struct {
	requested, redeemed bool
	refusal             string
}

func outcomeOf(provider *Provider, code string) outcome {
	record, requested := provider.codes.record(code)
	return outcome{requested, record.redeemed, record.refusal}
}

// wantOutcome fails the test unless got is what happened to code.
func wantOutcome(t *testing.T, provider *Provider, code string, want outcome) {
	t.Helper()
	if got := outcomeOf(provider, code); got != want {
		t.Errorf("outcome of the code = %+v, want %+v", got, want)
	}
}

// wantEvents fails the test unless exactly these events were reported.
func wantEvents(t *testing.T, heard *events, want ...string) {
	t.Helper()
	if got := heard.all(); !slices.Equal(got, want) {
		t.Errorf("reported events %q, want %q", got, want)
	}
}

// wantAnswer fails the test unless the token endpoint answered with status and,
// if code is not empty, with that error code.
func wantAnswer(t *testing.T, recorder *httptest.ResponseRecorder, status int, code string) {
	t.Helper()
	if recorder.Code != status || code != "" && recorder.Body.String() != `{"error":"`+code+`"}` {
		t.Errorf("answer %d %s, want %d %s", recorder.Code, recorder.Body, status, code)
	}
}

func getJWKS(provider *Provider) *httptest.ResponseRecorder {
	recorder := httptest.NewRecorder()
	provider.ServeJWKS(recorder, httptest.NewRequest(http.MethodGet, "http://caddy:9080"+testIssuerPath+JWKSPath, nil))
	return recorder
}

func getMetadata(provider *Provider) *httptest.ResponseRecorder {
	recorder := httptest.NewRecorder()
	provider.ServeMetadata(recorder, httptest.NewRequest(http.MethodGet, "http://caddy:9080"+testIssuerPath+MetadataPath, nil))
	return recorder
}
