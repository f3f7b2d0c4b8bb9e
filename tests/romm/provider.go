// RomM as an OpenID Connect client: metadata, keys and the token request.

package romm

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"

	"github.com/go-jose/go-jose/v4"
)

// provider holds the OpenID Provider's metadata and keys, each read once in the
// life of the process. A failed read is repeated.
type provider struct {
	oidc      OIDC
	url       string
	userAgent string

	mu   sync.Mutex
	meta *providerMetadata
	keys *jose.JSONWebKeySet
}

type providerMetadata struct {
	Issuer                string              `json:"issuer"`
	AuthorizationEndpoint string              `json:"authorization_endpoint"`
	TokenEndpoint         string              `json:"token_endpoint"`
	JWKSURI               string              `json:"jwks_uri"`
	JWKS                  *jose.JSONWebKeySet `json:"jwks"`
	EndSessionEndpoint    string              `json:"end_session_endpoint"`
	Algorithms            []string            `json:"id_token_signing_alg_values_supported"`
	Claims                []string            `json:"claims_supported"`
}

// RomM passes the whole document to the constructor of its HTTP client, where
// these keys change its behaviour or crash. Here all of them crash.
var poisonousMetadata = []string{
	"client_id", "client_secret", "scope", "state", "token", "timeout", "headers", "proxy", "verify", "cert",
	"token_endpoint_auth_method", "code_challenge_method", "response_mode", "prompt", "nonce",
}

func (p *provider) forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.meta, p.keys = nil, nil
}

