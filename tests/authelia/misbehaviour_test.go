package authelia_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/romm-oidc/caddy-romm-oidc/tests/authelia"
)

func TestMisbehavingClaims(t *testing.T) {
	tests := []struct {
		name string
		edit authelia.Edit
		want map[string]string
	}{
		{"wrong iss", authelia.Set("iss", "https://evil.example.test"), map[string]string{"iss": `"https://evil.example.test"`}},
		{"missing sub and iat", authelia.Without("sub", "iat"), map[string]string{"sub": "absent", "iat": "absent"}},
		{"extra audience", authelia.Set("aud", []string{"romm", "other"}), map[string]string{"aud": `["romm","other"]`}},
		{"both", authelia.Edits(authelia.Set("azp", "other"), authelia.Without("nonce")), map[string]string{"azp": `"other"`, "nonce": "absent"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p := newParty(t)
			p.op.Misbehave(func(m *authelia.Misbehaviour) { m.IDToken = test.edit })
			token := p.tokens(query("romm"), "alice")["id_token"]
			_, claims := payload(t, token)
			has(t, claims, test.want)
			if err := verify(p, token, jose.RS256); err != nil {
				t.Errorf("the signature is bad too: %v", err)
			}
			p.op.Behave()
			_, claims = payload(t, p.tokens(query("romm"), "alice")["id_token"])
			has(t, claims, map[string]string{"iss": `"` + issuer + `"`, "azp": `"romm"`})
		})
	}
}

func TestMisbehavingSignatures(t *testing.T) {
	tests := []struct {
		name      string
		signature authelia.Signature
		alg       jose.SignatureAlgorithm
		header    map[string]string
	}{
		{"foreign key", authelia.SignedByForeignKey, jose.RS256, map[string]string{"alg": `"RS256"`, "kid": `"main-rs256"`}},
		{"unknown key", authelia.SignedByUnknownKey, jose.RS256, map[string]string{"alg": `"RS256"`}},
		{"broken", authelia.SignedThenBroken, jose.RS256, map[string]string{"alg": `"RS256"`, "kid": `"main-rs256"`}},
		{"altered", authelia.SignedThenAltered, jose.RS256, map[string]string{"alg": `"RS256"`, "kid": `"main-rs256"`}},
		{"none", authelia.SignedNone, jose.RS256, map[string]string{"alg": `"none"`, "kid": "absent"}},
		{"client secret", authelia.SignedWithClientSecret, jose.RS256, map[string]string{"alg": `"HS256"`}},
		{"no kid", authelia.SignedWithoutKeyID, jose.RS256, map[string]string{"alg": `"RS256"`, "kid": "absent"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p := newParty(t)
			p.op.Misbehave(func(m *authelia.Misbehaviour) { m.Signature = test.signature })
			token := p.tokens(query("romm"), "alice")["id_token"]
			header, _ := payload(t, token)
			has(t, header, test.header)
			if err := verify(p, token, test.alg); err == nil {
				t.Error("it verifies")
			}
		})
	}
}

func TestMisbehavingResponses(t *testing.T) {
	p := newParty(t)
	p.op.Misbehave(func(m *authelia.Misbehaviour) {
		m.Metadata = authelia.Set("issuer", "https://evil.example.test")
		m.AuthorizationResponse = func(params url.Values) { params.Del("iss") }
		m.TokenResponse = authelia.Edits(authelia.Without("expires_in", "id_token"), authelia.Set("token_type", "BeArEr"))
		m.TokenPadding = 5000
		m.Userinfo = func(claims map[string]any) any { return []any{claims["sub"]} }
	})
	has(t, p.get("/.well-known/openid-configuration").json(t), map[string]string{"issuer": `"https://evil.example.test"`})
	params := p.login(query("romm"), "alice")
	if params.Has("iss") {
		t.Errorf("callback %v", params)
	}
	tokens := p.token("romm", redemption(params.Get("code"))).json(t)
	has(t, tokens, map[string]string{"expires_in": "absent", "id_token": "absent", "token_type": `"BeArEr"`})
	if got := len(text(tokens["access_token"])); got != 5099 {
		t.Errorf("access token of %d bytes", got)
	}
	p.op.Misbehave(func(m *authelia.Misbehaviour) { m.TokenPadding = 0 })
	form := url.Values{"access_token": {text(tokens["access_token"])}}
	if got := p.call("/api/oidc/userinfo", "", form).body; got != `["`+p.op.Subject("alice")+`"]` {
		t.Errorf("userinfo %s", got)
	}
}

