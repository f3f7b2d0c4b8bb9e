package flow

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

// userinfo asks the userinfo endpoint (OpenID Connect Core 1.0 section 5.3)
// and returns what it says of subject. It is always asked: Authelia puts no
// name, address or group into an ID token, and userinfo alone is live.
func (rp *RelyingParty) userinfo(ctx context.Context, provider *Provider, accessToken, subject string) (claims, error) {
	source := oauth2.StaticTokenSource(&oauth2.Token{AccessToken: accessToken, TokenType: "Bearer"})
	info, err := provider.oidc.UserInfo(oidc.ClientContext(ctx, rp.statusClient()), source)
	if err != nil {
		if _, ok := errors.AsType[*statusError](err); ok {
			return nil, fmt.Errorf("%w: asking userinfo: %w", ErrProviderUnavailable, err)
		}
		return nil, fmt.Errorf("%w: %w", ErrUserinfoInvalid, err)
	}
	if !equal(info.Subject, subject) { // section 5.3.2: or it may be somebody else's
		return nil, fmt.Errorf("%w: sub is another", ErrUserinfoInvalid)
	}
	var c claims
	if err := info.Claims(&c); err != nil {
		return nil, fmt.Errorf("%w: its claims cannot be read", ErrUserinfoInvalid)
	}
	return c, nil
}

// statusClient is the provider's client, which tells an endpoint that cannot
// be asked now from one that refuses.
func (rp *RelyingParty) statusClient() *http.Client {
	client := *rp.Client
	client.Transport = statusTransport{rp.Client.Transport}
	return &client
}

// statusError is an answer of 5xx or 429, or none.
type statusError struct{ cause error }

func (e *statusError) Error() string { return e.cause.Error() }

func (e *statusError) Unwrap() error { return e.cause }

type statusTransport struct{ base http.RoundTripper }

func (t statusTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	base := t.base
	if base == nil {
		base = http.DefaultTransport
	}
	answer, err := base.RoundTrip(r)
	if err != nil {
		return nil, &statusError{err}
	}
	if answer.StatusCode >= http.StatusInternalServerError || answer.StatusCode == http.StatusTooManyRequests {
		_ = answer.Body.Close()
		return nil, &statusError{fmt.Errorf("it answered %d", answer.StatusCode)}
	}
	return answer, nil
}
