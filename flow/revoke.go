// Revocation of a session's tokens.

package flow

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
)

// Revoke revokes the tokens of a session with one request
// (https://datatracker.ietf.org/doc/html/rfc7009#section-2.1): the refresh
// token, which ends the access token too, or the access token if there is no
// refresh token. It does nothing if the provider has no revocation endpoint or
// the identity is from another issuer. Errors match ErrProviderUnavailable, or
// are a TokenError.
func (rp *RelyingParty) Revoke(ctx context.Context, tokens Tokens, identity Identity) error {
	if identity.Issuer != rp.config.Issuer { // this provider must not see another's tokens
		return nil
	}
	md, err := rp.metadata(ctx)
	if err != nil || md.revocationEndpoint == "" {
		return err
	}
	form := url.Values{"token": {tokens.Refresh}, "token_type_hint": {"refresh_token"}}
	if tokens.Refresh == "" {
		form = url.Values{"token": {tokens.Access}, "token_type_hint": {"access_token"}}
	}
	request, err := rp.formRequest(ctx, md.revocationEndpoint, form, md.revocationMethod())
	if err != nil {
		return fmt.Errorf("creating a revocation request: %w", err)
	}
	answer, err := rp.config.Client.Do(request)
	if err != nil {
		return fmt.Errorf("%w: requesting its revocation endpoint: %w", ErrProviderUnavailable, err)
	}
	defer func() { _ = answer.Body.Close() }()
	_, _ = io.Copy(io.Discard, answer.Body) // so that the connection can be reused
	if answer.StatusCode != http.StatusOK {
		return &TokenError{Status: answer.StatusCode}
	}
	return nil
}
