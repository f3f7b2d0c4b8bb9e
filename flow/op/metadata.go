// The metadata and JWK Set endpoints.

package op

import "net/http"

// metadata describes the provider
// (https://openid.net/specs/openid-connect-discovery-1_0.html#ProviderMetadata).
// RomM's client library passes the whole document to its HTTP client's
// constructor and to its session. A key that is not in the standard, such as
// "scope", "timeout", "verify" or "nonce", would change how RomM behaves: test
// with RomM before adding one.
type metadata struct {
	Issuer                string   `json:"issuer"`
	AuthorizationEndpoint string   `json:"authorization_endpoint"`
	TokenEndpoint         string   `json:"token_endpoint"`
	JWKSURI               string   `json:"jwks_uri"`
	Scopes                []string `json:"scopes_supported"`
	ResponseTypes         []string `json:"response_types_supported"`
	GrantTypes            []string `json:"grant_types_supported"`
	SubjectTypes          []string `json:"subject_types_supported"`
	SigningAlgorithms     []string `json:"id_token_signing_alg_values_supported"`
	AuthMethods           []string `json:"token_endpoint_auth_methods_supported"`
	// Claims leaves out email_verified: RomM would then insist on it, one more
	// way to fail for a claim that is always true here.
	Claims []string `json:"claims_supported"`
}

// ServeMetadata answers <issuer>/.well-known/openid-configuration
// (https://openid.net/specs/openid-connect-discovery-1_0.html#ProviderConfigurationResponse).
// It advertises both signing algorithms, whichever is configured, because RomM
// keeps this document until it restarts.
func (p *Provider) ServeMetadata(w http.ResponseWriter, r *http.Request) {
	if !allow(w, r, http.MethodGet, http.MethodHead) {
		return
	}
	if r.Host == "" { // HTTP/1.0 without a Host
		writeJSON(w, http.StatusBadRequest, errorResponse{Error: "invalid_request"})
		return
	}
	issuer := p.issuer(r)
	writeJSON(w, http.StatusOK, metadata{
		Issuer:                issuer,
		AuthorizationEndpoint: issuer + AuthorizationPath,
		TokenEndpoint:         issuer + TokenPath,
		JWKSURI:               issuer + JWKSPath,
		Scopes:                []string{"openid", "profile", "email", rolesClaim},
		ResponseTypes:         []string{"code"},
		GrantTypes:            []string{grantType},
		SubjectTypes:          []string{"public"},
		SigningAlgorithms:     []string{ES256, RS256},
		AuthMethods:           []string{"client_secret_basic", "client_secret_post"},
		Claims: []string{
			"iss", "sub", "aud", "azp", "exp", "iat", "auth_time", "nonce", "at_hash",
			"email", "name", "preferred_username", rolesClaim,
		},
	})
}

// ServeJWKS answers <issuer>/jwks with all public keys
// (https://datatracker.ietf.org/doc/html/rfc7517#section-5), including those
// that are not active yet and those that no longer sign. It answers 503 if
// storage does not provide the keys within 2 s.
func (p *Provider) ServeJWKS(w http.ResponseWriter, r *http.Request) {
	p.keys.serveJWKS(w, r, p.config.Report)
}

func (k *Keys) serveJWKS(w http.ResponseWriter, r *http.Request, report func(Event)) {
	if !allow(w, r, http.MethodGet, http.MethodHead) {
		return
	}
	keys := k.awaitBriefly(r.Context(), report)
	if keys == nil {
		writeUnavailable(w)
		return
	}
	writeJSON(w, http.StatusOK, keys.public)
}
