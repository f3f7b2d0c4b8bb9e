// The userinfo request.

package flow

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"slices"

	"github.com/coreos/go-oidc/v3/oidc"
)

// userinfo returns the claims of the userinfo endpoint about subject
// (https://openid.net/specs/openid-connect-core-1_0.html#UserInfo). Every
// sign-in needs them: Authelia puts no name, address or group into an ID token,
// and only userinfo is up to date.
func (rp *RelyingParty) userinfo(ctx context.Context, md *metadata, accessToken, subject string) (claims, error) {
	body, err := rp.readUserinfo(ctx, md, accessToken)
	switch {
	case errors.Is(err, ErrProviderUnavailable):
		return nil, err
	case isUnavailable(err):
		return nil, fmt.Errorf("%w: requesting userinfo: %w", ErrProviderUnavailable, err)
	case isUnauthorized(err):
		return nil, fmt.Errorf("%w: %w: %w", ErrUserinfoInvalid, ErrTokensEnded, err)
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrUserinfoInvalid, err)
	}
	c, err := parseDocument(body)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUserinfoInvalid, err)
	}
	sub, err := c.required("sub")
	if err != nil {
		return nil, fmt.Errorf("%w: sub does not match the ID token: %w", ErrUserinfoInvalid, err)
	}
	if !sameSecret(sub, subject) { // section 5.3.2: it could be about another user
		return nil, fmt.Errorf("%w: sub does not match the ID token", ErrUserinfoInvalid)
	}
	return c, nil
}

// isUnauthorized reports whether the provider refused the access token
// (https://datatracker.ietf.org/doc/html/rfc6750#section-3.1). Some providers
// answer 403 for a token that they no longer know.
func isUnauthorized(err error) bool {
	e, ok := errors.AsType[*statusError](err)
	return ok && (e.status == http.StatusUnauthorized || e.status == http.StatusForbidden)
}

// readUserinfo returns the JSON of the response, which may be signed
// (https://openid.net/specs/openid-connect-core-1_0.html#UserInfoResponse).
func (rp *RelyingParty) readUserinfo(ctx context.Context, md *metadata, accessToken string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, md.userinfoEndpoint, nil)
	if err != nil {
		return nil, fmt.Errorf("creating a userinfo request: %w", err)
	}
	request.Header.Set("Authorization", "Bearer "+accessToken) // https://datatracker.ietf.org/doc/html/rfc6750#section-2.1
	body, contentType, err := rp.read(request)
	if err != nil {
		return nil, err
	}
	media, _, err := mime.ParseMediaType(contentType)
	signed := err == nil && media == "application/jwt"
	switch want := rp.config.UserinfoAlg; {
	case !signed && want == "":
		return body, nil
	case !signed:
		return nil, fmt.Errorf("it is not signed: leave out \"userinfo_alg %s\", or have the provider sign it", want)
	case want == "":
		return nil, cmp.Or(checkAlgorithm(string(body), "none", "userinfo_alg"), errors.New("malformed: it is a JWT that is not signed"))
	}
	return rp.verifyUserinfo(ctx, md, string(body))
}

// verifyUserinfo returns the JSON in a signed response.
func (rp *RelyingParty) verifyUserinfo(ctx context.Context, md *metadata, raw string) ([]byte, error) {
	if err := checkAlgorithm(raw, rp.config.UserinfoAlg, "userinfo_alg"); err != nil {
		return nil, err
	}
	// Authelia puts neither iss nor aud into it. If present, they must match.
	token, err := md.verifyJWT(ctx, md.keys, raw, &oidc.Config{
		SkipClientIDCheck: true, SkipIssuerCheck: true, SkipExpiryCheck: true, SupportedSigningAlgs: []string{rp.config.UserinfoAlg},
	})
	if err != nil {
		return nil, err
	}
	if token.Issuer != "" && token.Issuer != rp.config.Issuer || len(token.Audience) > 0 && !slices.Contains(token.Audience, rp.config.ClientID) {
		return nil, errors.New("iss or aud does not match")
	}
	var content json.RawMessage
	if err := token.Claims(&content); err != nil {
		return nil, fmt.Errorf("decoding its claims: %w", err)
	}
	return content, nil
}
