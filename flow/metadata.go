// metadata: the provider's metadata, read and checked.

package flow

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
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
	pushEndpoint          string // may be empty (https://datatracker.ietf.org/doc/html/rfc9126#section-5)
	pushRequired          bool   // authorization requests must be pushed
	issParameterSupported bool   // authorization responses carry iss (https://datatracker.ietf.org/doc/html/rfc9207#section-3)

	issuer string
	keys   oidc.KeySet // for ID tokens, and for userinfo if it is signed

	// The same keys for logout tokens and for clients' access tokens. Any
	// client can send these, and forged ones must not use up the key reads that
	// sign-ins need.
	logoutKeys, bearerKeys oidc.KeySet

	responseModes  []string // may be empty
	tokenAuth      []string // authentication methods of the token endpoint; empty means client_secret_basic
	tokenAuthAlgs  []string // algorithms of client assertions there; may be empty
	revocationAuth []string // authentication methods of the revocation endpoint; empty means client_secret_basic
}

// readMetadata reads the metadata with one request. Errors match
// ErrProviderUnavailable.
func (rp *RelyingParty) readMetadata(ctx context.Context) (*metadata, error) {
	document, err := rp.metadataDocument(ctx)
	if err != nil {
		return nil, fmt.Errorf("%w: reading its metadata: %w", ErrProviderUnavailable, bounded(err))
	}
	invalid := func(name string, err error) error {
		return fmt.Errorf("%w: its metadata: %s: %w", ErrProviderUnavailable, name, err)
	}
	issuer, err := document.required("issuer")
	if err != nil {
		return nil, invalid("issuer", err)
	}
	if issuer != rp.config.Issuer { // https://openid.net/specs/openid-connect-discovery-1_0.html#ProviderConfigurationValidation
		return nil, fmt.Errorf("%w: its metadata name another issuer: write \"issuer %s\" in place of %q", ErrProviderUnavailable, printable(issuer, 300), rp.config.Issuer)
	}
	md := &metadata{
		endSessionEndpoint: document.text("end_session_endpoint"), revocationEndpoint: document.text("revocation_endpoint"),
		introspectionEndpoint: document.text("introspection_endpoint"),
		pushEndpoint:          document.text("pushed_authorization_request_endpoint"),
		pushRequired:          document.flag("require_pushed_authorization_requests"),
		issParameterSupported: document.flag("authorization_response_iss_parameter_supported"),
		responseModes:         document.strings("response_modes_supported"),
		tokenAuth:             document.strings("token_endpoint_auth_methods_supported"),
		tokenAuthAlgs:         document.strings("token_endpoint_auth_signing_alg_values_supported"),
		revocationAuth:        document.strings("revocation_endpoint_auth_methods_supported"),
		issuer:                issuer,
	}
	var jwksURI string
	for name, endpoint := range map[string]*string{
		"authorization_endpoint": &md.authorizationEndpoint, "token_endpoint": &md.tokenEndpoint, "userinfo_endpoint": &md.userinfoEndpoint,
		"jwks_uri": &jwksURI,
	} {
		if *endpoint, err = document.required(name); err == nil {
			err = checkEndpoint(*endpoint)
		}
		if err != nil {
			return nil, invalid(name, err)
		}
	}
	for _, optional := range []*string{&md.endSessionEndpoint, &md.revocationEndpoint, &md.introspectionEndpoint, &md.pushEndpoint} {
		if checkEndpoint(*optional) != nil {
			*optional = ""
		}
	}
	for _, keys := range []*oidc.KeySet{&md.keys, &md.logoutKeys, &md.bearerKeys} {
		*keys = newKeySet(rp.config.Client, jwksURI, rp.config.Now) //nolint:contextcheck // the keys outlive the request
	}
	return md, nil
}

// metadataDocument requests the metadata
// (https://openid.net/specs/openid-connect-discovery-1_0.html#ProviderConfigurationRequest).
func (rp *RelyingParty) metadataDocument(ctx context.Context) (claims, error) {
	address := strings.TrimSuffix(rp.config.Issuer, "/") + "/.well-known/openid-configuration"
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, fmt.Errorf("creating a request: %w", err)
	}
	return rp.readDocument(request)
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
