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
// It returns ErrSubjectChanged if the new ID token is about another user, or
// from or for another party, and ErrTokensEnded if the provider answered
// invalid_grant or if the new tokens do not verify: the old tokens are used up
// then too. A TokenError, with or without ErrTokensEnded, says that the provider
// refused; see TokenError.Definite. After any other error the tokens may still
// be valid.
func (rp *RelyingParty) Refresh(ctx context.Context, tokens Tokens, identity Identity) (*Tokens, error) {
	fresh, err := rp.refresh(ctx, tokens, identity)
	rp.noteMismatch(err)
	return fresh, err
}

func (rp *RelyingParty) refresh(ctx context.Context, tokens Tokens, identity Identity) (*Tokens, error) {
	if tokens.Refresh == "" || identity.Issuer != rp.config.Issuer {
		return nil, ErrTokensEnded
	}
	md, err := rp.metadata(ctx)
	if err != nil {
		return nil, err
	}
	ctx = oidc.ClientContext(ctx, rp.tokenClient())
	token, err := rp.oauth2(md).TokenSource(ctx, &oauth2.Token{RefreshToken: tokens.Refresh}).Token()
	if err != nil {
		err = rp.tokenError(err)
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
		ID: tokens.ID, SID: tokens.SID, Expires: rp.config.Now().Add(lifeOf(token)), Life: lifeOf(token), Assumed: token.ExpiresIn <= 0, Scopes: tokens.Scopes,
	}
	raw, ok := token.Extra("id_token").(string)
	if !ok || raw == "" { // optional (OIDC Core 1.0 section 12.2)
		return fresh, nil
	}
	if err := rp.sameParties(raw, &identity); err != nil {
		return nil, err
	}
	claims, err := rp.verifyIDToken(ctx, md, receivedIDToken{raw: raw, accessToken: token.AccessToken, nonceValid: nonceOf(tokens.ID)})
	if err == nil {
		err = claims.match(&identity)
	}
	switch {
	case errors.Is(err, ErrSubjectChanged):
		return nil, err
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrTokensEnded, err)
	}
	fresh.ID = raw
	if claims.SID != "" {
		fresh.SID = claims.SID
	}
	return fresh, nil
}

// sameParties returns ErrSubjectChanged if a refreshed ID token names another
// user, issuer or client than the sign-in did. Whether it verifies does not
// matter: tokens that came with it are not used in any case.
func (rp *RelyingParty) sameParties(raw string, identity *Identity) error {
	changed := func(what string) error { return fmt.Errorf("%w: %w: %s", ErrSubjectChanged, ErrIDTokenInvalid, what) }
	token := verifiedClaims(raw) // not verified yet
	var audience []string
	if json.Unmarshal(token["aud"], &audience) != nil && token.text("aud") != "" {
		audience = []string{token.text("aud")}
	}
	switch {
	case token.has("sub") && !sameSecret(token.text("sub"), identity.Subject):
		return changed("sub has changed")
	case token.has("iss") && token.text("iss") != rp.config.Issuer:
		return changed("iss is another provider")
	case len(audience) > 0 && (len(audience) != 1 || audience[0] != rp.config.ClientID):
		return changed("aud is another audience")
	case token.has("azp") && token.text("azp") != rp.config.ClientID:
		return changed("azp is another client")
	}
	return nil
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
		return fmt.Errorf("%w: %w: sub has changed", ErrSubjectChanged, ErrIDTokenInvalid)
	case c.AuthTime != 0 && int64(c.AuthTime) < identity.AuthTime: // a later one is of the same user: Keycloak, after another sign-in
		return fmt.Errorf("%w: auth_time is before that of the sign-in", ErrIDTokenInvalid)
	}
	return nil
}
