package flow

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

const (
	// tokenLimit bounds an access or refresh token, in bytes.
	tokenLimit = 16 << 10
	// accessDefault and accessMost are how long an access token lives whose
	// response names no time, and at most.
	accessDefault = time.Hour
	accessMost    = 24 * time.Hour
)

// Result is what came of a login.
type Result struct {
	Identity Identity
	Tokens   Tokens
}

// Exchange redeems code with exactly one token request, which is never
// repeated: the provider counts failures, and revokes the tokens of a code
// that comes twice. It verifies the ID token, asks userinfo, and returns who
// signed in.
func (rp *RelyingParty) Exchange(ctx context.Context, login *Login, code string) (*Result, error) {
	provider, err := rp.Provider(ctx)
	if err != nil {
		return nil, err
	}
	ctx = oidc.ClientContext(ctx, rp.config.Client)
	token, err := rp.oauth2(provider).Exchange(ctx, code, oauth2.VerifierOption(login.Verifier))
	if err != nil {
		return nil, tokenError(err)
	}
	if err := checkTokens(token); err != nil {
		return nil, err
	}
	rawIDToken, ok := token.Extra("id_token").(string)
	if !ok || rawIDToken == "" {
		return nil, fmt.Errorf("%w: the token response has none", ErrIDTokenInvalid)
	}
	nonceFits := func(nonce string) bool { return login.Nonce != "" && equal(nonce, login.Nonce) }
	claims, err := rp.verify(ctx, provider, rawIDToken, nonceFits, token.AccessToken)
	if err != nil {
		return nil, err
	}
	userinfo, err := rp.userinfo(ctx, provider, token.AccessToken, claims.subject)
	if err != nil {
		return nil, err
	}
	identity, err := rp.identity(claims, userinfo)
	if err != nil {
		return nil, err
	}
	return &Result{Identity: *identity, Tokens: Tokens{
		Access: token.AccessToken, Refresh: token.RefreshToken, ID: rawIDToken, SID: claims.SID,
		Expires: rp.expiry(token),
	}}, nil
}

// tokenError tells a refusal from an endpoint that could not be asked.
func tokenError(err error) error {
	var refused *oauth2.RetrieveError
	if !errors.As(err, &refused) || refused.Response == nil {
		if _, ok := errors.AsType[*url.Error](err); ok {
			return fmt.Errorf("%w: asking its token endpoint: %w", ErrProviderUnavailable, err)
		}
		return fmt.Errorf("%w: reading the token response: %w", ErrIDTokenInvalid, err)
	}
	status := refused.Response.StatusCode
	if status >= http.StatusInternalServerError || status == http.StatusTooManyRequests {
		return fmt.Errorf("%w: its token endpoint answered %d", ErrProviderUnavailable, status)
	}
	return &TokenError{Code: printable(refused.ErrorCode, 100), Status: status}
}

// checkTokens checks a token response (RFC 6749 section 5.1).
func checkTokens(token *oauth2.Token) error {
	switch {
	case !strings.EqualFold(token.TokenType, "bearer"):
		return fmt.Errorf("%w: token_type is not bearer", ErrIDTokenInvalid)
	case token.AccessToken == "" || len(token.AccessToken) > tokenLimit || len(token.RefreshToken) > tokenLimit:
		return fmt.Errorf("%w: a token is missing or too long", ErrIDTokenInvalid)
	}
	return nil
}

// expiry returns when the access token ends: bounded, whatever the provider says.
func (rp *RelyingParty) expiry(token *oauth2.Token) time.Time {
	lives := time.Duration(min(token.ExpiresIn, int64(accessMost/time.Second))) * time.Second
	if lives <= 0 {
		lives = accessDefault
	}
	return rp.config.Now().Add(lives)
}
