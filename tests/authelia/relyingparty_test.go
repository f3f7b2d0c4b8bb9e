package authelia_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/tests/authelia"
)

const (
	issuer   = "https://auth.example.test"
	callback = "https://romm.example.test/api/oauth/openid"
	secret   = "insecure_secret"
	state    = "state-of-the-art"
	verifier = "verifier-verifier-verifier-verifier-verifier"
)

func challenge() string {
	hash := sha256.Sum256([]byte(verifier))
	return base64.RawURLEncoding.EncodeToString(hash[:])
}

// clock is a clock that a test moves.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time { c.mu.Lock(); defer c.mu.Unlock(); return c.now }

func (c *clock) Advance(d time.Duration) { c.mu.Lock(); defer c.mu.Unlock(); c.now = c.now.Add(d) }

func options(c *clock) authelia.Options {
	return authelia.Options{
		Issuer: issuer, CookieDomain: "example.test", Now: c.Now,
		Clients: []authelia.Client{
			{ID: "romm", Secret: secret, RedirectURIs: []string{callback}, Scopes: []string{"openid", "profile", "email"}},
			{
				ID: "full", Secret: secret, RedirectURIs: []string{callback}, RequirePKCE: true,
				Scopes:       []string{"openid", "profile", "email", "groups", "offline_access"},
				GrantTypes:   []string{"authorization_code", "refresh_token"},
				ClaimsPolicy: []string{"email", "email_verified", "preferred_username", "name", "groups"},
			},
			{ID: "quiet", Secret: secret, RedirectURIs: []string{callback}, ConsentMode: "implicit"},
			{ID: "post", Secret: secret, RedirectURIs: []string{callback}, AuthMethod: "client_secret_post", ConsentMode: "implicit"},
			{ID: "odd", Secret: "a%b+c d\u00e9:e", RedirectURIs: []string{callback}},
			{ID: "es", Secret: secret, RedirectURIs: []string{callback}, Alg: "ES256", ConsentMode: "implicit"},
			{ID: "ps", Secret: secret, RedirectURIs: []string{callback}, Alg: "PS256", UserinfoAlg: "RS256", ConsentMode: "implicit"},
			{ID: "admins", Secret: secret, RedirectURIs: []string{callback}, AllowedGroups: []string{"romm-admins"}, ConsentMode: "implicit"},
			{ID: "loop", Secret: secret, RedirectURIs: []string{"http://127.0.0.1/cb", "http://localhost/cb"}, ConsentMode: "implicit"},
			{ID: "modes", Secret: secret, RedirectURIs: []string{callback}, ResponseModes: []string{"fragment", "query.jwt", "form_post.jwt"}, ConsentMode: "implicit"},
		},
		Users: []authelia.User{
			{Name: "alice", Password: "alice-pw", DisplayName: "Alice Example", Email: "alice@example.test", Groups: []string{"romm-admins", "romm-users"}},
			{Name: "bob", Password: "bob-pw", DisplayName: "Bob", Email: "bob@example.test", Groups: []string{"a,b", "with space"}},
			{Name: "carol", Password: "carol-pw", DisplayName: "Carol NoGroups", Email: "carol@example.test"},
			{Name: "dave", Password: "dave-pw", DisplayName: "Dave", Email: "dave@example.test", Disabled: true},
			{
				Name: "Erin.Upper", Password: "erin-pw", DisplayName: "Erin Upper", Email: "Erin.Upper@Example.Test",
				Profile: map[string]string{"given_name": "Erin", "locale": "en-NZ"},
			},
			{Name: "frank", Password: "frank-pw", DisplayName: "Frank NoMail"},
		},
	}
}

// party is a relying party with a browser, and the clock.
type party struct {
	*testing.T
	*clock
	op      *authelia.Server
	browser *http.Client
}

func newParty(t *testing.T, change ...func(*authelia.Options)) *party {
	t.Helper()
	c := &clock{now: time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)}
	o := options(c)
	for _, f := range change {
		f(&o)
	}
	op := authelia.New(o)
	return &party{T: t, clock: c, op: op, browser: newBrowser(t, op)}
}

