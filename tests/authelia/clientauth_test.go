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
		{name: "basic", client: "romm", header: basic("romm", secret), status: 200},
		{name: "basic and client_id", client: "romm", header: basic("romm", secret), form: []string{"client_id", "romm"}, status: 200},
		{name: "basic and secret in the body", client: "romm", header: basic("romm", secret), form: []string{"client_id", "romm", "client_secret", secret}, status: 400, code: "invalid_request"},
		{name: "odd secret, form-encoded", client: "odd", header: basic("odd", odd), status: 200},
		{name: "odd secret, raw", client: "odd", header: raw("odd", odd), status: 401, code: "invalid_client"},
		{name: "wrong secret", client: "romm", header: basic("romm", "wrong"), status: 401, code: "invalid_client"},
		{name: "unknown client", client: "romm", header: basic("nobody", secret), status: 401, code: "invalid_client"},
		{name: "nothing", client: "romm", status: 400, code: "invalid_request"},
		{
			name: "post instead of basic", client: "romm", form: []string{"client_id", "romm", "client_secret", secret}, status: 401, code: "invalid_client",
			text: "method 'client_secret_post', however the OAuth 2.0 client registration does not allow this method.",
		},
		{name: "client_id only", client: "romm", form: []string{"client_id", "romm"}, status: 401, code: "invalid_client"},
		{name: "post", client: "post", form: []string{"client_id", "post", "client_secret", secret}, status: 200},
		{
			name: "basic instead of post", client: "post", header: basic("post", secret), status: 401, code: "invalid_client",
			text: "method 'client_secret_basic', however the OAuth 2.0 client registration does not allow this method.",
		},
		{name: "not Base64", client: "romm", header: "Basic !", status: 401, code: "invalid_client"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p := newParty(t)
			code := p.code(query(test.client), "alice")
			form := redemption(code)
			for i := 0; i+1 < len(test.form); i += 2 {
				form.Set(test.form[i], test.form[i+1])
			}
			header := []string{}
			if test.header != "" {
				header = append(header, "Authorization", test.header)
			}
			answer := p.token("", form, header...)
			p.status("token", answer, test.status)
			if test.status == http.StatusOK {
				return
			}
			object := answer.json(t)
			if object["error"] != test.code || !strings.HasSuffix(text(object["error_description"]), test.text) {
				t.Errorf("error %v", object)
			}
			if answer.Header.Get("WWW-Authenticate") != "" {
				t.Error("WWW-Authenticate at the token endpoint")
			}
			if test.client == "romm" {
				p.status("the code stays usable", p.token("romm", redemption(code)), http.StatusOK)
			}
		})
	}
}

func TestPublicClient(t *testing.T) {
	p := newParty(t, func(o *authelia.Options) {
		o.Clients = append(o.Clients, authelia.Client{ID: "public", AuthMethod: "none", RedirectURIs: []string{callback}})
	})
	form := redemption(p.code(query("public"), "alice"))
	form.Set("client_id", "public")
	answer := p.token("", form)
	p.status("token", answer, http.StatusOK)
	p.status("revocation", p.call("/api/oidc/revocation", "", url.Values{"client_id": {"public"}, "token": {"x"}}), http.StatusOK)
}

func TestRevocation(t *testing.T) {
	const path = "/api/oidc/revocation"
	for _, kind := range []string{"access_token", "refresh_token"} {
		t.Run(kind+" kills both", func(t *testing.T) {
			p := newParty(t)
			tokens := p.full()
			answer := p.call(path, "full", url.Values{"token": {text(tokens[kind])}})
			p.status("revocation", answer, http.StatusOK)
			if answer.body != "" {
				t.Errorf("body %q", answer.body)
			}
			p.status("access token", p.userinfo(tokens["access_token"]), http.StatusUnauthorized)
			p.status("refresh token", p.renew("full", tokens["refresh_token"]), http.StatusBadRequest)
		})
	}
	p := newParty(t)
	tokens := p.full()
	p.status("garbage", p.call(path, "full", url.Values{"token": {"x"}}), http.StatusOK)
	foreign := p.call(path, "romm", url.Values{"token": {text(tokens["access_token"])}})
	p.status("foreign client", foreign, http.StatusBadRequest)
	has(t, foreign.json(t), map[string]string{"error": `"unauthorized_client"`})
	p.status("wrong secret", p.call(path, "", url.Values{"token": {"x"}}, "Authorization", basic("full", "wrong")), http.StatusUnauthorized)
	p.status("still good", p.userinfo(tokens["access_token"]), http.StatusOK)
	p.status("a post client by post", p.call(path, "", url.Values{"token": {"x"}, "client_id": {"post"}, "client_secret": {secret}}), http.StatusUnauthorized)
	p.status("a post client by basic", p.call(path, "post", url.Values{"token": {"x"}}), http.StatusOK)
	p.status("GET", p.get(path), http.StatusMethodNotAllowed)
}

func TestIntrospection(t *testing.T) {
	const path = "/api/oidc/introspection"
	p := newParty(t)
	tokens := p.full()
	active := map[string]string{
		"active": "true", "client_id": `"full"`, "sub": `"` + p.op.Subject("alice") + `"`, "username": `"alice"`,
		"scope": `"openid profile email groups offline_access"`,
	}
	p.op.DisableUser("alice") // makes no difference
	for _, kind := range []string{"access_token", "refresh_token"} {
		answer := p.call(path, "romm", url.Values{"token": {text(tokens[kind])}}) // any client may ask
		p.status(kind, answer, http.StatusOK)
		has(t, answer.json(t), active)
	}
	unknown := p.call(path, "romm", url.Values{"token": {"x"}})
	if unknown.body != `{"active":false}` {
		t.Errorf("unknown token: %s", unknown.body)
	}
	p.op.ExpireAccessTokens()
	has(t, p.call(path, "romm", url.Values{"token": {text(tokens["access_token"])}}).json(t), map[string]string{"active": "false"})
	p.status("wrong secret", p.call(path, "", url.Values{"token": {"x"}}, "Authorization", basic("romm", "wrong")), http.StatusUnauthorized)
}
