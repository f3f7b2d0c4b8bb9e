// What the stand-in reads of Authelia's own files.

package authelia

import (
	"strings"
	"testing"
)

// The vectors are those of the original.
func TestDigests(t *testing.T) {
	t.Parallel()
	const test = "$pbkdf2-sha512$310000$MDEyMzQ1Njc4OWFiY2RlZg$xGZclRS/j8pvkqgB8/8T/c2SPDHBuF5JHdFm1NNZdwX6SBNsnLIgpK1DsMfxKyNXfPunO.UH6nS5BKrLFVG7Cg"
	if !matches("", test, "test-vector-secret") || matches("", test, "test-vector-secre") || matches("", test, "") {
		t.Error("the digest does not match its secret, or matches another")
	}
	for _, wrong := range []string{"", "secret", "$pbkdf2-sha512$310000$MDEy+zQ1$xGZc", "$pbkdf2-sha512$x$MDEy$xGZc", "$argon2id$v=19$m=1$MDEy$xGZc"} {
		if _, err := parseDigest(wrong); err == nil {
			t.Errorf("the digest %q is accepted, want an error", wrong)
		}
	}
}

// A private_key_jwt client has no secret, and the method at all four endpoints.
func TestReadPrivateKeyJWT(t *testing.T) {
	t.Parallel()
	const endpoints = "token pushed_authorization_request revocation introspection"
	client := func(endpoints string, more ...string) string {
		lines := append([]string{"identity_providers:", "  oidc:", "    clients:", "      - client_id: 'romm'", "        authorization_policy: 'one_factor'", "        response_types:", "          - 'code'"}, more...)
		for endpoint := range strings.FieldsSeq(endpoints) {
			lines = append(lines, "        "+endpoint+"_endpoint_auth_method: 'private_key_jwt'", "        "+endpoint+"_endpoint_auth_signing_alg: 'RS256'")
		}
		return strings.Join(lines, "\n") + "\n"
	}
	const uri = "        jwks_uri: 'https://romm.example.test/keys'"
	clients, err := ReadClients([]byte(client(endpoints, uri)))
	if err != nil || clients[0].AuthMethod != "private_key_jwt" || clients[0].AuthAlg != "RS256" || clients[0].JWKSURI != "https://romm.example.test/keys" {
		t.Errorf("got %+v, error %v, want a client with a key", clients, err)
	}
	for name, text := range map[string]string{
		"a secret":       client(endpoints, uri, "        client_secret: '$pbkdf2-sha512$1000$MDEyMzQ1$MDEy'"),
		"not everywhere": client("token revocation introspection", uri),
		"http":           client(endpoints, "        jwks_uri: 'http://romm.example.test/keys'"),
		"no keys":        client(endpoints),
	} {
		if _, err := ReadClients([]byte(text)); err == nil {
			t.Errorf("%s is accepted, want an error", name)
		}
	}
}

// As in the original, a key with a typing mistake stops the start.
func TestReadRefusesUnknownKeys(t *testing.T) {
	t.Parallel()
	if _, err := ReadClients([]byte("identity_providers:\n  oidc:\n    clients:\n      - client_id: 'romm'\n        require_pcke: true\n")); err == nil || !strings.Contains(err.Error(), "require_pcke") {
		t.Errorf("got error %v, want one that names the key", err)
	}
}
