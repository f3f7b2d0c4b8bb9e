// Tests of the sign-in through OpenID Connect, as RomM's provider sees it.

package romm

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

func TestSignInOnTheWire(t *testing.T) {
	t.Parallel()
	p := newOP(t)
	s := New(p.options(""))
	b := newBrowser(t, s)
	answer := b.get("/api/login/openid")
	wantStatus(t, answer, http.StatusFound)
	target, _ := url.Parse(answer.Header.Get("Location"))
	query := target.Query()
	if len(query.Get("state")) != 30 || len(query.Get("nonce")) != 20 {
		t.Errorf("state is %q and nonce %q, want 30 and 20 characters", query.Get("state"), query.Get("nonce"))
	}
	want := "response_type=code&client_id=romm&redirect_uri=https%3A%2F%2Fromm.example.com%2Fapi%2Foauth%2Fopenid" +
		"&scope=openid+profile+email+romm_roles&state=" + query.Get("state") + "&nonce=" + query.Get("nonce")
	if target.RawQuery != want {
		t.Errorf("query is %s\nwant     %s", target.RawQuery, want)
	}
	before := b.cookies[sessionCookie]
	if line := setCookie(answer, sessionCookie); line != sessionCookie+"="+before+"; path=/; Max-Age=1209600; httponly; samesite=lax" {
		t.Errorf("session cookie is %q, want it lax and for 14 days", line)
	}
	if line := setCookie(answer, csrfCookie); !strings.HasSuffix(line, "; Path=/; SameSite=lax") {
		t.Errorf("CSRF cookie is %q, want it to end in \"; Path=/; SameSite=lax\"", line)
	}
	p.nonce = query.Get("nonce")
	answer = b.get("/api/oauth/openid/?code=c%2B1&state=" + query.Get("state"))
	wantStatus(t, answer, http.StatusTemporaryRedirect)
	if answer.Header.Get("Location") != "/" || b.cookies[sessionCookie] != before {
		t.Errorf("callback: Location is %q and the session %q, want / and %q", answer.Header.Get("Location"), b.cookies[sessionCookie], before)
	}
	id, secret, _ := p.token.BasicAuth()
	if id != "romm" || secret != "se+cret%2F" {
		t.Errorf("Basic credentials are %q and %q, want romm and se+cret%%2F as configured", id, secret)
	}
	if p.body != "grant_type=authorization_code&redirect_uri=https%3A%2F%2Fromm.example.com%2Fapi%2Foauth%2Fopenid&code=c%2B1" {
		t.Errorf("token request is %q, want grant_type, redirect_uri and code", p.body)
	}
	if p.token.Header.Get("Accept") != "application/json" || p.token.UserAgent() != "Authlib/1.6.12 (+https://authlib.org)" {
		t.Errorf("token request has header %v, want Authlib's", p.token.Header)
	}
	if me := b.me(); me["username"] != "Kim" || me["email"] != "kim@example.com" || me["role"] != "user" || me["current_device_id"] == nil {
		t.Errorf("user is %v, want Kim with role user and a device", me)
	}
	if last, _ := s.LastRequest("/api/users/me"); last.User != "Kim" || last.Host != "romm.example.com" {
		t.Errorf("last request is %+v, want Kim's at romm.example.com", last)
	}
	newBrowser(t, s).signIn(p)
	if !slices.Equal(p.hits, []string{"/.well-known/openid-configuration", "/token", "/jwks", "/token"}) {
		t.Errorf("provider had requests %v, want metadata and keys once and two token requests", p.hits)
	}
}

func TestSignInWithoutOIDCIsA500(t *testing.T) {
	t.Parallel()
	b := newBrowser(t, New(Options{}))
	for _, path := range []string{"/api/login/openid", "/api/oauth/openid?code=1&state=2"} {
		answer := b.get(path)
		wantStatus(t, answer, http.StatusInternalServerError)
		if body := text(t, answer); body != `{"detail":"OAuth disabled"}` {
			t.Errorf("%s: body is %s, want that OAuth is disabled", path, body)
		}
	}
}

