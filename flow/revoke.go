package flow

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// Revoke tells the provider that the tokens of a session are needed no more
// (RFC 7009), with one request: for the refresh token, with which the access
// token ends, else for the access token. A provider without a revocation
// endpoint is told nothing, and that is no error.
func (rp *RelyingParty) Revoke(ctx context.Context, tokens Tokens, identity Identity) error {
	if identity.Issuer != rp.Issuer { // its token is nobody else's to see
		return nil
	}
	provider, err := rp.Provider(ctx)
	if err != nil || provider.RevocationEndpoint == "" {
		return err
	}
	form := url.Values{"token": {tokens.Refresh}, "token_type_hint": {"refresh_token"}}
	if tokens.Refresh == "" {
		form = url.Values{"token": {tokens.Access}, "token_type_hint": {"access_token"}}
	}
	basic := provider.revokesByBasic()
	if !basic {
		form.Set("client_id", rp.ClientID)
		form.Set("client_secret", rp.ClientSecret)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, provider.RevocationEndpoint, strings.NewReader(form.Encode()))
	if err != nil {
		return fmt.Errorf("making a request: %w", err)
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if basic { // RFC 6749 section 2.3.1: both are form-encoded first
		request.SetBasicAuth(url.QueryEscape(rp.ClientID), url.QueryEscape(rp.ClientSecret))
	}
	answer, err := statusClient(rp.Client).Do(request)
	if err != nil {
		return fmt.Errorf("revoking tokens: %w", err)
	}
	_ = answer.Body.Close()
	return nil
}

// revokesByBasic reports whether the client authenticates at the revocation
// endpoint with client_secret_basic, the default of RFC 8414 section 2. How it
// does at the token endpoint says nothing: at Authelia a client that posts its
// secret there must not here.
func (p *Provider) revokesByBasic() bool {
	return len(p.revocationAuth) == 0 || slices.Contains(p.revocationAuth, "client_secret_basic") ||
		!slices.Contains(p.revocationAuth, "client_secret_post")
}
