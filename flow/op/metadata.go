package op

import "net/http"

// metadata is the provider's description of itself (OIDC Discovery 1.0
// section 3). The client library that RomM uses hands the whole document to
// its HTTP client's constructor and to its session, so a key that is not in
// the standard, such as "scope", "timeout", "verify" or "nonce", would change
// how RomM behaves: none may be added here without trying it.
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
	// Claims leaves out email_verified: RomM would then insist on it, which
	// would be one more way to fail for a claim that is always true here.
	Claims []string `json:"claims_supported"`
}

// ServeMetadata answers <issuer>/.well-known/openid-configuration (OIDC
// Discovery 1.0 section 4.2). Both algorithms are advertised whichever signs,
// since RomM keeps this document until it restarts.
func (p *Provider) ServeMetadata(w http.ResponseWriter, r *http.Request) {
	if !allow(w, r, http.MethodGet, http.MethodHead) {
		return
	}
	if r.Host == "" { // HTTP/1.0 without a Host
		writeJSON(w, http.StatusBadRequest, errorResponse{Error: "invalid_request"})
		return
	}
	issuer := issuer(r)
	writeJSON(w, http.StatusOK, metadata{
		Issuer:                issuer,
		AuthorizationEndpoint: issuer + AuthorizationPath,
		TokenEndpoint:         issuer + TokenPath,
		JWKSURI:               issuer + JWKSPath,
		Scopes:                []string{"openid", "profile", "email", RolesClaim},
		ResponseTypes:         []string{"code"},
		GrantTypes:            []string{grantType},
		SubjectTypes:          []string{"public"},
		SigningAlgorithms:     []string{ES256, RS256},
		AuthMethods:           []string{"client_secret_basic", "client_secret_post"},
		Claims: []string{
			"iss", "sub", "aud", "azp", "exp", "iat", "auth_time", "nonce", "at_hash",
			"email", "name", "preferred_username", RolesClaim,
		},
	})
}

// ServeJWKS answers <issuer>/jwks with the public half of every signing key
// (RFC 7517 section 5), also of those that sign no more or not yet. While
// storage does not give the keys it answers 503 within 2 s.
func (p *Provider) ServeJWKS(w http.ResponseWriter, r *http.Request) {
	if !allow(w, r, http.MethodGet, http.MethodHead) {
		return
	}
	keys := p.state.soon(r.Context(), p.config.Report)
	if keys == nil {
		unavailable(w)
		return
	}
	writeJSON(w, http.StatusOK, keys.public)
}
