package flow

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// Revoke tells the provider that the tokens of a session are not needed any
// more (RFC 7009 section 2.1), with one request: for the refresh token, with
// which the access token ends, else for the access token. A provider without a
// revocation endpoint is told nothing. Errors match ErrProviderUnavailable, or
// are a TokenError.
func (rp *RelyingParty) Revoke(ctx context.Context, tokens Tokens, identity Identity) error {
	if identity.Issuer != rp.config.Issuer { // its token is nobody else's to see
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
		form.Set("client_id", rp.config.ClientID)
		form.Set("client_secret", rp.config.ClientSecret)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, provider.RevocationEndpoint, strings.NewReader(form.Encode()))
	if err != nil {
		return fmt.Errorf("making a request: %w", err)
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if basic {
		request.SetBasicAuth(url.QueryEscape(rp.config.ClientID), url.QueryEscape(rp.config.ClientSecret)) // RFC 6749 section 2.3.1
	}
	answer, err := rp.config.Client.Do(request)
	if err != nil {
		return fmt.Errorf("%w: asking its revocation endpoint: %w", ErrProviderUnavailable, err)
	}
	defer func() { _ = answer.Body.Close() }()
	_, _ = io.Copy(io.Discard, answer.Body) // so that the connection can be used again
	if answer.StatusCode != http.StatusOK {
		return &TokenError{Status: answer.StatusCode}
	}
	return nil
}

// revokesByBasic reports whether the client authenticates at the revocation
// endpoint with client_secret_basic, the default of RFC 8414 section 2. How it
// does at the token endpoint says nothing: Authelia registers the method for
// this endpoint on its own, and this is the one it has by default.
func (p *Provider) revokesByBasic() bool {
	return len(p.revocationAuth) == 0 || slices.Contains(p.revocationAuth, "client_secret_basic") ||
		!slices.Contains(p.revocationAuth, "client_secret_post")
}
