// Tests of the faults and violations, and of the record of requests.

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

func TestEditedClaimsAreStillSigned(t *testing.T) {
	tests := []struct {
		name string
		edit authelia.Edit
		want map[string]string
	}{
		{"iss of another issuer", authelia.Set("iss", "https://evil.example.test"), map[string]string{"iss": `"https://evil.example.test"`}},
		{"sub and iat removed", authelia.Without("sub", "iat"), map[string]string{"sub": "absent", "iat": "absent"}},
		{"aud with a second audience", authelia.Set("aud", []string{"romm", "other"}), map[string]string{"aud": `["romm","other"]`}},
		{"two edits at once", authelia.Edits(authelia.Set("azp", "other"), authelia.Without("nonce")), map[string]string{"azp": `"other"`, "nonce": "absent"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			h := newHarness(t)
			h.op.Misbehave(func(m *authelia.Misbehaviour) { m.IDToken = test.edit })
			token := h.tokens(query("romm"), "alice")["id_token"]
			_, claims := payload(t, token)
			has(t, claims, test.want)
			if err := verify(h, token, jose.RS256); err != nil {
				t.Errorf("verifying the ID token: error is %v, want nil: only its claims are wrong", err)
			}
			h.op.Behave()
			_, claims = payload(t, h.tokens(query("romm"), "alice")["id_token"])
			has(t, claims, map[string]string{"iss": `"` + issuer + `"`, "azp": `"romm"`})
		})
	}
}

func TestBadSignaturesDoNotVerify(t *testing.T) {
	tests := []struct {
		name      string
		signature authelia.Signature
		alg       jose.SignatureAlgorithm
		header    map[string]string
	}{
		{"foreign key under the announced kid", authelia.SignedByForeignKey, jose.RS256, map[string]string{"alg": `"RS256"`, "kid": `"main-rs256"`}},
		{"kid that the JWKS lacks", authelia.SignedByUnknownKey, jose.RS256, map[string]string{"alg": `"RS256"`}},
		{"signature with a changed byte", authelia.SignedThenBroken, jose.RS256, map[string]string{"alg": `"RS256"`, "kid": `"main-rs256"`}},
		{"claims changed after signing", authelia.SignedThenAltered, jose.RS256, map[string]string{"alg": `"RS256"`, "kid": `"main-rs256"`}},
		{"alg none", authelia.SignedNone, jose.RS256, map[string]string{"alg": `"none"`, "kid": "absent"}},
		{"HS256 with the client secret", authelia.SignedWithClientSecret, jose.RS256, map[string]string{"alg": `"HS256"`}},
		{"another algorithm", authelia.SignedWithAnotherAlg, jose.RS256, map[string]string{"alg": `"ES256"`}},
		{"header without kid", authelia.SignedWithoutKeyID, jose.RS256, map[string]string{"alg": `"RS256"`, "kid": "absent"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			h := newHarness(t)
			h.op.Misbehave(func(m *authelia.Misbehaviour) { m.Signature = test.signature })
			token := h.tokens(query("romm"), "alice")["id_token"]
			header, _ := payload(t, token)
			has(t, header, test.header)
			if err := verify(h, token, test.alg); err == nil {
				t.Error("verifying the ID token: error is nil, want one")
			}
		})
	}
}

func TestEditedResponses(t *testing.T) {
	h := newHarness(t)
	h.op.Misbehave(func(m *authelia.Misbehaviour) {
		m.Metadata = authelia.Set("issuer", "https://evil.example.test")
		m.AuthorizationResponse = func(params url.Values) { params.Del("iss") }
		m.TokenResponse = authelia.Edits(authelia.Without("expires_in", "id_token"), authelia.Set("token_type", "BeArEr"))
		m.TokenPadding = 5000
		m.Userinfo = func(claims map[string]any) any { return []any{claims["sub"]} }
		m.JWKS = authelia.Set("keys", []any{})
	})
	has(t, h.get("/jwks.json").json(t), map[string]string{"keys": "[]"})
	has(t, h.get("/.well-known/openid-configuration").json(t), map[string]string{"issuer": `"https://evil.example.test"`})
	params := h.login(query("romm"), "alice")
	if params.Has("iss") {
		t.Errorf("callback has %v, want no iss", params)
	}
	tokens := h.token("romm", redemption(params.Get("code"))).json(t)
	has(t, tokens, map[string]string{"expires_in": "absent", "id_token": "absent", "token_type": `"BeArEr"`})
	if got := len(text(tokens["access_token"])); got != 5099 {
		t.Errorf("access token has %d bytes, want 5099", got)
	}
	h.op.Misbehave(func(m *authelia.Misbehaviour) { m.TokenPadding = 0 })
	form := url.Values{"access_token": {text(tokens["access_token"])}}
	if got := h.call("/api/oidc/userinfo", "", form).body; got != `["`+h.op.Subject("alice")+`"]` {
		t.Errorf("userinfo body is %s, want a list with the sub", got)
	}
}

