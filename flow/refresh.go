// The refresh request, which renews a session's tokens.

package flow

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

// Refresh exchanges a refresh token for new tokens with a single token request
// (https://datatracker.ietf.org/doc/html/rfc6749#section-6), which it never
// repeats: if a refresh token is sent twice, Authelia revokes all tokens of the
// sign-in. The caller makes sure that each is used once across all nodes, and
// stores the result.
//
// It returns ErrTokensEnded if the provider refuses the refresh token, or if
// the new tokens do not verify or are not for this identity: the old tokens are
// used up then too. After any other error they may still be valid.
func (rp *RelyingParty) Refresh(ctx context.Context, tokens Tokens, identity Identity) (*Tokens, error) {
	if tokens.Refresh == "" || identity.Issuer != rp.config.Issuer {
		return nil, ErrTokensEnded
	}
	md, err := rp.metadata(ctx)
	if err != nil {
		return nil, err
	}
	ctx = oidc.ClientContext(ctx, rp.config.Client)
	token, err := rp.oauth2(md).TokenSource(ctx, &oauth2.Token{RefreshToken: tokens.Refresh}).Token()
	if err != nil {
		err = tokenError(err)
		if refused, ok := errors.AsType[*TokenError](err); ok && refused.Code == "invalid_grant" {
			return nil, fmt.Errorf("%w: %w", ErrTokensEnded, err)
		}
		return nil, err
	}
	if err := checkTokens(token); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrTokensEnded, err)
	}
	fresh := &Tokens{
		Access: token.AccessToken, Refresh: token.RefreshToken, // the old one if the response has none
		ID: tokens.ID, SID: tokens.SID, Expires: rp.expiry(token),
	}
	raw, ok := token.Extra("id_token").(string)
	if !ok || raw == "" { // optional (OIDC Core 1.0 section 12.2)
		return fresh, nil
	}
	claims, err := rp.verifyIDToken(ctx, md, receivedIDToken{raw: raw, accessToken: token.AccessToken, nonceValid: nonceOf(tokens.ID)})
	if err == nil {
		err = claims.match(&identity)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrTokensEnded, err)
	}
	fresh.ID = raw
	if claims.SID != "" {
		fresh.SID = claims.SID
	}
	return fresh, nil
}

// nonceOf accepts the nonce of the ID token from the sign-in, and no nonce.
func nonceOf(signInIDToken string) func(string) bool {
	var nonce string
	_ = json.Unmarshal(verifiedClaims(signInIDToken)["nonce"], &nonce)
	return func(got string) bool { return got == "" || sameSecret(got, nonce) }
}

// match checks that a refreshed ID token is about the user and the sign-in of
// identity (https://openid.net/specs/openid-connect-core-1_0.html#RefreshTokenResponse).
func (c *idTokenClaims) match(identity *Identity) error {
	switch {
	case !sameSecret(c.subject, identity.Subject):
		return fmt.Errorf("%w: sub has changed", ErrIDTokenInvalid)
	case c.AuthTime != 0 && identity.AuthTime != 0 && int64(c.AuthTime) != identity.AuthTime:
		return fmt.Errorf("%w: auth_time has changed", ErrIDTokenInvalid)
	}
	return nil
}
