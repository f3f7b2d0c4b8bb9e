package flow

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
)

// Recheck asks userinfo again with the access token of a session, and returns
// its identity as it is now, by the same rules as Exchange. It returns
// ErrAccountGone if userinfo still knows the subject but no longer the user
// name that it had at sign-in: this is how Authelia answers for a disabled or deleted account; and
// ErrTokensEnded if the access token is taken no more. Any other error says
// nothing of the account but that it could not be proven.
func (rp *RelyingParty) Recheck(ctx context.Context, tokens Tokens, identity Identity) (*Identity, error) {
	if identity.Issuer != rp.config.Issuer || identity.Subject == "" { // its token is nobody else's to see
		return nil, fmt.Errorf("%w: the identity is of another issuer", ErrUserinfoInvalid)
	}
	provider, err := rp.Provider(ctx)
	if err != nil {
		return nil, err
	}
	userinfo, err := rp.userinfo(ctx, provider, tokens.Access, identity.Subject)
	if err != nil {
		return nil, err
	}
	if !identity.Unnamed && !userinfo.has(rp.config.UsernameClaim) {
		return nil, ErrAccountGone
	}
	return rp.identity(&idTokenClaims{
		AuthTime: unixTime(identity.AuthTime), subject: identity.Subject, all: heldClaims(tokens.ID),
	}, userinfo)
}

// heldClaims returns the claims of an ID token that was verified when it came.
// It is not verified again: its key may have been replaced since.
func heldClaims(raw string) claims {
	_, rest, _ := strings.Cut(raw, ".")
	payload, _, _ := strings.Cut(rest, ".")
	decoded, err := base64.RawURLEncoding.DecodeString(payload)
	var c claims
	if err != nil || json.Unmarshal(decoded, &c) != nil {
		return nil
	}
	return c
}