func TestStateOfTheSignIn(t *testing.T) {
	t.Parallel()
	start := func(t *testing.T, b *browser, p *op) string {
		t.Helper()
		target, _ := url.Parse(b.get("/api/login/openid").Header.Get("Location"))
		p.nonce = target.Query().Get("nonce")
		return "/api/oauth/openid?code=1&state=" + target.Query().Get("state")
	}
	for name, test := range map[string]func(t *testing.T, b *browser, p *op){
		"a second sign-in deletes the first state": func(t *testing.T, b *browser, p *op) {
			t.Helper()
			first, nonce := start(t, b, p), p.nonce
			second := start(t, b, p)
			wanted := p.nonce
			p.nonce = nonce
			wantCrash(t, b.get(first))
			p.nonce = wanted
			wantStatus(t, b.get(second), http.StatusTemporaryRedirect)
		},
		"a wrong state leaves the right one usable": func(t *testing.T, b *browser, p *op) {
			t.Helper()
			good := start(t, b, p)
			wantCrash(t, b.get(good+"x"))
			wantStatus(t, b.get(good), http.StatusTemporaryRedirect)
		},
		"a state works once": func(t *testing.T, b *browser, p *op) {
			t.Helper()
			good := start(t, b, p)
			b.get(good)
			wantCrash(t, b.get(good))
			if b.me()["username"] != "Kim" {
				t.Error("the user is not Kim after the second callback, want the first sign-in to last")
			}
		},
		"an error in the callback crashes": func(t *testing.T, b *browser, p *op) {
			t.Helper()
			wantCrash(t, b.get(start(t, b, p)+"&error=x"))
		},
		"a callback without the cookie crashes": func(t *testing.T, b *browser, p *op) {
			t.Helper()
			good := start(t, b, p)
			b.cookies = nil
			wantCrash(t, b.get(good))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newOP(t)
			test(t, newBrowser(t, New(p.options(""))), p)
		})
	}
}

func TestIDTokenChecks(t *testing.T) {
	t.Parallel()
	half := func(token string) string {
		sum := sha256.Sum256([]byte(token))
		return base64.RawURLEncoding.EncodeToString(sum[:16])
	}
	at := func(d time.Duration) int64 { return start.Add(d).Unix() }
	for name, test := range map[string]struct {
		claims map[string]any
		crash  bool
	}{
		"all claims good":                {},
		"without iss":                    {map[string]any{"iss": nil}, true},
		"iss of another issuer":          {map[string]any{"iss": "https://other"}, true},
		"without sub":                    {map[string]any{"sub": nil}, true},
		"without iat":                    {map[string]any{"iat": nil}, true},
		"without exp":                    {map[string]any{"exp": nil}, true},
		"without nonce":                  {map[string]any{"nonce": nil}, true},
		"nonce of another sign-in":       {map[string]any{"nonce": "x"}, true},
		"expired for 1 minute":           {map[string]any{"exp": at(-time.Minute)}, false},
		"expired for 5 minutes":          {map[string]any{"exp": at(-5 * time.Minute)}, true},
		"iat 5 minutes ahead":            {map[string]any{"iat": at(5 * time.Minute)}, true},
		"aud list of one":                {map[string]any{"aud": []string{"romm"}}, false},
		"aud list of two without azp":    {map[string]any{"aud": []string{"romm", "x"}}, true},
		"aud list of two with azp":       {map[string]any{"aud": []string{"romm", "x"}, "azp": "romm"}, false},
		"aud of another client with azp": {map[string]any{"aud": "x", "azp": "romm"}, false},
		"aud of another client":          {map[string]any{"aud": "x"}, true},
		"at_hash of the access token":    {map[string]any{"at_hash": half("at")}, false},
		"at_hash of another token":       {map[string]any{"at_hash": half("x")}, true},
		"auth_time as text":              {map[string]any{"auth_time": "now"}, true},
		"amr as text":                    {map[string]any{"amr": "pwd"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newOP(t)
			p.claims = test.claims
			answer := newBrowser(t, New(p.options(""))).signIn(p)
			if test.crash {
				wantCrash(t, answer)
			} else {
				wantStatus(t, answer, http.StatusTemporaryRedirect)
			}
		})
	}
}

