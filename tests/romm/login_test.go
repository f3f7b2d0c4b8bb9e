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

func TestLoginOnTheWire(t *testing.T) {
	t.Parallel()
	p := newOP(t)
	s := New(p.options(""))
	b := newBrowser(t, s)
	answer := b.get("/api/login/openid")
	wantStatus(t, answer, http.StatusFound)
	target, _ := url.Parse(answer.Header.Get("Location"))
	query := target.Query()
	if len(query.Get("state")) != 30 || len(query.Get("nonce")) != 20 {
		t.Errorf("state %q, nonce %q", query.Get("state"), query.Get("nonce"))
	}
	want := "response_type=code&client_id=romm&redirect_uri=https%3A%2F%2Fromm.example.com%2Fapi%2Foauth%2Fopenid" +
		"&scope=openid+profile+email+romm_roles&state=" + query.Get("state") + "&nonce=" + query.Get("nonce")
	if target.RawQuery != want {
		t.Errorf("query %s\nwant  %s", target.RawQuery, want)
	}
	before := b.cookies[sessionCookie]
	if line := setCookie(answer, sessionCookie); line != sessionCookie+"="+before+"; path=/; Max-Age=1209600; httponly; samesite=lax" {
		t.Errorf("session cookie %q", line)
	}
	if line := setCookie(answer, csrfCookie); !strings.HasSuffix(line, "; Path=/; SameSite=lax") {
		t.Errorf("CSRF cookie %q", line)
	}
	p.nonce = query.Get("nonce")
	answer = b.get("/api/oauth/openid/?code=c%2B1&state=" + query.Get("state"))
	wantStatus(t, answer, http.StatusTemporaryRedirect)
	if answer.Header.Get("Location") != "/" || b.cookies[sessionCookie] != before {
		t.Errorf("Location %q, session %q, was %q", answer.Header.Get("Location"), b.cookies[sessionCookie], before)
	}
	id, secret, _ := p.token.BasicAuth()
	if id != "romm" || secret != "se+cret%2F" {
		t.Errorf("Basic %q %q", id, secret)
	}
	if p.body != "grant_type=authorization_code&redirect_uri=https%3A%2F%2Fromm.example.com%2Fapi%2Foauth%2Fopenid&code=c%2B1" {
		t.Errorf("token request %q", p.body)
	}
	if p.token.Header.Get("Accept") != "application/json" || p.token.UserAgent() != "Authlib/1.6.12 (+https://authlib.org)" {
		t.Errorf("headers %v", p.token.Header)
	}
	if me := b.me(); me["username"] != "Kim" || me["email"] != "kim@example.com" || me["role"] != "user" || me["current_device_id"] == nil {
		t.Errorf("me %v", me)
	}
	if last, _ := s.LastRequest("/api/users/me"); last.User != "Kim" || last.Host != "romm.example.com" {
		t.Errorf("logged %+v", last)
	}
	newBrowser(t, s).signIn(p)
	if !slices.Equal(p.hits, []string{"/.well-known/openid-configuration", "/token", "/jwks", "/token"}) {
		t.Errorf("provider was asked %v", p.hits)
	}
}

func TestLoginDisabled(t *testing.T) {
	t.Parallel()
	b := newBrowser(t, New(Options{}))
	for _, path := range []string{"/api/login/openid", "/api/oauth/openid?code=1&state=2"} {
		answer := b.get(path)
		wantStatus(t, answer, http.StatusInternalServerError)
		if body := text(t, answer); body != `{"detail":"OAuth disabled"}` {
			t.Errorf("%s: %s", path, body)
		}
	}
}

