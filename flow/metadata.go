// metadata: the provider's metadata, read and checked.

package flow

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"

	"github.com/coreos/go-oidc/v3/oidc"
)

// metadata is what the provider says about itself
// (https://openid.net/specs/openid-connect-discovery-1_0.html#ProviderMetadata,
// https://datatracker.ietf.org/doc/html/rfc8414#section-2).
type metadata struct {
	authorizationEndpoint string
	tokenEndpoint         string
	userinfoEndpoint      string
	endSessionEndpoint    string // may be empty, as with Authelia
	revocationEndpoint    string // may be empty
	introspectionEndpoint string // may be empty
	issParameterSupported bool   // authorization responses carry iss (https://datatracker.ietf.org/doc/html/rfc9207#section-3)

	issuer string
	keys   oidc.KeySet // for ID tokens, and for userinfo if it is signed

	// The same keys for logout tokens and for clients' access tokens. Any
	// client can send these, and forged ones must not use up the key reads that
	// sign-ins need.
	logoutKeys, bearerKeys oidc.KeySet

	revocationAuth []string // authentication methods of the revocation endpoint; empty means client_secret_basic
}

// readMetadata reads the metadata with one request. Errors match
// ErrProviderUnavailable.
func (rp *RelyingParty) readMetadata(ctx context.Context) (*metadata, error) {
	discovered, err := oidc.NewProvider(oidc.ClientContext(ctx, rp.documentClient()), rp.config.Issuer)
	if mismatch, ok := errors.AsType[*oidc.IssuerMismatchError](err); ok && mismatch.Discovered != "" {
		return nil, fmt.Errorf("%w: its metadata name another issuer: write \"issuer %s\": %w", ErrProviderUnavailable, printable(mismatch.Discovered, 300), bounded(err))
	}
	if err != nil {
		return nil, fmt.Errorf("%w: reading its metadata: %w", ErrProviderUnavailable, bounded(err))
	}
	var more struct {
		JWKSURI        string   `json:"jwks_uri"`
		EndSession     string   `json:"end_session_endpoint"`
		Revocation     string   `json:"revocation_endpoint"`
		RevocationAuth []string `json:"revocation_endpoint_auth_methods_supported"`
		Introspection  string   `json:"introspection_endpoint"`
		IssParameter   bool     `json:"authorization_response_iss_parameter_supported"`
	}
	if err := discovered.Claims(&more); err != nil {
		return nil, fmt.Errorf("%w: reading its metadata: %w", ErrProviderUnavailable, bounded(err))
	}
	md := &metadata{
		authorizationEndpoint: discovered.Endpoint().AuthURL,
		tokenEndpoint:         discovered.Endpoint().TokenURL,
		userinfoEndpoint:      discovered.UserInfoEndpoint(),
		endSessionEndpoint:    more.EndSession,
		revocationEndpoint:    more.Revocation,
		introspectionEndpoint: more.Introspection,
		issParameterSupported: more.IssParameter,
		issuer:                rp.config.Issuer,
		keys:                  newKeySet(rp.config.Client, more.JWKSURI, rp.config.Now), //nolint:contextcheck // the keys outlive the request
		logoutKeys:            newKeySet(rp.config.Client, more.JWKSURI, rp.config.Now), //nolint:contextcheck // as above
		bearerKeys:            newKeySet(rp.config.Client, more.JWKSURI, rp.config.Now), //nolint:contextcheck // as above
		revocationAuth:        more.RevocationAuth,
	}
	for name, endpoint := range map[string]string{
		"authorization_endpoint": md.authorizationEndpoint, "token_endpoint": md.tokenEndpoint, "userinfo_endpoint": md.userinfoEndpoint,
		"jwks_uri": more.JWKSURI,
	} {
		if err := checkEndpoint(endpoint); err != nil {
			return nil, fmt.Errorf("%w: its metadata: %s: %w", ErrProviderUnavailable, name, err)
		}
	}
	for _, optional := range []*string{&md.endSessionEndpoint, &md.revocationEndpoint, &md.introspectionEndpoint} {
		if checkEndpoint(*optional) != nil {
			*optional = ""
		}
	}
	return md, nil
}

// revocationMethod returns how the client authenticates at the revocation
// endpoint: with client_secret_basic, the default of RFC 8414 section 2, unless
// only client_secret_post is supported. The method of the token endpoint does
// not matter: Authelia registers one for each endpoint, and this is its default.
func (md *metadata) revocationMethod() ClientAuth {
	if slices.Contains(md.revocationAuth, "client_secret_post") && !slices.Contains(md.revocationAuth, "client_secret_basic") {
		return ClientAuthPost
	}
	return ClientAuthBasic
}

// checkEndpoint accepts https URLs, and http URLs on this machine: secrets go
// to endpoints, and keys come from them.
func checkEndpoint(endpoint string) error {
	u, err := url.Parse(endpoint)
	if err != nil || u.Host == "" || u.User != nil || u.Fragment != "" {
		return errors.New("it must be an absolute URL without user and fragment")
	}
	if u.Scheme != "https" && (u.Scheme != "http" || !IsLoopback(u.Hostname())) {
		return errors.New("it must be https")
	}
	return nil
}

// IsLoopback reports whether host is this machine under any resolver
// (https://datatracker.ietf.org/doc/html/rfc6761#section-6.3).
func IsLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || strings.HasSuffix(host, ".localhost") || ip != nil && ip.IsLoopback()
}
