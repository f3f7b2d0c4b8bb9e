// The re-check of a session's user.

package flow

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
)

// Recheck reads userinfo again with a session's access token and returns the
// identity as it is now, by the same rules as Exchange. It returns
// ErrAccountGone if userinfo still has the subject but no longer the user name
// from the sign-in, which is how Authelia answers for a disabled or deleted
// account, and ErrTokensEnded if the provider refuses the access token. Any
// other error says only that the account could not be checked.
func (rp *RelyingParty) Recheck(ctx context.Context, tokens Tokens, identity Identity) (*Identity, error) {
	if identity.Issuer != rp.config.Issuer || identity.Subject == "" { // this provider must not see another's tokens
		return nil, fmt.Errorf("%w: the identity is from another issuer", ErrUserinfoInvalid)
	}
	md, err := rp.metadata(ctx)
	if err != nil {
		return nil, err
	}
	userinfo, err := rp.userinfo(ctx, md, tokens.Access, identity.Subject)
	if err != nil {
		return nil, err
	}
	if !identity.Unnamed && !userinfo.has(rp.config.UsernameClaim) {
		return nil, ErrAccountGone
	}
	return rp.identity(&idTokenClaims{
		AuthTime: unixTime(identity.AuthTime), subject: identity.Subject, all: verifiedClaims(tokens.ID),
	}, userinfo)
}

// verifiedClaims returns the claims of an ID token that was verified when it was
// received. It is not verified again: its key may have been replaced since.
func verifiedClaims(raw string) claims {
	_, rest, _ := strings.Cut(raw, ".")
	payload, _, _ := strings.Cut(rest, ".")
	decoded, err := base64.RawURLEncoding.DecodeString(payload)
	var c claims
	if err != nil || json.Unmarshal(decoded, &c) != nil {
		return nil
	}
	return c
}
