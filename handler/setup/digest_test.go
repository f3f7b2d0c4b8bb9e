// The digests are those that Authelia computes.

package setup

import (
	"encoding/base64"
	"encoding/hex"
	"regexp"
	"testing"
)

// The vectors are Authelia's own: the second is the client of RomM's guide.
func TestSecretDigest(t *testing.T) {
	t.Parallel()
	guide, err := hex.DecodeString("73ca7bf27ee950c967d23cef77868ae1")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		secret string
		salt   []byte
		want   string
	}{
		{"test-vector-secret", []byte("0123456789abcdef"), "$pbkdf2-sha512$310000$MDEyMzQ1Njc4OWFiY2RlZg$xGZclRS/j8pvkqgB8/8T/c2SPDHBuF5JHdFm1NNZdwX6SBNsnLIgpK1DsMfxKyNXfPunO.UH6nS5BKrLFVG7Cg"},
		{"insecure_secret", guide, "$pbkdf2-sha512$310000$c8p78n7pUMln0jzvd4aK4Q$JNRBzwAo0ek5qKn50cFzzvE9RXV88h1wJn5KGiHrD0YKtZaR/nCb2CJPOsKaPK0hjf.9yHxzQGZziziccp6Yng"},
	} {
		if got, err := secretDigest(c.secret, c.salt); err != nil || got != c.want {
			t.Errorf("the digest of %q is %s, error %v, want %s", c.secret, got, err, c.want)
		}
	}
}

// The vector is that of the reference implementation of Argon2.
func TestPasswordDigest(t *testing.T) {
	t.Parallel()
	got := passwordDigest("password", []byte("somesalt"), argonCost{memory: 64 << 10, iterations: 2, parallelism: 1})
	if want := "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$" + base64Of(t, "09316115d5cf24ed5a15a31a3ba326e5cf32edc24702987c02b6566f61913cf7"); got != want {
		t.Errorf("the digest of the reference's password is %s, want %s", got, want)
	}
}

func base64Of(t *testing.T, digits string) string {
	t.Helper()
	key, err := hex.DecodeString(digits)
	if err != nil {
		t.Fatal(err)
	}
	return base64.RawStdEncoding.EncodeToString(key)
}

// Two secrets differ, and have nothing that an environment file, a Basic
// header field or a YAML string would change.
func TestNewSecret(t *testing.T) {
	t.Parallel()
	first, second := newSecret(), newSecret()
	if first == second || !regexp.MustCompile(`^[A-Za-z0-9]{52}$`).MatchString(first) {
		t.Errorf("the secrets are %q and %q, want two different ones of 52 letters and digits", first, second)
	}
}
