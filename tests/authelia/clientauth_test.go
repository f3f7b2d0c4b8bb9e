// Tests of client authentication, revocation and introspection.

package authelia_test

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/romm-oidc/caddy-romm-oidc/tests/authelia"
)

func jsonText(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestClientAuthentication(t *testing.T) {
	raw := func(id, secret string) string {
		return "Basic " + base64.StdEncoding.EncodeToString([]byte(id+":"+secret))
	}
	const odd = "a%b+c d\u00e9:e"
	tests := []struct {
		name   string
		client string
		header string
		form   []string
		status int
		code   string
		text   string
	}{
		{name: "client_secret_basic", client: "romm", header: basic("romm", secret), status: 200},
		{name: "client_secret_basic with client_id in the body", client: "romm", header: basic("romm", secret), form: []string{"client_id", "romm"}, status: 200},
		{name: "client_secret_basic with the secret in the body too", client: "romm", header: basic("romm", secret), form: []string{"client_id", "romm", "client_secret", secret}, status: 400, code: "invalid_request"},
		{name: "secret with special characters, form-encoded", client: "odd", header: basic("odd", odd), status: 200},
		{name: "secret with special characters, not encoded", client: "odd", header: raw("odd", odd), status: 401, code: "invalid_client"},
		{name: "wrong secret", client: "romm", header: basic("romm", "wrong"), status: 401, code: "invalid_client"},
		{name: "unknown client", client: "romm", header: basic("unknown", secret), status: 401, code: "invalid_client"},
		{name: "no client authentication", client: "romm", status: 400, code: "invalid_request"},
		{
			name: "client_secret_post by a client_secret_basic client", client: "romm", form: []string{"client_id", "romm", "client_secret", secret}, status: 401, code: "invalid_client",
			text: "method 'client_secret_post', however the OAuth 2.0 client registration does not allow this method.",
		},
		{name: "client_id without a secret", client: "romm", form: []string{"client_id", "romm"}, status: 401, code: "invalid_client"},
		{name: "client_secret_post", client: "post", form: []string{"client_id", "post", "client_secret", secret}, status: 200},
		{
			name: "client_secret_basic by a client_secret_post client", client: "post", header: basic("post", secret), status: 401, code: "invalid_client",
			text: "method 'client_secret_basic', however the OAuth 2.0 client registration does not allow this method.",
		},
		{name: "Basic credentials that are not Base64", client: "romm", header: "Basic !", status: 401, code: "invalid_client"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			h := newHarness(t)
			code := h.code(query(test.client), "alice")
			form := redemption(code)
			for i := 0; i+1 < len(test.form); i += 2 {
				form.Set(test.form[i], test.form[i+1])
			}
			header := []string{}
			if test.header != "" {
				header = append(header, "Authorization", test.header)
			}
			answer := h.token("", form, header...)
			h.status("token", answer, test.status)
			if test.status == http.StatusOK {
				return
			}
			object := answer.json(t)
			if object["error"] != test.code || !strings.HasSuffix(text(object["error_description"]), test.text) {
				t.Errorf("body is %v, want error %s and a description that ends in %q", object, test.code, test.text)
			}
			if got := answer.Header.Get("WWW-Authenticate"); got != "" {
				t.Errorf("WWW-Authenticate is %q, want none", got)
			}
			if test.client == "romm" {
				h.status("the same code with the right secret", h.token("romm", redemption(code)), http.StatusOK)
			}
		})
	}
}

func TestPublicClient(t *testing.T) {
	h := newHarness(t, func(o *authelia.Options) {
		o.Clients = append(o.Clients, authelia.Client{ID: "public", AuthMethod: "none", RedirectURIs: []string{callback}})
	})
	form := redemption(h.code(query("public"), "alice"))
	form.Set("client_id", "public")
	answer := h.token("", form)
	h.status("token", answer, http.StatusOK)
	h.status("revocation", h.call("/api/oidc/revocation", "", url.Values{"client_id": {"public"}, "token": {"x"}}), http.StatusOK)
}

func TestRevocation(t *testing.T) {
	const path = "/api/oidc/revocation"
	for _, kind := range []string{"access_token", "refresh_token"} {
		t.Run(kind+" revokes both tokens", func(t *testing.T) {
			h := newHarness(t)
			tokens := h.full()
			answer := h.call(path, "full", url.Values{"token": {text(tokens[kind])}})
			h.status("revocation", answer, http.StatusOK)
			if answer.body != "" {
				t.Errorf("body is %q, want an empty one", answer.body)
			}
			h.status("access token", h.userinfo(tokens["access_token"]), http.StatusUnauthorized)
			h.status("refresh token", h.renew("full", tokens["refresh_token"]), http.StatusBadRequest)
		})
	}
	h := newHarness(t)
	tokens := h.full()
	h.status("unknown token", h.call(path, "full", url.Values{"token": {"x"}}), http.StatusOK)
	foreign := h.call(path, "romm", url.Values{"token": {text(tokens["access_token"])}})
	h.status("another client's token", foreign, http.StatusBadRequest)
	has(t, foreign.json(t), map[string]string{"error": `"unauthorized_client"`})
	h.status("wrong secret", h.call(path, "", url.Values{"token": {"x"}}, "Authorization", basic("full", "wrong")), http.StatusUnauthorized)
	h.status("access token after the refusals", h.userinfo(tokens["access_token"]), http.StatusOK)
	h.status("client_secret_post client by post", h.call(path, "", url.Values{"token": {"x"}, "client_id": {"post"}, "client_secret": {secret}}), http.StatusUnauthorized)
	h.status("client_secret_post client by basic", h.call(path, "post", url.Values{"token": {"x"}}), http.StatusOK)
	h.status("GET", h.get(path), http.StatusMethodNotAllowed)
}

func TestIntrospection(t *testing.T) {
	const path = "/api/oidc/introspection"
	h := newHarness(t)
	tokens := h.full()
	active := map[string]string{
		"active": "true", "client_id": `"full"`, "sub": `"` + h.op.Subject("alice") + `"`, "username": `"alice"`,
		"scope": `"openid profile email groups offline_access"`,
	}
	h.op.DisableUser("alice") // introspection ignores the account
	for _, kind := range []string{"access_token", "refresh_token"} {
		answer := h.call(path, "romm", url.Values{"token": {text(tokens[kind])}}) // any client may ask
		h.status(kind, answer, http.StatusOK)
		has(t, answer.json(t), active)
	}
	unknown := h.call(path, "romm", url.Values{"token": {"x"}})
	if unknown.body != `{"active":false}` {
		t.Errorf("unknown token: body is %s, want active false only", unknown.body)
	}
	h.op.ExpireAccessTokens()
	has(t, h.call(path, "romm", url.Values{"token": {text(tokens["access_token"])}}).json(t), map[string]string{"active": "false"})
	h.status("wrong secret", h.call(path, "", url.Values{"token": {"x"}}, "Authorization", basic("romm", "wrong")), http.StatusUnauthorized)
}
