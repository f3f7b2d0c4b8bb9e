// Tests of client authentication by private_key_jwt.

package authelia_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/romm-oidc/caddy-romm-oidc/tests/authelia"
)

// signing is a client's key.
type signing struct{ key jose.JSONWebKey }

func newSigning(t *testing.T) signing {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return signing{jose.JSONWebKey{Key: key, KeyID: rand.Text(), Algorithm: "ES256", Use: "sig"}}
}

func (s signing) public() jose.JSONWebKeySet {
	return jose.JSONWebKeySet{Keys: []jose.JSONWebKey{s.key.Public()}}
}

// form returns a form with an assertion of claims.
func (s signing) form(t *testing.T, claims map[string]any) url.Values {
	t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: s.key}, nil)
	if err != nil {
		t.Fatal(err)
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := signed.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return url.Values{"token": {"x"}, "client_assertion": {raw}, "client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"}}
}

// keyed adds a client with keys.
func keyed(change func(*authelia.Client)) func(*authelia.Options) {
	return func(o *authelia.Options) {
		c := authelia.Client{ID: "keyed", AuthMethod: "private_key_jwt", AuthAlg: "ES256", RedirectURIs: []string{callback}}
		change(&c)
		o.Clients = append(o.Clients, c)
	}
}

// An assertion is checked as strictly as the original does: signature, algorithm,
// audience, times without leeway, parties, and its one use.
func TestClientAssertion(t *testing.T) {
	own, other := newSigning(t), newSigning(t)
	with := func(name string, value any) func(map[string]any) { return func(c map[string]any) { c[name] = value } }
	without := func(name string) func(map[string]any) { return func(c map[string]any) { delete(c, name) } }
	now := newHarness(t).Now().Unix()
	const path = "/api/oidc/introspection"
	for name, c := range map[string]struct {
		change func(map[string]any)
		key    signing
		code   string // empty: accepted
		text   string
	}{
		"issuer as audience":                  {func(map[string]any) {}, own, "", ""},
		"token endpoint as audience":          {with("aud", issuer+"/api/oidc/token"), own, "", ""},
		"endpoint for pushed requests in aud": {with("aud", []string{issuer + "/api/oidc/pushed-authorization-request"}), own, "", ""},
		"no iat":                              {without("iat"), own, "", ""},
		"another key":                         {func(map[string]any) {}, other, "invalid_client", "could not be decoded or validated."},
		"issuer with a slash":                 {with("aud", issuer+"/"), own, "invalid_client", "could not be decoded or validated."},
		"another audience":                    {with("aud", "https://login.example.test"), own, "invalid_client", "could not be decoded or validated."},
		"no audience":                         {without("aud"), own, "invalid_client", "could not be decoded or validated."},
		"expired":                             {with("exp", now), own, "invalid_client", "could not be decoded or validated."},
		"no exp":                              {without("exp"), own, "invalid_client", "could not be decoded or validated."},
		"issued in a second":                  {with("iat", now+1), own, "invalid_client", "could not be decoded or validated."},
		"valid in a second":                   {with("nbf", now+1), own, "invalid_client", "could not be decoded or validated."},
		"another issuer":                      {with("iss", "romm"), own, "invalid_client", "must match the 'client_id' of the OAuth 2.0 Client."},
		"an unknown client":                   {with("sub", "unknown"), own, "invalid_client", ""},
		"no jti":                              {without("jti"), own, "invalid_client", "must be set but is not."},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t, keyed(func(c *authelia.Client) { c.JWKS = own.public() }))
			claims := map[string]any{"iss": "keyed", "sub": "keyed", "aud": issuer, "exp": now + 60, "iat": now, "jti": rand.Text()}
			c.change(claims)
			form := c.key.form(t, claims)
			if c.key.key.KeyID == other.key.KeyID { // under the registered kid
				forged := c.key
				forged.key.KeyID = own.key.KeyID
				form = forged.form(t, claims)
			}
			answer := h.call(path, "", form)
			if c.code == "" {
				h.status("the first use", answer, http.StatusOK)
				again := h.call(path, "", form)
				h.status("the second use", again, http.StatusBadRequest)
				has(t, again.json(t), map[string]string{"error": `"jti_known"`})
				return
			}
			h.status("introspection", answer, http.StatusUnauthorized)
			if object := answer.json(t); object["error"] != c.code || !strings.HasSuffix(text(object["error_description"]), c.text) {
				t.Errorf("body is %v, want error %s and a description that ends in %q", object, c.code, c.text)
			}
		})
	}
}

