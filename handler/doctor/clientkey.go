// The client's key, where client_auth is private_key_jwt.

package doctor

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"

	"golang.org/x/oauth2"

	"github.com/romm-oidc/caddy-romm-oidc/flow"
	"github.com/romm-oidc/caddy-romm-oidc/flow/op"
	"github.com/romm-oidc/caddy-romm-oidc/handler/settings"
)

// clientKey reads the file of client_key.
func clientKey(s *settings.Settings) (*op.Keys, error) {
	file, err := os.ReadFile(s.ClientKey)
	if err != nil {
		return nil, err
	}
	keys, err := op.FixedKey(file)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.ClientKey, err)
	}
	return keys, nil
}

// secretWord is the setting with the secret that RomM uses.
func secretWord(s *settings.Settings) string {
	if s.RommClientSecret != s.ClientSecret {
		return "romm_client_secret"
	}
	return "client_secret"
}

// clientAuth reports whether the metadata have the client's method, and the
// algorithm of its key. Metadata may leave them out.
func (e *examination) clientAuth(s *site, md *metadata) bool {
	method := s.settings.ClientAuth
	if method != settings.ClientAuthKey {
		method = "client_secret_" + method
	}
	if len(md.TokenAuth) > 0 && !slices.Contains(md.TokenAuth, method) {
		finding := Finding{
			Site: s.name, Seen: fmt.Sprintf("token_endpoint_auth_methods_supported is %q", md.TokenAuth), Expected: method, Line: e.settingLine("client_auth", s.settings.ClientAuth),
		}
		for _, other := range []string{"client_secret_basic", "client_secret_post", settings.ClientAuthKey} {
			if slices.Contains(md.TokenAuth, other) {
				finding.Write = "client_auth " + strings.TrimPrefix(other, "client_secret_")
				break
			}
		}
		e.add("authelia_client_auth", finding)
		return false
	}
	if s.settings.ClientAuth != settings.ClientAuthKey {
		return true
	}
	algorithm := op.RS256
	if s.settings.ClientKey != "" {
		key, err := clientKey(s.settings)
		if err != nil {
			return false // reported with the configuration
		}
		algorithm = key.Algorithm()
	}
	if len(md.TokenAuthAlgs) > 0 && !slices.Contains(md.TokenAuthAlgs, algorithm) {
		e.add("authelia_client_key", Finding{
			Site: s.name, Seen: fmt.Sprintf("token_endpoint_auth_signing_alg_values_supported is %q", md.TokenAuthAlgs), Expected: algorithm, Line: e.settingLine("client_key", s.settings.ClientKey),
		})
		return false
	}
	return true
}

// assertion is tokenRequest with the key of client_key. The gate's own keys are the
// running Caddy's alone, which tells by its last sign-in.
func (e *examination) assertion(ctx context.Context, s *site, client *http.Client) {
	if s.settings.ClientKey == "" {
		e.skipped("whether Authelia accepts the key of the client: only the running Caddy has it, and a sign-in shows it")
		return
	}
	key, err := clientKey(s.settings)
	if err != nil {
		return // reported with the configuration
	}
	rp := flow.New(flow.Config{
		Issuer: s.settings.Issuer, ClientID: s.settings.ClientID, ClientAuth: flow.ClientAuthKey, ClientKeys: key, RedirectURI: s.settings.RedirectURI, Client: client,
	})
	_, err = rp.Exchange(ctx, &flow.Login{Verifier: oauth2.GenerateVerifier()}, "doctor-"+rand.Text())
	switch limited, ok := errors.AsType[*flow.EndpointError](err); {
	case ok && limited.Status == http.StatusTooManyRequests:
		e.add("authelia_rate_limit", Finding{Site: s.name, Seen: err.Error(), Expected: "an answer"})
	case errors.Is(err, flow.ErrProviderUnavailable):
		e.add("authelia_unreachable", Finding{Site: s.name, Seen: err.Error(), Expected: "an answer of the token endpoint"})
	case rp.Mismatch() != nil:
		e.clientMismatch(s, Finding{Site: s.name, Seen: err.Error()})
	}
}

// clientMismatch adds that the provider does not accept the client's key. Of a
// secret, tokenRequest tells.
func (e *examination) clientMismatch(s *site, finding Finding) {
	if s.settings.ClientAuth != settings.ClientAuthKey {
		return
	}
	finding.Expected = "private_key_jwt with jwks_uri " + s.settings.RedirectURI + flow.ClientKeysPath
	finding.Line = "token_endpoint_auth_method of the client in Authelia's configuration.yml"
	finding.Write = "token_endpoint_auth_method: 'private_key_jwt'"
	e.add("authelia_client_key", finding)
}

// publishedKeys examines the address of the client's keys.
func (e *examination) publishedKeys(ctx context.Context, s *site) {
	if s.settings.ClientAuth != settings.ClientAuthKey {
		return
	}
	at := s.settings.RedirectURI + flow.ClientKeysPath
	answer, body, err := get(ctx, e.plain, at) //nolint:bodyclose // get closed it
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	seen := ""
	switch {
	case err != nil:
		seen = err.Error()
	case answer.StatusCode != http.StatusOK || json.Unmarshal(body, &set) != nil || len(set.Keys) == 0:
		seen = at + " answered " + answer.Status + " without keys"
	}
	if seen != "" {
		e.add("site_client_keys", Finding{Site: s.name, Seen: seen, Expected: "200 with keys", Line: "jwks_uri of the client in Authelia's configuration.yml", Write: "jwks_uri: '" + at + "'"})
	}
}
