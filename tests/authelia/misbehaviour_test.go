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
)

func TestMisbehavingClaims(t *testing.T) {
	tests := []struct {
		name string
		edit Edit
		want map[string]string
	}{
		{"wrong iss", Set("iss", "https://evil.example.test"), map[string]string{"iss": `"https://evil.example.test"`}},
		{"missing sub and iat", Without("sub", "iat"), map[string]string{"sub": "absent", "iat": "absent"}},
		{"extra audience", Set("aud", []string{"romm", "other"}), map[string]string{"aud": `["romm","other"]`}},
		{"both", Edits(Set("azp", "other"), Without("nonce")), map[string]string{"azp": `"other"`, "nonce": "absent"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p := newParty(t)
			p.op.Misbehave(func(m *Misbehaviour) { m.IDToken = test.edit })
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
		signature Signature
		alg       jose.SignatureAlgorithm
		header    map[string]string
	}{
		{"foreign key", SignedByForeignKey, jose.RS256, map[string]string{"alg": `"RS256"`, "kid": `"main-rs256"`}},
		{"unknown key", SignedByUnknownKey, jose.RS256, map[string]string{"alg": `"RS256"`}},
		{"broken", SignedThenBroken, jose.RS256, map[string]string{"alg": `"RS256"`, "kid": `"main-rs256"`}},
		{"altered", SignedThenAltered, jose.RS256, map[string]string{"alg": `"RS256"`, "kid": `"main-rs256"`}},
		{"none", SignedNone, jose.RS256, map[string]string{"alg": `"none"`, "kid": "absent"}},
		{"client secret", SignedWithClientSecret, jose.RS256, map[string]string{"alg": `"HS256"`}},
		{"no kid", SignedWithoutKeyID, jose.RS256, map[string]string{"alg": `"RS256"`, "kid": "absent"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p := newParty(t)
			p.op.Misbehave(func(m *Misbehaviour) { m.Signature = test.signature })
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
	p.op.Misbehave(func(m *Misbehaviour) {
		m.Metadata = Set("issuer", "https://evil.example.test")
		m.AuthorizationResponse = func(params url.Values) { params.Del("iss") }
		m.TokenResponse = Edits(Without("expires_in", "id_token"), Set("token_type", "BeArEr"))
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
	p.op.Misbehave(func(m *Misbehaviour) { m.TokenPadding = 0 })
	form := url.Values{"access_token": {text(tokens["access_token"])}}
	if got := p.call("/api/oidc/userinfo", "", form).body; got != `["`+p.op.Subject("alice")+`"]` {
		t.Errorf("userinfo %s", got)
	}
}

func TestFaults(t *testing.T) {
	p := newParty(t)
	p.op.Misbehave(func(m *Misbehaviour) {
		m.Fail(EndpointToken, Fault{Status: http.StatusInternalServerError, Times: 2})
		m.Fail(EndpointDiscovery, Fault{Header: http.Header{"Content-Type": {"text/html"}}, Body: "<html>"})
		m.Fail(EndpointUserinfo, Fault{Body: strings.Repeat("a", 4<<20)})
		m.Fail(EndpointJWKS, Fault{Status: http.StatusFound, Header: http.Header{"Location": {"/elsewhere"}}})
		m.Fail(EndpointRevocation, Fault{Reset: true})
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
	if got := p.op.Calls(EndpointJWKS); got != 3 {
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
			p.op.Misbehave(func(m *Misbehaviour) { m.Fail(EndpointJWKS, Fault{Hang: true}) })
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
	last, ok := p.op.LastRequest(EndpointToken)
	if !ok || last.Method != http.MethodPost || last.Host != "auth.example.test" || last.Form.Get("code_verifier") != verifier ||
		last.Header.Get("Authorization") != basic("romm", secret) || last.URL.Path != "/api/oidc/token" {
		t.Errorf("recorded %+v", last)
	}
	if got := len(p.op.Requests(EndpointAuthorization)); got != p.op.Calls(EndpointAuthorization) || got == 0 {
		t.Errorf("%d authorization requests", got)
	}
	p.op.ForgetRequests()
	if _, ok := p.op.LastRequest(EndpointToken); ok || p.op.Calls(EndpointToken) != 0 {
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
	var op *Server
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { op.ServeHTTP(w, r) }))
	defer server.Close()
	op = New(Options{
		Issuer:  server.URL,
		Clients: []Client{{ID: "romm", Secret: secret, RedirectURIs: []string{callback}}},
		Users:   []User{{Name: "alice", Password: "alice-pw"}},
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
