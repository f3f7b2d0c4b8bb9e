package flow

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// Revoke tells the provider that the tokens of a session are not needed any
// more (RFC 7009 section 2.1). A provider without a revocation endpoint is
// told nothing. Errors match ErrProviderUnavailable, or are a TokenError.
//
// The client authenticates with client_secret_basic whatever it does at the
// token endpoint: Authelia registers the method for this endpoint on its own,
// and this is the one it has by default.
func (rp *RelyingParty) Revoke(ctx context.Context, tokens Tokens) error {
	provider, err := rp.Provider(ctx)
	if err != nil || provider.RevocationEndpoint == "" {
		return err
	}
	var errs []error
	for _, t := range []struct{ hint, token string }{{"refresh_token", tokens.Refresh}, {"access_token", tokens.Access}} {
		if t.token != "" {
			errs = append(errs, rp.revoke(ctx, provider.RevocationEndpoint, t.hint, t.token))
		}
	}
	return errors.Join(errs...)
}

func (rp *RelyingParty) revoke(ctx context.Context, endpoint, hint, token string) error {
	form := url.Values{"token": {token}, "token_type_hint": {hint}}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint, strings.NewReader(form.Encode()))
	if err != nil {
		return fmt.Errorf("making a request: %w", err)
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	request.SetBasicAuth(url.QueryEscape(rp.ClientID), url.QueryEscape(rp.ClientSecret)) // RFC 6749 section 2.3.1
	answer, err := rp.Client.Do(request)
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