func TestSigningKeys(t *testing.T) {
	t.Parallel()
	for _, alg := range []jose.SignatureAlgorithm{jose.ES256, jose.RS256, jose.EdDSA} {
		t.Run(string(alg), func(t *testing.T) {
			t.Parallel()
			p := newOP(t)
			p.alg, p.key = alg, generate(t, alg)
			wantStatus(t, newBrowser(t, New(p.options(""))).signIn(p), http.StatusTemporaryRedirect)
		})
	}
	t.Run("only RS256 if the metadata names no algorithm", func(t *testing.T) {
		t.Parallel()
		p := newOP(t)
		p.metadata["id_token_signing_alg_values_supported"] = nil
		wantCrash(t, newBrowser(t, New(p.options(""))).signIn(p))
	})
	t.Run("the only key if the token has no kid", func(t *testing.T) {
		t.Parallel()
		p := newOP(t)
		p.kid = ""
		wantStatus(t, newBrowser(t, New(p.options(""))).signIn(p), http.StatusTemporaryRedirect)
	})
	t.Run("a new kid reads the keys again", func(t *testing.T) {
		t.Parallel()
		p := newOP(t)
		s := New(p.options(""))
		newBrowser(t, s).signIn(p)
		p.key, p.kid = generate(t, jose.ES256), "two"
		wantStatus(t, newBrowser(t, s).signIn(p), http.StatusTemporaryRedirect)
	})
	t.Run("a new key under the same kid fails until a restart", func(t *testing.T) {
		t.Parallel()
		p := newOP(t)
		s := New(p.options(""))
		newBrowser(t, s).signIn(p)
		p.key = generate(t, jose.ES256)
		wantCrash(t, newBrowser(t, s).signIn(p))
		s.Restart()
		wantStatus(t, newBrowser(t, s).signIn(p), http.StatusTemporaryRedirect)
	})
}

func TestProviderResponses(t *testing.T) {
	t.Parallel()
	t.Run("metadata is kept, a failure to read it is not", func(t *testing.T) {
		t.Parallel()
		p := newOP(t)
		b := newBrowser(t, New(p.options("")))
		p.metadata["nonce"] = "poison"
		wantCrash(t, b.get("/api/login/openid"))
		delete(p.metadata, "nonce")
		wantStatus(t, b.get("/api/login/openid"), http.StatusFound)
		p.metadata["authorization_endpoint"] = "http://elsewhere"
		if target := b.get("/api/login/openid").Header.Get("Location"); !strings.HasPrefix(target, p.URL) {
			t.Errorf("sign-in goes to %s, want the authorization endpoint read first (%s)", target, p.URL)
		}
	})
	t.Run("redirects are not followed", func(t *testing.T) {
		t.Parallel()
		p := newOP(t)
		redirect := http.NewServeMux()
		redirect.Handle("/", http.RedirectHandler(p.URL+"/.well-known/openid-configuration", http.StatusPermanentRedirect))
		front := newServer(t, redirect)
		options := p.options("")
		options.OIDC.ServerURL = front
		options.OIDC.HTTPClient = &http.Client{}
		wantCrash(t, newBrowser(t, New(options)).get("/api/login/openid"))
	})
	t.Run("an error of the token endpoint crashes", func(t *testing.T) {
		t.Parallel()
		p := newOP(t)
		p.answer = func(doc map[string]any) { doc["error"] = "invalid_grant" }
		wantCrash(t, newBrowser(t, New(p.options(""))).signIn(p))
	})
	t.Run("a missing ID token is a 400", func(t *testing.T) {
		t.Parallel()
		p := newOP(t)
		p.answer = func(doc map[string]any) { delete(doc, "id_token") }
		answer := newBrowser(t, New(p.options(""))).signIn(p)
		wantStatus(t, answer, http.StatusBadRequest)
		if body := text(t, answer); body != `{"detail":"Userinfo is missing from token."}` {
			t.Errorf("body is %s, want that userinfo is missing", body)
		}
	})
	t.Run("a public client sends its client_id in the body", func(t *testing.T) {
		t.Parallel()
		p := newOP(t)
		options := p.options("")
		options.OIDC.ClientSecret = ""
		wantStatus(t, newBrowser(t, New(options)).signIn(p), http.StatusTemporaryRedirect)
		if p.token.Header.Get("Authorization") != "" || !strings.HasSuffix(p.body, "&client_id=romm") {
			t.Errorf("token request is %v %s, want client_id in the body and no Authorization", p.token.Header, p.body)
		}
	})
}