func newBrowser(t *testing.T, op *authelia.Server) *http.Client {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &http.Client{
		Transport: op.Transport(), Jar: jar,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// response is an answer, read.
type response struct {
	*http.Response
	body string
}

func (r response) json(t *testing.T) map[string]any {
	t.Helper()
	var object map[string]any
	decoder := json.NewDecoder(strings.NewReader(r.body))
	if err := decoder.Decode(&object); err != nil {
		t.Fatalf("decoding %q: %v", r.body, err)
	}
	return object
}

func (p *party) send(method, target, body string, header ...string) response {
	p.Helper()
	if strings.HasPrefix(target, "/") {
		target = p.op.Issuer() + target
	}
	r, err := http.NewRequestWithContext(p.Context(), method, target, bytes.NewBufferString(body))
	if err != nil {
		p.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
		if header[i] == "Host" {
			r.Host = header[i+1]
			r.Header.Del("Host")
		}
	}
	return p.do(r)
}

func (p *party) do(r *http.Request) response {
	p.Helper()
	answer, err := p.browser.Do(r)
	if err != nil {
		p.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		p.Fatal(err)
	}
	return response{answer, string(text)}
}

func (p *party) get(target string, header ...string) response {
	p.Helper()
	return p.send(http.MethodGet, target, "", header...)
}

const formType = "application/x-www-form-urlencoded"

func basic(id, secret string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(url.QueryEscape(id)+":"+url.QueryEscape(secret)))
}

// call posts a form with Basic credentials of a client.
func (p *party) call(path, client string, form url.Values, header ...string) response {
	p.Helper()
	header = append([]string{"Content-Type", formType}, header...)
	if client != "" {
		header = append(header, "Authorization", basic(client, secret))
	}
	return p.send(http.MethodPost, path, form.Encode(), header...)
}

func (p *party) token(client string, form url.Values, header ...string) response {
	p.Helper()
	return p.call("/api/oidc/token", client, form, header...)
}

// query is a good authorization request, with changes given as name and value; an empty value removes.
func query(client string, changes ...string) url.Values {
	q := url.Values{
		"response_type": {"code"}, "client_id": {client}, "redirect_uri": {callback}, "scope": {"openid profile email"},
		"state": {state}, "nonce": {"n-0S6"}, "code_challenge": {challenge()}, "code_challenge_method": {"S256"},
	}
	for i := 0; i+1 < len(changes); i += 2 {
		q.Set(changes[i], changes[i+1])
		if changes[i+1] == "" {
			q.Del(changes[i])
		}
	}
	return q
}

func authorizeURL(q url.Values) string { return issuer + "/api/oidc/authorization?" + q.Encode() }

// login signs in and returns the authorization response's parameters.
func (p *party) login(q url.Values, user string) url.Values {
	p.Helper()
	location, err := p.op.SignIn(p.browser, authorizeURL(q), user, strings.ToLower(strings.TrimSuffix(user, ".Upper"))+"-pw")
	if err != nil {
		p.Fatal(err)
	}
	u, err := url.Parse(location)
	if err != nil {
		p.Fatal(err)
	}
	if !strings.HasPrefix(location, q.Get("redirect_uri")+"?") {
		p.Fatalf("callback is %s", location)
	}
	return u.Query()
}

func redemption(code string) url.Values {
	return url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {callback}, "code_verifier": {verifier}}
}

// code signs in and returns the code.
func (p *party) code(q url.Values, user string) string {
	p.Helper()
	params := p.login(q, user)
	if params.Get("code") == "" {
		p.Fatalf("no code: %v", params)
	}
	return params.Get("code")
}

// tokens signs in and redeems the code.
func (p *party) tokens(q url.Values, user string) map[string]any {
	p.Helper()
	answer := p.token(q.Get("client_id"), redemption(p.code(q, user)))
	if answer.StatusCode != http.StatusOK {
		p.Fatalf("token endpoint: %d %s", answer.StatusCode, answer.body)
	}
	return answer.json(p.T)
}

// full signs alice in at the client with refresh tokens.
func (p *party) full() map[string]any {
	p.Helper()
	return p.tokens(query("full", "scope", "openid profile email groups offline_access"), "alice")
}

func (p *party) renew(client string, token any, more ...string) response {
	p.Helper()
	form := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {text(token)}}
	for i := 0; i+1 < len(more); i += 2 {
		form.Set(more[i], more[i+1])
	}
	return p.token(client, form)
}

func (p *party) userinfo(token any) response {
	p.Helper()
	return p.get("/api/oidc/userinfo", "Authorization", "Bearer "+text(token))
}

func (p *party) status(what string, r response, want int) {
	p.Helper()
	if r.StatusCode != want {
		p.Errorf("%s: %d %s, want %d", what, r.StatusCode, r.body, want)
	}
}

// text is a JSON string, empty for anything else.
func text(v any) string {
	s, _ := v.(string)
	return s
}

// payload decodes a JWS without looking at the signature.
func payload(t *testing.T, token any) (header, claims map[string]any) {
	t.Helper()
	parts := strings.Split(text(token), ".")
	if len(parts) != 3 {
		t.Fatalf("%v is no JWS", token)
	}
	for i, target := range []*map[string]any{&header, &claims} {
		raw, err := base64.RawURLEncoding.DecodeString(parts[i])
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(raw, target); err != nil {
			t.Fatal(err)
		}
	}
	return header, claims
}

func has(t *testing.T, got map[string]any, want map[string]string) {
	t.Helper()
	for name, value := range want {
		encoded, err := json.Marshal(got[name])
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := got[name]; !ok {
			encoded = []byte("absent")
		}
		if string(encoded) != value {
			t.Errorf("%s is %s, want %s", name, encoded, value)
		}
	}
}
