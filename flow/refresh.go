package flow

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

// Refresh gets new tokens for a refresh token, with exactly one token request
// that is never repeated (RFC 6749 section 6): Authelia revokes the whole
// family of a refresh token that comes twice, so the caller sees to it that
// one is used once, on all nodes together, and keeps what comes back.
//
// It returns ErrTokensEnded if the provider takes the refresh token no more, or
// answered with tokens that do not verify or are not for this identity, as the
// old ones are spent then, too. After any other error they may still be good.
func (rp *RelyingParty) Refresh(ctx context.Context, tokens Tokens, identity Identity) (*Tokens, error) {
	if tokens.Refresh == "" || identity.Issuer != rp.config.Issuer {
		return nil, ErrTokensEnded
	}
	provider, err := rp.Provider(ctx)
	if err != nil {
		return nil, err
	}
	ctx = oidc.ClientContext(ctx, rp.config.Client)
	token, err := rp.oauth2(provider).TokenSource(ctx, &oauth2.Token{RefreshToken: tokens.Refresh}).Token()
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
		Access: token.AccessToken, Refresh: token.RefreshToken, // the old one where the answer has none
		ID: tokens.ID, SID: tokens.SID, Expires: rp.expiry(token),
	}
	raw, ok := token.Extra("id_token").(string)
	if !ok || raw == "" { // optional (OpenID Connect Core 1.0 section 12.2)
		return fresh, nil
	}
	claims, err := rp.verifyRefreshed(ctx, provider, raw, token.AccessToken, tokens.ID, identity)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrTokensEnded, err)
	}
	fresh.ID = raw
	if claims.SID != "" {
		fresh.SID = claims.SID
	}
	return fresh, nil
}

// verifyRefreshed checks an ID token that came with a refresh, against the one
// of the sign-in (OpenID Connect Core 1.0 section 12.2).
func (rp *RelyingParty) verifyRefreshed(ctx context.Context, provider *Provider, raw, accessToken, former string, identity Identity) (*idTokenClaims, error) {
	var nonce string
	_ = json.Unmarshal(heldClaims(former)["nonce"], &nonce)
	nonceFits := func(got string) bool { return got == "" || equal(got, nonce) }
	claims, err := rp.verify(ctx, provider, raw, nonceFits, accessToken)
	switch {
	case err != nil:
		return nil, err
	case !equal(claims.subject, identity.Subject):
		return nil, fmt.Errorf("%w: sub is another", ErrIDTokenInvalid)
	case claims.AuthTime != 0 && identity.AuthTime != 0 && int64(claims.AuthTime) != identity.AuthTime:
		return nil, fmt.Errorf("%w: auth_time is another", ErrIDTokenInvalid)
	}
	return claims, nil
}
