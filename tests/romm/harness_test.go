// The harness of this package's tests: a clock, a small OpenID Provider and a
// browser that calls the stand-in.

package romm

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// clock is a clock that the test moves.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// op is a small OpenID Provider with whatever claims a test needs.
type op struct {
	*httptest.Server

	t        *testing.T
	key      crypto.Signer
	kid      string
	alg      jose.SignatureAlgorithm
	metadata map[string]any // overrides
	claims   map[string]any // overrides; nil removes
	answer   func(map[string]any)
	nonce    string
	hits     []string
	token    *http.Request
	body     string
}

func newOP(t *testing.T) *op {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p := &op{t: t, key: key, kid: "one", alg: jose.ES256, metadata: map[string]any{}, claims: map[string]any{}}
	p.Server = httptest.NewServer(p)
	t.Cleanup(p.Close)
	return p
}

func (p *op) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.hits = append(p.hits, r.URL.Path)
	switch r.URL.Path {
	case "/.well-known/openid-configuration":
		doc := map[string]any{
			"issuer": p.URL, "authorization_endpoint": p.URL + "/authorize", "token_endpoint": p.URL + "/token",
			"jwks_uri": p.URL + "/jwks", "id_token_signing_alg_values_supported": []string{"ES256", "RS256", "EdDSA"},
			"end_session_endpoint": p.URL + "/end",
		}
		maps.Copy(doc, p.metadata)
		_ = json.NewEncoder(w).Encode(doc)
	case "/jwks":
		_ = json.NewEncoder(w).Encode(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: p.key.Public(), KeyID: p.kid}}})
	case "/token":
		body, _ := io.ReadAll(r.Body)
		p.token, p.body = r, string(body)
		doc := map[string]any{"access_token": "at", "token_type": "bearer", "id_token": p.idToken()}
		if p.answer != nil {
			p.answer(doc)
		}
		_ = json.NewEncoder(w).Encode(doc)
	default:
		http.NotFound(w, r)
	}
}

func (p *op) idToken() string {
	c := map[string]any{
		"iss": p.URL, "sub": "1", "aud": "romm", "exp": start.Add(time.Minute).Unix(), "iat": start.Unix(),
		"nonce": p.nonce, "email": "Kim@Example.com", "preferred_username": "Kim",
	}
	for name, value := range p.claims {
		if value == nil {
			delete(c, name)
		} else {
			c[name] = value
		}
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: p.alg, Key: jose.JSONWebKey{Key: p.key, KeyID: p.kid}}, nil)
	if err != nil {
		p.t.Error(err)
		return ""
	}
	payload, _ := json.Marshal(c)
	signed, err := signer.Sign(payload)
	if err != nil {
		p.t.Error(err)
		return ""
	}
	text, _ := signed.CompactSerialize()
	return text
}

// options returns the options of a RomM that signs in at the provider.
func (p *op) options(version string) Options {
	return Options{Version: version, Now: func() time.Time { return start }, OIDC: OIDC{
		Enabled: true, Provider: "Authelia", ClientID: "romm", ClientSecret: "se+cret%2F", ServerURL: p.URL + "/",
		RedirectURI: "https://romm.example.com/api/oauth/openid", ClaimRoles: "romm_roles",
		RoleAdmin: "admin", RoleViewer: "user",
	}}
}

// browser calls the handler directly and keeps cookies.
type browser struct {
	t       *testing.T
	server  *Server
	cookies map[string]string
}

// answered is a response with its whole body.
type answered struct {
	StatusCode    int
	Header        http.Header
	Body          io.Reader
	ContentLength int64
	cookies       []*http.Cookie
}

func newBrowser(t *testing.T, s *Server) *browser {
	t.Helper()
	return &browser{t: t, server: s, cookies: map[string]string{}}
}

type header map[string]string

func (b *browser) do(method, target string, body string, headers ...header) *answered {
	b.t.Helper()
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	r.Host = "romm.example.com"
	for name, value := range b.cookies {
		r.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	for _, set := range headers {
		for name, value := range set {
			r.Header.Set(name, value)
		}
	}
	w := httptest.NewRecorder()
	b.server.ServeHTTP(w, r)
	result := w.Result()
	defer result.Body.Close()
	answer := &answered{
		StatusCode: result.StatusCode, Header: result.Header, Body: w.Body,
		ContentLength: result.ContentLength, cookies: result.Cookies(),
	}
	for _, c := range answer.cookies {
		if c.Value == "null" {
			delete(b.cookies, c.Name)
		} else {
			b.cookies[c.Name] = c.Value
		}
	}
	return answer
}

func (b *browser) get(target string, headers ...header) *answered {
	b.t.Helper()
	return b.do(http.MethodGet, target, "", headers...)
}

func (b *browser) post(target, body string, headers ...header) *answered {
	b.t.Helper()
	return b.do(http.MethodPost, target, body, append([]header{{"X-Csrftoken": b.cookies[csrfCookie]}}, headers...)...)
}

// signIn signs in at the provider and returns the response of the callback.
func (b *browser) signIn(p *op) *answered {
	b.t.Helper()
	answer := b.get("/api/login/openid")
	target, err := url.Parse(answer.Header.Get("Location"))
	if answer.StatusCode != http.StatusFound || err != nil {
		b.t.Fatalf("sign-in: status is %d and Location error %v, want a 302", answer.StatusCode, err)
	}
	p.nonce = target.Query().Get("nonce")
	return b.get("/api/oauth/openid?code=c%2B1&state=" + target.Query().Get("state"))
}

func (b *browser) me() map[string]any {
	b.t.Helper()
	return decoded(b.t, b.get("/api/users/me"))
}

func decoded(t *testing.T, r *answered) map[string]any {
	t.Helper()
	var body map[string]any
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
		t.Fatalf("body is not the JSON object that the test wants: %v", err)
	}
	return body
}

func text(t *testing.T, r *answered) string {
	t.Helper()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

func wantStatus(t *testing.T, r *answered, want int) {
	t.Helper()
	if r.StatusCode != want {
		t.Fatalf("status is %d, want %d: %s", r.StatusCode, want, text(t, r))
	}
}

// wantCrash expects an exception that RomM did not handle: no JSON, no cookie.
func wantCrash(t *testing.T, r *answered) {
	t.Helper()
	wantStatus(t, r, http.StatusInternalServerError)
	if body := text(t, r); body != "Internal Server Error" || len(r.cookies) != 0 {
		t.Fatalf("body is %q with cookies %v, want \"Internal Server Error\" without cookies", body, r.cookies)
	}
}

// setCookie returns the whole Set-Cookie line of the name.
func setCookie(r *answered, name string) string {
	for _, line := range r.Header.Values("Set-Cookie") {
		if strings.HasPrefix(line, name+"=") {
			return line
		}
	}
	return ""
}

func generate(t *testing.T, alg jose.SignatureAlgorithm) crypto.Signer {
	t.Helper()
	var key crypto.Signer
	var err error
	switch alg { //nolint:exhaustive // the three that RomM is known to accept
	case jose.RS256:
		key, err = rsa.GenerateKey(rand.Reader, 2048)
	case jose.EdDSA:
		_, key, err = ed25519.GenerateKey(rand.Reader)
	default:
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	}
	if err != nil {
		t.Fatal(err)
	}
	return key
}
