package flow

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"slices"

	"github.com/coreos/go-oidc/v3/oidc"
)

// userinfo asks the userinfo endpoint (OpenID Connect Core 1.0 section 5.3)
// and returns what it says of subject. It is always asked: Authelia puts no
// name, address or group into an ID token, and userinfo alone is live.
func (rp *RelyingParty) userinfo(ctx context.Context, provider *Provider, accessToken, subject string) (claims, error) {
	body, err := rp.readUserinfo(ctx, provider, accessToken)
	switch {
	case errors.Is(err, ErrProviderUnavailable):
		return nil, err
	case unavailable(err):
		return nil, fmt.Errorf("%w: asking userinfo: %w", ErrProviderUnavailable, err)
	case refusesToken(err):
		return nil, fmt.Errorf("%w: %w: %w", ErrUserinfoInvalid, ErrTokensEnded, err)
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrUserinfoInvalid, err)
	}
	var c claims
	if json.Unmarshal(body, &c) != nil || c == nil {
		return nil, fmt.Errorf("%w: it is no JSON object", ErrUserinfoInvalid)
	}
	if named := c.text("sub"); named == "" || !equal(named, subject) { // section 5.3.2: or it may be somebody else's
		return nil, fmt.Errorf("%w: sub is another", ErrUserinfoInvalid)
	}
	return c, nil
}

// refusesToken reports whether the answer was a 401 (RFC 6750 section 3.1).
func refusesToken(err error) bool {
	e, ok := errors.AsType[*statusError](err)
	return ok && e.status == http.StatusUnauthorized
}

// readUserinfo returns the JSON of an answer, which may be signed (section 5.3.2).
func (rp *RelyingParty) readUserinfo(ctx context.Context, provider *Provider, accessToken string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, provider.UserinfoEndpoint, nil)
	if err != nil {
		return nil, fmt.Errorf("making a request: %w", err)
	}
	request.Header.Set("Authorization", "Bearer "+accessToken) // RFC 6750 section 2.1
	answer, err := statusClient(rp.config.Client).Do(request)
	if err != nil {
		return nil, err //nolint:wrapcheck // an url.Error says all
	}
	defer func() { _ = answer.Body.Close() }()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		return nil, fmt.Errorf("reading the answer: %w", err)
	}
	if media, _, err := mime.ParseMediaType(answer.Header.Get("Content-Type")); err != nil || media != "application/jwt" {
		return body, nil
	}
	// Authelia puts neither iss nor aud into it; what is there must be right.
	token, err := provider.verify(ctx, provider.keys, string(body), &oidc.Config{SkipClientIDCheck: true, SkipIssuerCheck: true, SkipExpiryCheck: true})
	if err != nil {
		return nil, err
	}
	if token.Issuer != "" && token.Issuer != rp.config.Issuer || len(token.Audience) > 0 && !slices.Contains(token.Audience, rp.config.ClientID) {
		return nil, errors.New("it was signed for another")
	}
	var signed json.RawMessage
	if err := token.Claims(&signed); err != nil {
		return nil, fmt.Errorf("decoding its claims: %w", err)
	}
	return signed, nil
}
