// The authorization response, checked before its code is used.

package flow

import (
	"context"
	"fmt"
	"net/url"
)

// codeLimit bounds an authorization code, in bytes.
const codeLimit = 2 << 10

// CheckResponse checks the authorization response for login
// (https://openid.net/specs/openid-connect-core-1_0.html#AuthResponse), in this
// order: state, iss, error, code. It does not send the code to the provider.
// Errors match ErrResponseInvalid or ErrProviderUnavailable, or are an
// AuthorizationError.
func (rp *RelyingParty) CheckResponse(ctx context.Context, login *Login, query url.Values) (code string, err error) {
	for _, name := range []string{"state", "iss", "error", "error_description", "code"} {
		if len(query[name]) > 1 { // https://datatracker.ietf.org/doc/html/rfc6749#section-3.1
			return "", fmt.Errorf("%w: %s occurs twice", ErrResponseInvalid, name)
		}
	}
	if login.State == "" || !sameSecret(query.Get("state"), login.State) {
		return "", fmt.Errorf("%w: state does not match", ErrResponseInvalid)
	}
	if err := rp.checkIss(ctx, query); err != nil {
		return "", err
	}
	if refused := query.Get("error"); refused != "" {
		return "", &AuthorizationError{Code: printable(refused, 100), Description: printable(query.Get("error_description"), 300)}
	}
	code = query.Get("code")
	if code == "" || len(code) > codeLimit {
		return "", fmt.Errorf("%w: code is missing or too long", ErrResponseInvalid)
	}
	return code, nil
}

// checkIss checks that the response comes from this provider, against mix-up
// attacks (https://datatracker.ietf.org/doc/html/rfc9207#section-2.4): iss must
// match if present, and must be present if the provider says that it sends it.
func (rp *RelyingParty) checkIss(ctx context.Context, query url.Values) error {
	if query.Has("iss") {
		if query.Get("iss") != rp.config.Issuer {
			return fmt.Errorf("%w: iss is another issuer", ErrResponseInvalid)
		}
		return nil
	}
	md, err := rp.metadata(ctx)
	if err != nil {
		return err
	}
	if md.issParameterSupported {
		return fmt.Errorf("%w: iss is missing", ErrResponseInvalid)
	}
	return nil
}
