// A client that authenticates with a key in place of a secret.

package tests

import (
	"encoding/json"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/romm-oidc/caddy-romm-oidc/handler/admin"
	"github.com/romm-oidc/caddy-romm-oidc/tests/authelia"
)

const (
	byKey    = "romm_client_secret insecure_secret\n\t\tclient_auth private_key_jwt"
	keysPath = base + "/client-jwks"
)

// keyed registers the client with the keys that the gate publishes, which Authelia reads inside the network.
func keyed(algorithm string) func(*authelia.Options) {
	return func(o *authelia.Options) {
		c := &o.Clients[0]
		c.Secret, c.AuthMethod, c.AuthAlg, c.JWKSURI = "", "private_key_jwt", algorithm, inside+keysPath
		c.Scopes, c.GrantTypes = append(c.Scopes, "offline_access"), []string{"authorization_code", "refresh_token"}
	}
}

// kids returns the kid of each key that the gate publishes, at its public address.
func (s *stack) kids() (kids []string) {
	s.t.Helper()
	answer := s.browser().do(keysPath)
	var set struct {
		Keys []map[string]any `json:"keys"`
	}
	if err := json.Unmarshal([]byte(answer.body), &set); err != nil || answer.StatusCode != http.StatusOK || answer.Header.Get("Content-Type") != "application/json" {
		s.t.Fatalf("%s answered %d: %s (%v)", keysPath, answer.StatusCode, answer.body, err)
	}
	for _, key := range set.Keys {
		for _, private := range []string{"d", "p", "q", "dp", "dq", "qi", "k"} {
			if key[private] != nil {
				s.t.Errorf("%s shows %s of a key, want its public parts only", keysPath, private)
			}
		}
		kid, _ := key["kid"].(string)
		kids = append(kids, kid)
	}
	return kids
}

// usedKey returns the kid of the key that signed the latest token request.
func (s *stack) usedKey() string {
	s.t.Helper()
	request, _ := s.authelia.LastRequest(authelia.EndpointToken)
	signed, err := jose.ParseSignedCompact(request.Form.Get("client_assertion"), []jose.SignatureAlgorithm{jose.RS256})
	if err != nil {
		s.t.Fatal(err)
	}
	return signed.Signatures[0].Header.KeyID
}

// The gate makes its key, Authelia reads it from the gate, and users sign in. A
// rotation, a reload and a restart change nothing for them.
func TestSignInWithAKey(t *testing.T) {
	o := options{authelia: keyed("RS256"), secret: byKey, directive: rolesByMail + "\npush_authorization\nscopes openid profile email offline_access"}
	s := start(t, o)
	alice := s.as("alice")
	if me := alice.fetch("/api/users/me"); me.StatusCode != http.StatusOK || !strings.Contains(me.body, `"username":"alice"`) {
		t.Errorf("/api/users/me after a sign-in with a key answered %d: %s", me.StatusCode, me.body)
	}
	for _, endpoint := range []string{authelia.EndpointPAR, authelia.EndpointToken} {
		request, _ := s.authelia.LastRequest(endpoint)
		if !request.Form.Has("client_assertion") || request.Form.Has("client_secret") || request.Header.Get("Authorization") != "" {
			t.Errorf("%s got %v, want an assertion and no secret", endpoint, request.Form)
		}
	}
	before := s.kids()
	s.command("keys", "rotate")
	after := s.kids()
	if len(before) != 1 || len(after) != 2 || after[0] != before[0] {
		t.Fatalf("the keys %q became %q, want the old one and a new one", before, after)
	}
	s.as("bob")
	if kid := s.usedKey(); kid != before[0] {
		t.Errorf("right after the rotation %s signed, want %s until every node knows the new key", kid, before[0])
	}
	s.unload() // and with it the keys in memory
	s.ageKeys(2 * time.Hour)
	s.load(o)
	s.as("carol")
	if kid := s.usedKey(); kid != after[1] || len(s.kids()) != 2 {
		t.Errorf("two hours later %s signed and %q are published, want %s beside the old key", kid, s.kids(), after[1])
	}
	if answer := s.browser().do(keysPath, "Sec-Fetch-Mode", "no-cors"); answer.StatusCode != http.StatusOK {
		t.Errorf("as a script, %s answered %d", keysPath, answer.StatusCode)
	}
}

// A key in a file decides on the algorithm. A key that is not the registered one is
// no wrong secret: the page names what to change, and so does the status.
func TestSignInWithAKeyFile(t *testing.T) {
	file, _ := keyFile(t)
	s := start(t, options{authelia: keyed("ES256"), secret: byKey + "\n\t\tclient_key " + file, directive: rolesByMail})
	s.as("alice")
	s.authelia.UpdateClient("romm", func(c *authelia.Client) { c.AuthAlg = "RS256" })
	answer := s.browser().signIn("/rom/7", "bob")
	for _, want := range []string{"client_refused", "private_key_jwt", "ES256", public + keysPath} {
		if !strings.Contains(answer.body, want) {
			t.Errorf("the page of a refused key lacks %q: %s", want, answer.body)
		}
	}
	status := managed[admin.Status](s, admin.StatusPath)
	if len(status) != 1 || !strings.Contains(status[0].Provider.Mismatch, "invalid_client") || status[0].Well() {
		t.Errorf("the status is %+v, want invalid_client", status)
	}
	s.authelia.UpdateClient("romm", func(c *authelia.Client) { c.AuthAlg = "ES256" })
	s.as("bob")
	status = managed[admin.Status](s, admin.StatusPath)
	if status[0].Provider.Mismatch != "" {
		t.Errorf("after a sign-in the status is %+v, want no mismatch", status)
	}
}

// With a secret, there are no keys and no address of them.
func TestNoKeysWithASecret(t *testing.T) {
	s := start(t, options{})
	if answer := s.browser().do(keysPath); answer.StatusCode != http.StatusNotFound {
		t.Errorf("%s answered %d, want 404", keysPath, answer.StatusCode)
	}
	s.command("keys", "rotate")
	if entries, _ := filepath.Glob(s.storage + "/romm_oidc/*/client_keys.json"); len(entries) > 0 {
		t.Errorf("a rotation made %q, want no keys that nothing uses", entries)
	}
}
