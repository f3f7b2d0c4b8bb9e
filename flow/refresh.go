package flow

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

// Refresh trades the refresh token of a session for new tokens (OpenID Connect
// Core 1.0 section 12) with exactly one request, which is never repeated:
// Authelia rotates without grace, and takes a token that comes twice for
// stolen. The caller sees to it that nobody else refreshes the same tokens
// meanwhile. Who the session belongs to is not asked here, as a refresh does
// not look at the account: Recheck is.
//
// It returns ErrTokensEnded if the provider takes the refresh token no longer,
// or answered with tokens that do not verify: then neither are worth anything.
// After any other error the old ones may still be good.
func (rp *RelyingParty) Refresh(ctx context.Context, tokens Tokens, identity Identity) (Tokens, error) {
	if identity.Issuer != rp.Issuer || tokens.Refresh == "" { // its token is nobody else's to see
		return Tokens{}, fmt.Errorf("%w: there is no refresh token of this issuer", ErrTokensEnded)
	}
	provider, err := rp.Provider(ctx)
	if err != nil {
		return Tokens{}, err
	}
	ctx = oidc.ClientContext(ctx, rp.Client)
	token, err := rp.oauth2(provider).TokenSource(ctx, &oauth2.Token{RefreshToken: tokens.Refresh}).Token()
	if err != nil {
		return Tokens{}, refreshError(err)
	}
	if err := checkTokens(token); err != nil {
		return Tokens{}, fmt.Errorf("%w: %w", ErrTokensEnded, err)
	}
	fresh := Tokens{
		Access: token.AccessToken, Refresh: token.RefreshToken, ID: tokens.ID, SID: tokens.SID, Expires: rp.expiry(token),
	}
	if rawIDToken, _ := token.Extra("id_token").(string); rawIDToken != "" { // section 12.2: it may have none
		if err := rp.verifyRefreshed(ctx, provider, rawIDToken, token.AccessToken, tokens.ID, identity.Subject); err != nil {
			return Tokens{}, fmt.Errorf("%w: %w", ErrTokensEnded, err) // those before it are spent
		}
		fresh.ID = rawIDToken
	}
	return fresh, nil
}

// refreshError tells tokens that ended from a provider that could not be asked
// or refuses the client, by whose mistake nobody loses a session.
func refreshError(err error) error {
	err = tokenError(err)
	if refused, ok := errors.AsType[*TokenError](err); ok && refused.Code == "invalid_grant" { // RFC 6749 section 5.2
		return fmt.Errorf("%w: %w", ErrTokensEnded, err)
	}
	return err
}

// verifyRefreshed checks an ID token that came of a refresh by OpenID Connect
// Core 1.0 section 12.2: it says who signed in, and when, as the one before it
// did. Its nonce may be absent.
func (rp *RelyingParty) verifyRefreshed(ctx context.Context, provider *Provider, raw, accessToken, held, subject string) error {
	c, err := rp.verifyAny(ctx, provider, raw, accessToken)
	if err != nil {
		return err
	}
	before := heldClaims(held)
	var authTime unixTime
	_ = json.Unmarshal(before["auth_time"], &authTime) // 0 if it was not known
	switch {
	case !equal(c.subject, subject): // iss is checked above
		return invalid("sub is another")
	case c.Nonce != "" && !equal(c.Nonce, before.text("nonce")):
		return invalid("nonce is another")
	case c.AuthTime != 0 && authTime != 0 && c.AuthTime != authTime:
		return invalid("auth_time is another")
	}
	return nil
}