func TestFaults(t *testing.T) {
	h := newHarness(t)
	h.op.Misbehave(func(m *authelia.Misbehaviour) {
		m.Fail(authelia.EndpointToken, authelia.Fault{Status: http.StatusInternalServerError, Times: 2})
		m.Fail(authelia.EndpointDiscovery, authelia.Fault{Header: http.Header{"Content-Type": {"text/html"}}, Body: "<html>"})
		m.Fail(authelia.EndpointUserinfo, authelia.Fault{Body: strings.Repeat("a", 4<<20)})
		m.Fail(authelia.EndpointJWKS, authelia.Fault{Status: http.StatusFound, Header: http.Header{"Location": {"/elsewhere"}}})
		m.Fail(authelia.EndpointRevocation, authelia.Fault{Reset: true})
	})
	for range 2 {
		h.status("token request while the fault lasts", h.token("romm", nil), http.StatusInternalServerError)
	}
	h.status("token request after the fault", h.token("romm", nil), http.StatusBadRequest)
	if got := h.get("/.well-known/openid-configuration"); got.StatusCode != http.StatusOK || got.body != "<html>" {
		t.Errorf("discovery: response is %d %s, want 200 <html>", got.StatusCode, got.body)
	}
	if got := len(h.userinfo("x").body); got != 4<<20 {
		t.Errorf("userinfo body has %d bytes, want 4 MiB", got)
	}
	h.status("JWKS with a fault", h.get("/jwks.json"), http.StatusFound)
	if err := h.broken("/api/oidc/revocation"); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("revocation: error is %v, want io.ErrUnexpectedEOF", err)
	}
	h.op.Behave()
	h.status("JWKS after Behave", h.get("/jwks.json"), http.StatusOK)
}

// broken returns the error of a request that receives no response.
func (h *harness) broken(path string) error {
	h.Helper()
	r, err := http.NewRequestWithContext(h.Context(), http.MethodGet, issuer+path, nil)
	if err != nil {
		h.Fatal(err)
	}
	answer, err := h.browser.Do(r)
	if err == nil {
		_ = answer.Body.Close()
	}
	return err
}

func TestDownAndUnavailable(t *testing.T) {
	h := newHarness(t)
	h.op.Down()
	if err := h.broken("/jwks.json"); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("stand-in down: error is %v, want io.ErrUnexpectedEOF", err)
	}
	h.op.Unavailable()
	h.status("stand-in unavailable", h.get("/jwks.json"), http.StatusServiceUnavailable)
	h.op.Up()
	h.status("stand-in up again", h.get("/jwks.json"), http.StatusOK)
	if got := h.op.Calls(authelia.EndpointJWKS); got != 3 {
		t.Errorf("JWKS has %d calls, want 3: all that arrived", got)
	}
}

func TestHangingRequestEnds(t *testing.T) {
	t.Run("the client gives up", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			h := newHarness(t)
			h.op.Hang()
			h.browser.Timeout = 10 * time.Second
			if err := h.broken("/jwks.json"); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("stand-in hangs: error is %v, want context.DeadlineExceeded", err)
			}
		})
	})
	t.Run("the stand-in comes back", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			h := newHarness(t)
			h.op.Misbehave(func(m *authelia.Misbehaviour) { m.Fail(authelia.EndpointJWKS, authelia.Fault{Hang: true}) })
			ended := make(chan error, 1)
			go func() { ended <- h.broken("/jwks.json") }()
			synctest.Wait()
			h.op.Behave()
			if err := <-ended; !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("after Behave: error is %v, want io.ErrUnexpectedEOF", err)
			}
		})
	})
}

func TestRequestsAreRecorded(t *testing.T) {
	h := newHarness(t)
	h.tokens(query("romm"), "alice")
	last, ok := h.op.LastRequest(authelia.EndpointToken)
	if !ok || last.Method != http.MethodPost || last.Host != "auth.example.test" || last.Form.Get("code_verifier") != verifier ||
		last.Header.Get("Authorization") != basic("romm", secret) || last.URL.Path != "/api/oidc/token" {
		t.Errorf("last token request is %+v, want the redemption by client romm", last)
	}
	if got := len(h.op.Requests(authelia.EndpointAuthorization)); got != h.op.Calls(authelia.EndpointAuthorization) || got == 0 {
		t.Errorf("%d authorization requests are recorded, want %d, and more than 0", got, h.op.Calls(authelia.EndpointAuthorization))
	}
	h.op.ForgetRequests()
	if _, ok := h.op.LastRequest(authelia.EndpointToken); ok || h.op.Calls(authelia.EndpointToken) != 0 {
		t.Error("a token request is still recorded, want none after ForgetRequests")
	}
	defer func() {
		if recover() == nil {
			t.Error("Calls accepted an unknown endpoint, want a panic")
		}
	}()
	h.op.Calls("tokens")
}

// Over real connections, as in the demo, the sign-in works and Down breaks the connection.
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
		t.Errorf("SignIn: callback is %q and error %v, want a code", location, err)
	}
	op.Down()
	if answer, err := server.Client().Get(server.URL); err == nil {
		_ = answer.Body.Close()
		t.Errorf("stand-in down: status is %s, want a broken connection", answer.Status)
	}
}
