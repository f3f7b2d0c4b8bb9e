// Tests of the ID token.

package op

import (
	"io"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"

	"github.com/romm-oidc/caddy-romm-oidc/flow/keyring/keyringtest"
)

func TestOptionalClaims(t *testing.T) {
	for name, row := range map[string]struct {
		change func(*Claims)
		claim  string
		want   any // nil: the claim is left out
	}{
		"no roles":        {func(c *Claims) { c.Roles = nil }, "romm_roles", nil},
		"empty roles":     {func(c *Claims) { c.Roles = []string{} }, "romm_roles", []any{}},
		"one role":        {func(c *Claims) { c.Roles = []string{"user"} }, "romm_roles", []any{"user"}},
		"two roles":       {func(c *Claims) { c.Roles = []string{"a,b", "c"} }, "romm_roles", []any{"a,b", "c"}},
		"no name":         {func(c *Claims) { c.Name = "" }, "name", nil},
		"no auth_time":    {func(c *Claims) { c.AuthTime = 0 }, "auth_time", nil},
		"markup":          {func(c *Claims) { c.Name = `<b>&"\` }, "name", `<b>&"\`},
		"other alphabets": {func(c *Claims) { c.Username = "Ωμέγα 🕹" }, "preferred_username", "Ωμέγα 🕹"},
	} {
		t.Run(name, func(t *testing.T) {
			provider, _ := loaded(t, testConfig)
			claims := testClaims
			row.change(&claims)
			payload := part(t, redeem(t, provider, code(t, provider, claims))["id_token"], 1)
			got, present := payload[row.claim]
			if present != (row.want != nil) || !reflect.DeepEqual(got, row.want) {
				t.Errorf("claim %s = %#v (present: %v), want %#v", row.claim, got, present, row.want)
			}
		})
	}
}

// An independent relying party, go-oidc, accepts the ID token: metadata, keys,
// signature, issuer, audience, expiry and at_hash.
func TestIDTokenUnderGoOIDC(t *testing.T) {
	for _, algorithm := range []string{ES256, RS256} {
		t.Run(algorithm, func(t *testing.T) {
			config := testConfig
			config.Algorithm = algorithm
			provider := newProvider(testGate, keyringtest.New(), time.Now, config)
			server := serve(t, provider)
			relyingParty, err := oidc.NewProvider(t.Context(), server.URL+testIssuerPath)
			if err != nil {
				t.Fatal(err)
			}
			request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, relyingParty.Endpoint().TokenURL,
				strings.NewReader(tokenForm(code(t, provider, testClaims)).Encode()))
			if err != nil {
				t.Fatal(err)
			}
			request.Header = tokenRequest(nil).Header
			answer, err := http.DefaultClient.Do(request)
			if err != nil {
				t.Fatal(err)
			}
			defer answer.Body.Close()
			body, err := io.ReadAll(answer.Body)
			if err != nil {
				t.Fatal(err)
			}
			response := object(t, body)
			token, err := relyingParty.Verifier(&oidc.Config{ClientID: "romm", SupportedSigningAlgs: []string{algorithm}}).
				Verify(t.Context(), response["id_token"].(string))
			if err != nil {
				t.Fatal(err)
			}
			if err := token.VerifyAccessToken(response["access_token"].(string)); err != nil {
				t.Errorf("VerifyAccessToken: %v, want no error", err)
			}
			if token.Nonce != "the-nonce" || token.Subject != testClaims.Subject {
				t.Errorf("nonce %q, sub %q, want the-nonce and %q", token.Nonce, token.Subject, testClaims.Subject)
			}
		})
	}
}

// An attacker who can add parameters or header fields to a token request tries
// to become another user.
// The ID token still says what was sealed into the code.
func TestNoParameterReachesTheIDToken(t *testing.T) {
	provider, _ := loaded(t, testConfig)
	reference := part(t, redeem(t, provider, code(t, provider, testClaims))["id_token"], 1)
	form := tokenForm(code(t, provider, testClaims))
	for name := range reference {
		if !form.Has(name) {
			form.Set(name, "evil")
		}
	}
	for _, name := range []string{"scope", "claims", "id_token", "resource", "audience", "state", "max_age", "code_verifier"} {
		form.Set(name, "evil")
	}
	request := tokenRequest(form)
	request.URL.RawQuery = form.Encode()
	for _, name := range []string{"Remote-User", "Remote-Email", "Remote-Groups", "X-Forwarded-User", "X-Forwarded-Host", "Origin"} {
		request.Header.Set(name, "evil")
	}
	recorder := post(provider, request)
	if recorder.Code != http.StatusOK {
		t.Fatalf("answer %d %s, want 200", recorder.Code, recorder.Body)
	}
	got := part(t, object(t, recorder.Body.Bytes())["id_token"], 1)
	delete(got, "at_hash")
	delete(reference, "at_hash")
	if !reflect.DeepEqual(got, reference) {
		t.Errorf("claims of the ID token %v, want %v", got, reference)
	}
}
