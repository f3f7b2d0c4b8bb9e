// Tests of forged ID tokens.

package flow

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"github.com/romm-oidc/caddy-romm-oidc/tests/authelia"
)

// An attacker forges ID tokens: with their own key in the header, with a public
// key used as an HMAC secret, with alg none in other spellings.
func TestForgedIDToken(t *testing.T) {
	t.Parallel()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	own := jose.JSONWebKey{Key: private, Algorithm: "ES256", KeyID: "main-rs256"}
	public, err := json.Marshal(own.Public())
	if err != nil {
		t.Fatal(err)
	}
	byOwnKey := func(extra string) func([]byte) string {
		return func(claims []byte) string {
			header := `{"alg":"ES256","kid":"main-rs256","typ":"JWT"` + extra + `}`
			input := encode([]byte(header)) + "." + encode(claims)
			hash := sha256.Sum256([]byte(input))
			r, s, _ := ecdsa.Sign(rand.Reader, private, hash[:])
			return input + "." + encode(append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...))
		}
	}
	unsigned := func(alg string) func([]byte) string {
		return func(claims []byte) string { return encode([]byte(`{"alg":"`+alg+`"}`)) + "." + encode(claims) + "." }
	}
	for name, forge := range map[string]func(claims []byte) string{
		"own key":                        byOwnKey(""),
		"own key in jwk (CVE-2018-0114)": byOwnKey(`,"jwk":` + string(public)),
		"own key at jku":                 byOwnKey(`,"jku":"https://evil.example/jwks.json"`),
		"own key at x5u":                 byOwnKey(`,"x5u":"https://evil.example/cert.pem"`),
		"unknown crit":                   byOwnKey(`,"crit":["exp"]`),
		"alg None":                       unsigned("None"),
		"alg nOnE":                       unsigned("nOnE"),
		"alg empty":                      unsigned(""),
		"alg RS256 without a signature":  unsigned("RS256"),
		"public key as a secret": func(claims []byte) string {
			input := encode([]byte(`{"alg":"HS256","kid":"main-rs256"}`)) + "." + encode(claims)
			mac := hmac.New(sha256.New, public)
			mac.Write([]byte(input))
			return input + "." + encode(mac.Sum(nil))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHarness(t)
			h.op.Misbehave(func(m *authelia.Misbehaviour) {
				m.TokenResponse = func(response map[string]any) {
					claims, err := base64.RawURLEncoding.DecodeString(strings.Split(response["id_token"].(string), ".")[1])
					if err != nil {
						t.Error(err)
					}
					response["id_token"] = forge(claims)
				}
			})
			_, err := h.signIn()
			failsAs(t, err, ErrIDTokenInvalid, "")
			h.calls(authelia.EndpointUserinfo, 0)
			h.calls(authelia.EndpointOther, 0)
		})
	}
}

func encode(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }
