// The harness of this package's tests: a relying party with a browser, in front
// of a stand-in with a fixed set of clients and users.

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

// clock is a clock that the test moves.
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

// harness is a relying party with a browser, in front of a stand-in with a clock.
type harness struct {
	*testing.T
	*clock
	op      *authelia.Server
	browser *http.Client
}

func newHarness(t *testing.T, change ...func(*authelia.Options)) *harness {
	t.Helper()
	c := &clock{now: time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)}
	o := options(c)
	for _, f := range change {
		f(&o)
	}
	op := authelia.New(o)
	return &harness{T: t, clock: c, op: op, browser: newBrowser(t, op)}
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

// response is a response whose body has been read.
type response struct {
	*http.Response
	body string
}

func (r response) json(t *testing.T) map[string]any {
	t.Helper()
	var object map[string]any
	decoder := json.NewDecoder(strings.NewReader(r.body))
	if err := decoder.Decode(&object); err != nil {
		t.Fatalf("body is %q, want JSON: %v", r.body, err)
	}
	return object
}

func (h *harness) send(method, target, body string, header ...string) response {
	h.Helper()
	if strings.HasPrefix(target, "/") {
		target = h.op.Issuer() + target
	}
	r, err := http.NewRequestWithContext(h.Context(), method, target, bytes.NewBufferString(body))
	if err != nil {
		h.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
		if header[i] == "Host" {
			r.Host = header[i+1]
			r.Header.Del("Host")
		}
	}
	return h.do(r)
}

func (h *harness) do(r *http.Request) response {
	h.Helper()
	answer, err := h.browser.Do(r)
	if err != nil {
		h.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		h.Fatal(err)
	}
	return response{answer, string(text)}
}

func (h *harness) get(target string, header ...string) response {
	h.Helper()
	return h.send(http.MethodGet, target, "", header...)
}

const formType = "application/x-www-form-urlencoded"

func basic(id, secret string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(url.QueryEscape(id)+":"+url.QueryEscape(secret)))
}

// call posts a form with the client's Basic credentials.
func (h *harness) call(path, client string, form url.Values, header ...string) response {
	h.Helper()
	header = append([]string{"Content-Type", formType}, header...)
	if client != "" {
		header = append(header, "Authorization", basic(client, secret))
	}
	return h.send(http.MethodPost, path, form.Encode(), header...)
}

func (h *harness) token(client string, form url.Values, header ...string) response {
	h.Helper()
	return h.call("/api/oidc/token", client, form, header...)
}

// query returns a valid authorization request with changes, given as name and value in turn. An empty value removes the
// parameter.
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
func (h *harness) login(q url.Values, user string) url.Values {
	h.Helper()
	location, err := h.op.SignIn(h.browser, authorizeURL(q), user, strings.ToLower(strings.TrimSuffix(user, ".Upper"))+"-pw")
	if err != nil {
		h.Fatal(err)
	}
	u, err := url.Parse(location)
	if err != nil {
		h.Fatal(err)
	}
	if !strings.HasPrefix(location, q.Get("redirect_uri")+"?") {
		h.Fatalf("authorization response goes to %s, want %s", location, q.Get("redirect_uri"))
	}
	return u.Query()
}

func redemption(code string) url.Values {
	return url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {callback}, "code_verifier": {verifier}}
}

// code signs in and returns the code.
func (h *harness) code(q url.Values, user string) string {
	h.Helper()
	params := h.login(q, user)
	if params.Get("code") == "" {
		h.Fatalf("callback has %v, want a code", params)
	}
	return params.Get("code")
}

// tokens signs in and redeems the code.
func (h *harness) tokens(q url.Values, user string) map[string]any {
	h.Helper()
	answer := h.token(q.Get("client_id"), redemption(h.code(q, user)))
	if answer.StatusCode != http.StatusOK {
		h.Fatalf("token endpoint: status is %d, want 200: %s", answer.StatusCode, answer.body)
	}
	return answer.json(h.T)
}

// full signs alice in at the client that receives refresh tokens.
func (h *harness) full() map[string]any {
	h.Helper()
	return h.tokens(query("full", "scope", "openid profile email groups offline_access"), "alice")
}

func (h *harness) renew(client string, token any, more ...string) response {
	h.Helper()
	form := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {text(token)}}
	for i := 0; i+1 < len(more); i += 2 {
		form.Set(more[i], more[i+1])
	}
	return h.token(client, form)
}

func (h *harness) userinfo(token any) response {
	h.Helper()
	return h.get("/api/oidc/userinfo", "Authorization", "Bearer "+text(token))
}

func (h *harness) status(what string, r response, want int) {
	h.Helper()
	if r.StatusCode != want {
		h.Errorf("%s: status is %d, want %d: %s", what, r.StatusCode, want, r.body)
	}
}