// The method is the registered one, and the only one in a request.
func TestClientAssertionAndOtherMethods(t *testing.T) {
	const path = "/api/oidc/revocation"
	own := newSigning(t)
	h := newHarness(t, keyed(func(c *authelia.Client) { c.JWKS = own.public() }), func(o *authelia.Options) { o.Clients[0].JWKS, o.Clients[0].AuthAlg = own.public(), "ES256" })
	claims := func(client string) map[string]any {
		return map[string]any{"iss": client, "sub": client, "aud": issuer, "exp": h.Now().Unix() + 60, "jti": rand.Text()}
	}
	for name, c := range map[string]struct {
		form   url.Values
		header []string
		status int
	}{
		"client_id too":                          {url.Values{"client_id": {"keyed"}}, nil, 200},
		"another client_id":                      {url.Values{"client_id": {"romm"}}, nil, 401},
		"a secret too":                           {url.Values{"client_secret": {secret}}, nil, 400},
		"Basic too":                              {nil, []string{"Authorization", basic("romm", secret)}, 400},
		"another type of assertion":              {url.Values{"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:saml2-bearer"}}, nil, 400},
		"an empty assertion":                     {url.Values{"client_assertion": {""}}, nil, 400},
		"an assertion that is no JWT":            {url.Values{"client_assertion": {"x.y.z"}}, nil, 401},
		"a client with a secret, by its key":     {own.form(t, claims("romm")), nil, 401},
		"a client with a key, by a secret":       {url.Values{"client_assertion": nil, "client_assertion_type": nil, "client_id": {"keyed"}, "client_secret": {secret}}, nil, 401},
		"a client with a key, by a Basic secret": {url.Values{"client_assertion": nil, "client_assertion_type": nil}, []string{"Authorization", basic("keyed", secret)}, 401},
	} {
		form := own.form(t, claims("keyed"))
		maps.Copy(form, c.form)
		maps.DeleteFunc(form, func(_ string, values []string) bool { return values == nil })
		h.status(name, h.call(path, "", form, c.header...), c.status)
	}
}

// Keys at a jwks_uri are read once an hour, and when an assertion names an unknown one.
func TestClientKeysAtAnAddress(t *testing.T) {
	old, next := newSigning(t), newSigning(t)
	set, reads := old.public(), 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		reads++
		_ = json.NewEncoder(w).Encode(set)
	}))
	defer server.Close()
	h := newHarness(t, keyed(func(c *authelia.Client) { c.JWKSURI = server.URL }))
	call := func(what string, key signing, status, wantReads int) {
		t.Helper()
		form := key.form(t, map[string]any{"iss": "keyed", "sub": "keyed", "aud": issuer, "exp": h.Now().Unix() + 60, "jti": rand.Text()})
		h.status(what, h.call("/api/oidc/revocation", "", form), status)
		if reads != wantReads {
			t.Errorf("%s: %d reads of the keys, want %d", what, reads, wantReads)
		}
	}
	call("first", old, 200, 1)
	call("again", old, 200, 1)
	call("a key that is not published", next, 401, 2)
	set.Keys = append(set.Keys, next.public().Keys...)
	call("a key that is published", next, 200, 3)
	call("the old key", old, 200, 3)
	h.Advance(time.Hour)
	call("an hour later", old, 200, 4)
}
