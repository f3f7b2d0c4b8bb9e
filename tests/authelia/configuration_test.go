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

// As in the original, a key with a typing mistake stops the start.
func TestReadRefusesUnknownKeys(t *testing.T) {
	t.Parallel()
	if _, err := ReadClients([]byte("identity_providers:\n  oidc:\n    clients:\n      - client_id: 'romm'\n        require_pcke: true\n")); err == nil || !strings.Contains(err.Error(), "require_pcke") {
		t.Errorf("got error %v, want one that names the key", err)
	}
}