func (p *provider) metadata(ctx context.Context) (*providerMetadata, error) {
	p.mu.Lock()
	known := p.meta
	p.mu.Unlock()
	if known != nil {
		return known, nil
	}
	var raw map[string]json.RawMessage
	body, err := p.get(ctx, p.url)
	if err == nil {
		err = json.Unmarshal(body, &raw)
	}
	if err != nil {
		return nil, fmt.Errorf("reading metadata: %w", err)
	}
	for _, key := range poisonousMetadata {
		if _, found := raw[key]; found {
			return nil, fmt.Errorf("metadata holds %q", key)
		}
	}
	meta := &providerMetadata{}
	if err := json.Unmarshal(body, meta); err != nil {
		return nil, fmt.Errorf("decoding metadata: %w", err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.meta = meta
	return meta, nil
}

// jwks returns the keys. force reads them again.
func (p *provider) jwks(ctx context.Context, meta *providerMetadata, force bool) (*jose.JSONWebKeySet, error) {
	if !force {
		p.mu.Lock()
		known := p.keys
		p.mu.Unlock()
		if known != nil {
			return known, nil
		}
		if meta.JWKS != nil {
			return meta.JWKS, nil
		}
	}
	if meta.JWKSURI == "" {
		return nil, errors.New("metadata has no jwks_uri")
	}
	keys := &jose.JSONWebKeySet{}
	body, err := p.get(ctx, meta.JWKSURI)
	if err == nil {
		err = json.Unmarshal(body, keys)
	}
	if err != nil {
		return nil, fmt.Errorf("reading keys: %w", err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.keys = keys
	return keys, nil
}

// key finds the signing key by its kid; a token without kid uses the only key. An
// unknown kid reads the keys once more, a bad signature does not.
func (p *provider) key(ctx context.Context, meta *providerMetadata, kid string) (*jose.JSONWebKey, error) {
	for _, force := range []bool{false, true} {
		keys, err := p.jwks(ctx, meta, force)
		if err != nil {
			return nil, err
		}
		if kid == "" && len(keys.Keys) == 1 {
			return &keys.Keys[0], nil
		}
		if i := slices.IndexFunc(keys.Keys, func(k jose.JSONWebKey) bool { return k.KeyID == kid }); kid != "" && i >= 0 {
			return &keys.Keys[i], nil
		}
	}
	return nil, errors.New("no such key")
}

// authorizationURL returns the authorization request.
func (p *provider) authorizationURL(meta *providerMetadata, login *pendingLogin, roles bool) (string, error) {
	if meta.AuthorizationEndpoint == "" {
		return "", errors.New("metadata has no authorization_endpoint")
	}
	scope := "openid profile email"
	if roles && p.oidc.ClaimRoles != "" {
		scope += " " + p.oidc.ClaimRoles
	}
	separator := "?"
	if strings.Contains(meta.AuthorizationEndpoint, "?") {
		separator = "&"
	}
	return meta.AuthorizationEndpoint + separator + ordered(
		"response_type", "code",
		"client_id", p.oidc.ClientID,
		"redirect_uri", p.oidc.RedirectURI,
		"scope", scope,
		"state", login.State,
		"nonce", login.Nonce,
	), nil
}

type tokenResponse struct {
	AccessToken string          `json:"access_token"`
	IDToken     string          `json:"id_token"`
	Error       json.RawMessage `json:"error"`
}

// redeem sends the token request. RomM puts the client id and secret into the
// Basic credentials without the form encoding of RFC 6749 section 2.3.1.
func (p *provider) redeem(ctx context.Context, meta *providerMetadata, login *pendingLogin, code string) (*tokenResponse, error) {
	form := ordered("grant_type", "authorization_code", "redirect_uri", login.RedirectURI, "code", code)
	if p.oidc.ClientSecret == "" {
		form += "&" + ordered("client_id", p.oidc.ClientID)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, meta.TokenEndpoint, strings.NewReader(form))
	if err != nil {
		return nil, fmt.Errorf("building the token request: %w", err)
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded;charset=UTF-8")
	if p.oidc.ClientSecret != "" {
		credentials, err := latin1(p.oidc.ClientID + ":" + p.oidc.ClientSecret)
		if err != nil {
			return nil, err
		}
		request.Header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString(credentials))
	}
	status, body, err := p.do(request)
	if err != nil {
		return nil, fmt.Errorf("asking the token endpoint: %w", err)
	}
	answer := &tokenResponse{}
	switch err := json.Unmarshal(body, answer); {
	case status >= http.StatusInternalServerError:
		return nil, fmt.Errorf("token endpoint answered %d", status)
	case err != nil:
		return nil, fmt.Errorf("decoding the token response: %w", err)
	case answer.Error != nil:
		return nil, fmt.Errorf("token endpoint says %s", answer.Error)
	}
	return answer, nil
}

func (p *provider) get(ctx context.Context, target string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return nil, err
	}
	status, body, err := p.do(request)
	if err == nil && status/100 != 2 { // RomM takes a redirect for an error
		err = fmt.Errorf("%s answered %d", target, status)
	}
	return body, err
}

func (p *provider) do(request *http.Request) (int, []byte, error) {
	request.Header.Set("Accept", "application/json")
	request.Header.Set("User-Agent", p.userAgent)
	response, err := p.oidc.HTTPClient.Do(request)
	if err != nil {
		return 0, nil, err
	}
	defer response.Body.Close() //nolint:errcheck // read only
	body, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	return response.StatusCode, body, err
}

// ordered encodes pairs in the order given. url.Values would sort them.
func ordered(pairs ...string) string {
	var b strings.Builder
	for i := 0; i < len(pairs); i += 2 {
		if i > 0 {
			b.WriteByte('&')
		}
		b.WriteString(pairs[i] + "=" + url.QueryEscape(pairs[i+1])) //nolint:gosec // pairs
	}
	return b.String()
}

func latin1(text string) ([]byte, error) {
	encoded := make([]byte, 0, len(text))
	for _, r := range text {
		if r > 0xff {
			return nil, errors.New("client credentials are not Latin-1")
		}
		encoded = append(encoded, byte(r)) //nolint:gosec // checked above
	}
	return encoded, nil
}
