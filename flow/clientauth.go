// How the client authenticates at the provider's endpoints.

package flow

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"golang.org/x/oauth2"
)

// ClientAuth is how the relying party authenticates at the token endpoint. It
// is never guessed: a wrong first attempt would count towards the provider's
// rate limit.
type ClientAuth int

const (
	// ClientAuthBasic is client_secret_basic
	// (https://datatracker.ietf.org/doc/html/rfc6749#section-2.3.1).
	ClientAuthBasic ClientAuth = iota
	// ClientAuthPost is client_secret_post.
	ClientAuthPost
	// ClientAuthKey is private_key_jwt, at every endpoint
	// (https://openid.net/specs/openid-connect-core-1_0.html#ClientAuthentication).
	ClientAuthKey
)

// privateKeyJWT is what metadata call ClientAuthKey.
const privateKeyJWT = "private_key_jwt"

// ClientKeys are the keys of ClientAuthKey.
type ClientKeys interface {
	Algorithm() string                                   // what they sign with
	SigningKey(context.Context) (jose.SigningKey, error) // the one to sign with now, with its kid
}

const (
	// assertionLifetime is how long a client assertion can be used. Each is sent once, at once.
	assertionLifetime = time.Minute
	// assertionBackdated is how long before now an assertion says that it was
	// issued: Authelia takes none from the future, however close.
	assertionBackdated = 30 * time.Second

	assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
)

// assert adds a new client assertion to form
// (https://datatracker.ietf.org/doc/html/rfc7523#section-3). Its audience is the
// issuer alone: an assertion for an endpoint's URL, which metadata name, could be
// meant for another provider. No two assertions have the same jti.
func (rp *RelyingParty) assert(ctx context.Context, form url.Values) error {
	key, err := rp.config.ClientKeys.SigningKey(ctx)
	if err != nil {
		return fmt.Errorf("signing a client assertion: %w", err)
	}
	now := rp.config.Now()
	payload, err := json.Marshal(map[string]any{
		"iss": rp.config.ClientID, "sub": rp.config.ClientID, "aud": rp.config.Issuer, "jti": rand.Text(),
		"iat": now.Add(-assertionBackdated).Unix(), "exp": now.Add(assertionLifetime).Unix(),
	})
	if err != nil {
		return fmt.Errorf("encoding a client assertion: %w", err)
	}
	signer, err := jose.NewSigner(key, (&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		return fmt.Errorf("signing a client assertion: %w", err)
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		return fmt.Errorf("signing a client assertion: %w", err)
	}
	assertion, err := signed.CompactSerialize()
	if err != nil {
		return fmt.Errorf("encoding a client assertion: %w", err)
	}
	form.Set("client_id", rp.config.ClientID)
	form.Set("client_assertion_type", assertionType)
	form.Set("client_assertion", assertion)
	return nil
}

// formRequest returns a POST of form to an endpoint other than the token
// endpoint, with the client authenticated by auth (RFC 6749 section 2.3.1). A
// client with a key has no secret, and authenticates with its key everywhere.
func (rp *RelyingParty) formRequest(ctx context.Context, endpoint string, form url.Values, auth ClientAuth) (*http.Request, error) {
	if rp.config.ClientAuth == ClientAuthKey {
		auth = ClientAuthKey
		if err := rp.assert(ctx, form); err != nil {
			return nil, err
		}
	}
	if auth == ClientAuthPost {
		form.Set("client_id", rp.config.ClientID)
		form.Set("client_secret", rp.config.ClientSecret)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if auth == ClientAuthBasic {
		request.SetBasicAuth(url.QueryEscape(rp.config.ClientID), url.QueryEscape(rp.config.ClientSecret))
	}
	return request, nil
}

// oauth2 returns the configuration for x/oauth2, which authenticates the client at
// the token endpoint with its secret; assertingTransport does so with its key.
func (rp *RelyingParty) oauth2(md *metadata) *oauth2.Config {
	style := oauth2.AuthStyleInParams
	if rp.config.ClientAuth == ClientAuthBasic {
		style = oauth2.AuthStyleInHeader
	}
	return &oauth2.Config{
		ClientID: rp.config.ClientID, ClientSecret: rp.config.ClientSecret, RedirectURL: rp.config.RedirectURI, Scopes: rp.config.Scopes,
		Endpoint: oauth2.Endpoint{AuthURL: md.authorizationEndpoint, TokenURL: md.tokenEndpoint, AuthStyle: style},
	}
}

// assertingTransport adds a client assertion to each request, which is a form.
type assertingTransport struct {
	base http.RoundTripper
	rp   *RelyingParty
}

func (t assertingTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	_ = r.Body.Close()
	if err != nil {
		return nil, err
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, err
	}
	if err := t.rp.assert(r.Context(), form); err != nil {
		return nil, err
	}
	text := form.Encode()
	asserted := r.Clone(r.Context())
	asserted.Body, asserted.GetBody, asserted.ContentLength = io.NopCloser(strings.NewReader(text)), nil, int64(len(text))
	return t.base.RoundTrip(asserted)
}

// checkSupport returns an error if the metadata say that the provider supports
// neither the response mode nor the client's key, of those that the settings use.
// Metadata that do not mention them may belong to a provider that supports them.
func (rp *RelyingParty) checkSupport(md *metadata) error {
	if modes := md.responseModes; rp.config.FormPost && len(modes) > 0 && !slices.Contains(modes, formPost) {
		return fmt.Errorf("%w: its response_modes_supported has no %s, only %s: leave out `response_mode`",
			ErrProviderUnavailable, formPost, printable(strings.Join(modes, ", "), 200))
	}
	if rp.config.ClientAuth != ClientAuthKey {
		return nil
	}
	if methods := md.tokenAuth; len(methods) > 0 && !slices.Contains(methods, privateKeyJWT) {
		return fmt.Errorf("%w: its token_endpoint_auth_methods_supported has no %s, only %s: write another `client_auth`",
			ErrProviderUnavailable, privateKeyJWT, printable(strings.Join(methods, ", "), 200))
	}
	if algorithms := md.tokenAuthAlgs; len(algorithms) > 0 && !slices.Contains(algorithms, rp.config.ClientKeys.Algorithm()) {
		return fmt.Errorf("%w: its token_endpoint_auth_signing_alg_values_supported has no %s, only %s: name a key for one of them in `client_key`",
			ErrProviderUnavailable, rp.config.ClientKeys.Algorithm(), printable(strings.Join(algorithms, ", "), 200))
	}
	return nil
}
