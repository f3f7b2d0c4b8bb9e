// The end-session request, which signs the user out at the provider.

package flow

import (
	"context"
	"net/url"
)

// EndSessionURL returns the URL that signs a browser out at the provider
// (https://openid.net/specs/openid-connect-rpinitiated-1_0.html#RPLogout), and
// false if the provider has no such endpoint or is unavailable. idToken and
// state may be empty.
func (rp *RelyingParty) EndSessionURL(ctx context.Context, idToken, returnTo, state string) (string, bool) {
	md, err := rp.metadata(ctx)
	if err != nil || md.endSessionEndpoint == "" {
		return "", false
	}
	u, err := url.Parse(md.endSessionEndpoint)
	if err != nil {
		return "", false
	}
	query := u.Query()
	query.Set("client_id", rp.config.ClientID)
	query.Set("post_logout_redirect_uri", returnTo)
	if idToken != "" {
		query.Set("id_token_hint", idToken)
	}
	if state != "" {
		query.Set("state", state)
	}
	u.RawQuery = query.Encode()
	return u.String(), true
}