func TestState(t *testing.T) {
	t.Parallel()
	start := func(t *testing.T, b *browser, p *op) string {
		t.Helper()
		target, _ := url.Parse(b.get("/api/login/openid").Header.Get("Location"))
		p.nonce = target.Query().Get("nonce")
		return "/api/oauth/openid?code=1&state=" + target.Query().Get("state")
	}
	for name, test := range map[string]func(t *testing.T, b *browser, p *op){
		"second start deletes the first": func(t *testing.T, b *browser, p *op) {
			t.Helper()
			first, nonce := start(t, b, p), p.nonce
			second := start(t, b, p)
			wanted := p.nonce
			p.nonce = nonce
			wantCrash(t, b.get(first))
			p.nonce = wanted
			wantStatus(t, b.get(second), http.StatusTemporaryRedirect)
		},
		"wrong one burns nothing": func(t *testing.T, b *browser, p *op) {
			t.Helper()
			good := start(t, b, p)
			wantCrash(t, b.get(good+"x"))
			wantStatus(t, b.get(good), http.StatusTemporaryRedirect)
		},
		"works once": func(t *testing.T, b *browser, p *op) {
			t.Helper()
			good := start(t, b, p)
			b.get(good)
			wantCrash(t, b.get(good))
			if b.me()["username"] != "Kim" {
				t.Error("the failed callback ended the login")
			}
		},
		"error in the query": func(t *testing.T, b *browser, p *op) {
			t.Helper()
			wantCrash(t, b.get(start(t, b, p)+"&error=x"))
		},
		"without cookie": func(t *testing.T, b *browser, p *op) {
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

func TestIDToken(t *testing.T) {
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
		"plain":                    {},
		"without iss":              {map[string]any{"iss": nil}, true},
		"other issuer":             {map[string]any{"iss": "https://other"}, true},
		"without sub":              {map[string]any{"sub": nil}, true},
		"without iat":              {map[string]any{"iat": nil}, true},
		"without exp":              {map[string]any{"exp": nil}, true},
		"without nonce":            {map[string]any{"nonce": nil}, true},
		"other nonce":              {map[string]any{"nonce": "x"}, true},
		"expired within leeway":    {map[string]any{"exp": at(-time.Minute)}, false},
		"expired":                  {map[string]any{"exp": at(-5 * time.Minute)}, true},
		"from the future":          {map[string]any{"iat": at(5 * time.Minute)}, true},
		"audience list of one":     {map[string]any{"aud": []string{"romm"}}, false},
		"audience list of two":     {map[string]any{"aud": []string{"romm", "x"}}, true},
		"audience of two with azp": {map[string]any{"aud": []string{"romm", "x"}, "azp": "romm"}, false},
		"other audience with azp":  {map[string]any{"aud": "x", "azp": "romm"}, false},
		"other audience":           {map[string]any{"aud": "x"}, true},
		"at_hash":                  {map[string]any{"at_hash": half("at")}, false},
		"wrong at_hash":            {map[string]any{"at_hash": half("x")}, true},
		"auth_time as text":        {map[string]any{"auth_time": "now"}, true},
		"amr as text":              {map[string]any{"amr": "pwd"}, true},
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

func TestKeys(t *testing.T) {
	t.Parallel()
	for _, alg := range []jose.SignatureAlgorithm{jose.ES256, jose.RS256, jose.EdDSA} {
		t.Run(string(alg), func(t *testing.T) {
			t.Parallel()
			p := newOP(t)
			p.alg, p.key = alg, generate(t, alg)
			wantStatus(t, newBrowser(t, New(p.options(""))).signIn(p), http.StatusTemporaryRedirect)
		})
	}
	t.Run("only RS256 if the metadata is silent", func(t *testing.T) {
		t.Parallel()
		p := newOP(t)
		p.metadata["id_token_signing_alg_values_supported"] = nil
		wantCrash(t, newBrowser(t, New(p.options(""))).signIn(p))
	})
	t.Run("no kid and one key", func(t *testing.T) {
		t.Parallel()
		p := newOP(t)
		p.kid = ""
		wantStatus(t, newBrowser(t, New(p.options(""))).signIn(p), http.StatusTemporaryRedirect)
	})
	t.Run("new kid reads the keys again", func(t *testing.T) {
		t.Parallel()
		p := newOP(t)
		s := New(p.options(""))
		newBrowser(t, s).signIn(p)
		p.key, p.kid = generate(t, jose.ES256), "two"
		wantStatus(t, newBrowser(t, s).signIn(p), http.StatusTemporaryRedirect)
	})
	t.Run("same kid, new key fails until a restart", func(t *testing.T) {
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

func TestProvider(t *testing.T) {
	t.Parallel()
	t.Run("a failed load is not kept, a good one is", func(t *testing.T) {
		t.Parallel()
		p := newOP(t)
		b := newBrowser(t, New(p.options("")))
		p.metadata["nonce"] = "poison"
		wantCrash(t, b.get("/api/login/openid"))
		delete(p.metadata, "nonce")
		wantStatus(t, b.get("/api/login/openid"), http.StatusFound)
		p.metadata["authorization_endpoint"] = "http://elsewhere"
		if target := b.get("/api/login/openid").Header.Get("Location"); !strings.HasPrefix(target, p.URL) {
			t.Errorf("metadata was read again: %s", target)
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
	t.Run("token error", func(t *testing.T) {
		t.Parallel()
		p := newOP(t)
		p.answer = func(doc map[string]any) { doc["error"] = "invalid_grant" }
		wantCrash(t, newBrowser(t, New(p.options(""))).signIn(p))
	})
	t.Run("no ID token", func(t *testing.T) {
		t.Parallel()
		p := newOP(t)
		p.answer = func(doc map[string]any) { delete(doc, "id_token") }
		answer := newBrowser(t, New(p.options(""))).signIn(p)
		wantStatus(t, answer, http.StatusBadRequest)
		if body := text(t, answer); body != `{"detail":"Userinfo is missing from token."}` {
			t.Error(body)
		}
	})
	t.Run("public client", func(t *testing.T) {
		t.Parallel()
		p := newOP(t)
		options := p.options("")
		options.OIDC.ClientSecret = ""
		wantStatus(t, newBrowser(t, New(options)).signIn(p), http.StatusTemporaryRedirect)
		if p.token.Header.Get("Authorization") != "" || !strings.HasSuffix(p.body, "&client_id=romm") {
			t.Errorf("token request %v %s", p.token.Header, p.body)
		}
	})
}
