// The re-check of a session's user.

package flow

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// Recheck reads userinfo again with a session's access token and returns the
// identity as it is now, by the same rules as Exchange. What userinfo named
// before and no longer names is gone; claims that only an ID token ever named
// keep the value of the latest one.
//
// Recheck returns ErrAccountGone if userinfo still has the subject but no longer
// the user name, which is how Authelia answers for a disabled or deleted
// account, the errors of Exchange about the user's claims if a sign-in would now
// be refused for them, and ErrTokensEnded if the provider refuses the access
// token. Any other error says only that the account could not be checked.
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
		rp.noteMismatch(err)
		return nil, err
	}
	if !slices.Contains(identity.FromIDToken, claimUsername) && !userinfo.has(rp.config.UsernameClaim) {
		return nil, ErrAccountGone
	}
	return rp.identity(&evidence{known: &identity, userinfo: userinfo, token: &idTokenClaims{
		AuthTime: unixTime(identity.AuthTime), subject: identity.Subject, all: verifiedClaims(tokens.ID),
	}})
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
