package flow

import (
	"context"
	"fmt"
	"net/url"
)

// codeLimit bounds an authorization code, in bytes.
const codeLimit = 2 << 10

// CheckResponse checks the authorization response of login, in this order:
// state, then iss, then error, then code. It asks the provider nothing of the
// code. Errors match ErrResponseInvalid, or are an AuthorizationError.
func (rp *RelyingParty) CheckResponse(ctx context.Context, login *Login, query url.Values) (code string, err error) {
	for _, name := range []string{"state", "iss", "error", "error_description", "code"} {
		if len(query[name]) > 1 { // RFC 6749 section 3.1
			return "", fmt.Errorf("%w: %s is given twice", ErrResponseInvalid, name)
		}
	}
	if login.State == "" || !equal(query.Get("state"), login.State) {
		return "", fmt.Errorf("%w: state is another", ErrResponseInvalid)
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

// checkIss checks who answered, against mix-up attacks (RFC 9207 section 2.4):
// iss is compared whenever it is there, and required where the provider says that it sends it.
func (rp *RelyingParty) checkIss(ctx context.Context, query url.Values) error {
	if query.Has("iss") {
		if query.Get("iss") != rp.config.Issuer {
			return fmt.Errorf("%w: iss is another", ErrResponseInvalid)
		}
		return nil
	}
	provider, err := rp.Provider(ctx)
	if err != nil {
		return err
	}
	if provider.IssParameterSupported {
		return fmt.Errorf("%w: iss is missing", ErrResponseInvalid)
	}
	return nil
}