func TestFaults(t *testing.T) {
	p := newParty(t)
	p.op.Misbehave(func(m *authelia.Misbehaviour) {
		m.Fail(authelia.EndpointToken, authelia.Fault{Status: http.StatusInternalServerError, Times: 2})
		m.Fail(authelia.EndpointDiscovery, authelia.Fault{Header: http.Header{"Content-Type": {"text/html"}}, Body: "<html>"})
		m.Fail(authelia.EndpointUserinfo, authelia.Fault{Body: strings.Repeat("a", 4<<20)})
		m.Fail(authelia.EndpointJWKS, authelia.Fault{Status: http.StatusFound, Header: http.Header{"Location": {"/elsewhere"}}})
		m.Fail(authelia.EndpointRevocation, authelia.Fault{Reset: true})
	})
	for range 2 {
		p.status("token", p.token("romm", nil), http.StatusInternalServerError)
	}
	p.status("token again", p.token("romm", nil), http.StatusBadRequest)
	if got := p.get("/.well-known/openid-configuration"); got.StatusCode != http.StatusOK || got.body != "<html>" {
		t.Errorf("discovery: %d %s", got.StatusCode, got.body)
	}
	if got := len(p.userinfo("x").body); got != 4<<20 {
		t.Errorf("userinfo of %d bytes", got)
	}
	p.status("JWKS", p.get("/jwks.json"), http.StatusFound)
	if err := p.broken("/api/oidc/revocation"); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("revocation: %v", err)
	}
	p.op.Behave()
	p.status("JWKS", p.get("/jwks.json"), http.StatusOK)
}

// broken returns the error of a request that gets no answer.
func (p *party) broken(path string) error {
	p.Helper()
	r, err := http.NewRequestWithContext(p.Context(), http.MethodGet, issuer+path, nil)
	if err != nil {
		p.Fatal(err)
	}
	answer, err := p.browser.Do(r)
	if err == nil {
		_ = answer.Body.Close()
	}
	return err
}

func TestDown(t *testing.T) {
	p := newParty(t)
	p.op.Down()
	if err := p.broken("/jwks.json"); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("down: %v", err)
	}
	p.op.Unavailable()
	p.status("unavailable", p.get("/jwks.json"), http.StatusServiceUnavailable)
	p.op.Up()
	p.status("up", p.get("/jwks.json"), http.StatusOK)
	if got := p.op.Calls(authelia.EndpointJWKS); got != 3 {
		t.Errorf("%d calls, want all that arrived", got)
	}
}

func TestHang(t *testing.T) {
	t.Run("the client gives up", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			p := newParty(t)
			p.op.Hang()
			p.browser.Timeout = 10 * time.Second
			if err := p.broken("/jwks.json"); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("hanging: %v", err)
			}
		})
	})
	t.Run("the stand-in comes back", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			p := newParty(t)
			p.op.Misbehave(func(m *authelia.Misbehaviour) { m.Fail(authelia.EndpointJWKS, authelia.Fault{Hang: true}) })
			ended := make(chan error, 1)
			go func() { ended <- p.broken("/jwks.json") }()
			synctest.Wait()
			p.op.Behave()
			if err := <-ended; !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("hanging: %v", err)
			}
		})
	})
}

func TestRequests(t *testing.T) {
	p := newParty(t)
	p.tokens(query("romm"), "alice")
	last, ok := p.op.LastRequest(authelia.EndpointToken)
	if !ok || last.Method != http.MethodPost || last.Host != "auth.example.test" || last.Form.Get("code_verifier") != verifier ||
		last.Header.Get("Authorization") != basic("romm", secret) || last.URL.Path != "/api/oidc/token" {
		t.Errorf("recorded %+v", last)
	}
	if got := len(p.op.Requests(authelia.EndpointAuthorization)); got != p.op.Calls(authelia.EndpointAuthorization) || got == 0 {
		t.Errorf("%d authorization requests", got)
	}
	p.op.ForgetRequests()
	if _, ok := p.op.LastRequest(authelia.EndpointToken); ok || p.op.Calls(authelia.EndpointToken) != 0 {
		t.Error("it did not forget")
	}
	defer func() {
		if recover() == nil {
			t.Error("a misspelt endpoint was taken")
		}
	}()
	p.op.Calls("tokens")
}

// The same over real connections: the demo's way, and a broken connection.
func TestOverTheNetwork(t *testing.T) {
	var op *authelia.Server
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { op.ServeHTTP(w, r) }))
	defer server.Close()
	op = authelia.New(authelia.Options{
		Issuer:  server.URL,
		Clients: []authelia.Client{{ID: "romm", Secret: secret, RedirectURIs: []string{callback}}},
		Users:   []authelia.User{{Name: "alice", Password: "alice-pw"}},
	})
	location, err := op.SignIn(server.Client(), server.URL+"/api/oidc/authorization?"+query("romm").Encode(), "alice", "alice-pw")
	if err != nil || !strings.HasPrefix(location, callback+"?code=authelia_ac_") {
		t.Errorf("SignIn: %s, %v", location, err)
	}
	op.Down()
	if answer, err := server.Client().Get(server.URL); err == nil {
		_ = answer.Body.Close()
		t.Errorf("down: %s", answer.Status)
	}
}
