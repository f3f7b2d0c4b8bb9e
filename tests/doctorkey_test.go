// The doctor and what a client is registered with: keys in place of a secret,
// algorithms, and endpoints on other hosts.

package tests

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"github.com/romm-oidc/caddy-romm-oidc/flow/op"
	"github.com/romm-oidc/caddy-romm-oidc/handler/doctor"
	"github.com/romm-oidc/caddy-romm-oidc/tests/authelia"
)

// keyFile writes a private key for ES256, and returns its file and public part.
func keyFile(t *testing.T) (file string, public jose.JSONWebKeySet) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	file = filepath.Join(t.TempDir(), "client.pem")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	keys, err := op.FixedKey(text)
	if err != nil {
		t.Fatal(err)
	}
	signing, err := keys.SigningKey(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	own, _ := signing.Key.(jose.JSONWebKey)
	own = own.Public()
	own.Algorithm, own.Use = "ES256", "sig"
	return file, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{own}}
}

// saying is a gate of the running Caddy that met a mismatch.
func saying(mismatch string) func(*ward) {
	return state(doctor.State{Origin: "https://romm.example.com", Mismatch: mismatch})
}

func byKeyLines(file string) string {
	return "client_auth private_key_jwt\n\t\tclient_key " + file + "\n\t\tromm_client_secret {env.OIDC_CLIENT_SECRET}"
}

// configured changes the Caddyfile of a ward.
func configured(oldnew ...string) func(*ward) {
	return func(w *ward) { w.config = strings.NewReplacer(oldnew...) }
}

func TestDoctorOnKeysAndAlgorithms(t *testing.T) {
	file, public := keyFile(t)
	other, _ := keyFile(t)
	byKeyOf := func(file string) func(*ward) {
		return configured(secretLine, byKeyLines(file))
	}
	registered := func(o *authelia.Options) {
		c := &o.Clients[0]
		c.Secret, c.AuthMethod, c.AuthAlg, c.JWKS = "", "private_key_jwt", "ES256", public
	}
	atAuthelia := func(w *ward) { w.change = registered }
	onlyES256 := answering("/jwks.json", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(public)
	})
	keys := func(body string) func(*ward) {
		return func(w *ward) {
			w.siteAs(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
				if r.URL.Path == keysPath {
					_, _ = rw.Write([]byte(body))
					return
				}
				_, _ = rw.Write([]byte(`{"detail":"","code":"not_signed_in","reference":"ABC"}`))
			}))
			w.config = strings.NewReplacer("redirect_uri https://", "redirect_uri http://", "romm.example.com, ", "http://romm.example.com, ", secretLine, byKeyLines(file))
			plain := w.change
			w.change = func(o *authelia.Options) { plain(o); registered(o) }
		}
	}
	for name, c := range map[string]struct {
		code string
		harm []func(*ward)
		want string // part of what was seen, or to be written
	}{
		"a key in a file":                     {"", []func(*ward){byKeyOf(file), atAuthelia}, ""},
		"another key":                         {"authelia_client_key", []func(*ward){byKeyOf(other), atAuthelia}, "token_endpoint_auth_method: 'private_key_jwt'"},
		"a key, and registered with a secret": {"authelia_client_key", []func(*ward){byKeyOf(file)}, "invalid_client"},
		"no such file":                        {"config_client_key", []func(*ward){byKeyOf("/nonexistent.pem")}, "no such file"},
		"a method that the metadata lack":     {"authelia_client_auth", []func(*ward){metadata(authelia.Set("token_endpoint_auth_methods_supported", []string{"none", "private_key_jwt"}))}, "client_auth private_key_jwt"},
		"an algorithm that the metadata lack": {"authelia_client_key", []func(*ward){byKeyOf(file), metadata(authelia.Set("token_endpoint_auth_signing_alg_values_supported", []string{"RS256"}))}, "RS256"},
		"the gate's own key is refused": {"authelia_client_key", []func(*ward){
			configured(secretLine, "client_auth private_key_jwt"), atAuthelia, saying("the token endpoint answered 401 invalid_client"),
		}, "401 invalid_client"},
		"keys behind a sign-in": {"site_client_keys", []func(*ward){keys("<html>Please sign in")}, "jwks_uri: 'http://romm.example.com"},
		"no keys":               {"site_client_keys", []func(*ward){keys(`{"keys":[]}`)}, "without keys"},
		"keys":                  {"", []func(*ward){keys(`{"keys":[{}]}`)}, ""},

		"ID tokens with another algorithm":        {"authelia_id_token_alg", []func(*ward){saying(`the ID token is invalid: malformed: it is signed with ES256, not RS256: write "id_token_alg ES256" if`)}, "id_token_alg ES256"},
		"userinfo with another algorithm":         {"authelia_userinfo_alg", []func(*ward){saying(`userinfo is invalid: malformed: it is signed with PS256, not none: write "userinfo_alg PS256" if`)}, "userinfo_alg PS256"},
		"userinfo that is not signed":             {"authelia_userinfo_alg", []func(*ward){saying(`userinfo is invalid: it is not signed: leave out "userinfo_alg RS256", or have the provider sign it`)}, "userinfo_alg RS256"},
		"an algorithm of ID tokens not supported": {"authelia_id_token_alg", []func(*ward){metadata(authelia.Set("id_token_signing_alg_values_supported", []string{"HS256", "PS256"}))}, "id_token_alg PS256"},
		"an algorithm of userinfo not supported": {"authelia_userinfo_alg", []func(*ward){
			configured(secretLine, secretLine+"\n\t\tuserinfo_alg RS256"), metadata(authelia.Set("userinfo_signing_alg_values_supported", []string{"none"})),
		}, "userinfo_alg none"},
		"no key for the algorithm": {"authelia_keys", []func(*ward){func(w *ward) { w.front = onlyES256 }}, "id_token_alg ES256"},
		"the key of id_token_alg":  {"", []func(*ward){configured(secretLine, secretLine+"\n\t\tid_token_alg ES256"), func(w *ward) { w.front = onlyES256 }}, ""},

		"an endpoint on another host": {"authelia_endpoint_host", []func(*ward){metadata(authelia.Set("revocation_endpoint", "https://login.example.com/revoke"))}, "revocation_endpoint is https://login.example.com/revoke"},
	} {
		t.Run(name, func(t *testing.T) {
			w := new(ward)
			for _, harm := range c.harm {
				harm(w)
			}
			var found []string
			for _, finding := range w.examine(t).Findings {
				if slices.Contains([]string{"site_unreachable", "config_http_origin", "romm_cookie_secure", "authelia_logout"}, finding.Code) { // neither Caddy nor all of Authelia runs
					continue
				}
				found = append(found, finding.Code)
				if finding.Code == c.code && !strings.Contains(finding.Seen+finding.Write, c.want) {
					t.Errorf("got %+v, want %q in it", finding, c.want)
				}
			}
			if want := strings.Fields(c.code); !slices.Equal(found, want) {
				t.Errorf("got the findings %q, want %q", found, want)
			}
		})
	}
}
