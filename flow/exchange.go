// The token request of a sign-in: an authorization code for tokens.

package flow

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

const (
	// tokenLimit bounds an access or refresh token, in bytes.
	tokenLimit = 16 << 10
	// accessDefault is the lifetime of an access token if the response has none.
	accessDefault = time.Hour
	// AccessTokenMax bounds the lifetime of an access token, in Tokens.Expires.
	AccessTokenMax = 24 * time.Hour
)

// Result is the result of a successful login.
type Result struct {
	Identity Identity
	Tokens   Tokens
	Lacking  []string // scopes that the sign-in asked for and did not get
}

// lacking returns which of the scopes that were asked for did not come. A response
// without scope grants all of them (RFC 6749 section 5.1), except offline_access if
// there is no refresh token.
func lacking(token *oauth2.Token, asked string) []string {
	granted, _ := token.Extra("scope").(string)
	return slices.DeleteFunc(strings.Fields(asked), func(scope string) bool {
		if scope == oidc.ScopeOfflineAccess {
			return token.RefreshToken != ""
		}
		return granted == "" || slices.Contains(strings.Fields(granted), scope)
	})
}

// Exchange exchanges code for tokens with a single token request
// (https://openid.net/specs/openid-connect-core-1_0.html#TokenRequest), which
// it never repeats: the provider counts failures, and revokes the tokens of a
// code that is sent twice. It then verifies the ID token and reads userinfo.
func (rp *RelyingParty) Exchange(ctx context.Context, login *Login, code string) (*Result, error) {
	result, err := rp.exchange(ctx, login, code)
	rp.noteMismatch(err)
	return result, err
}

func (rp *RelyingParty) exchange(ctx context.Context, login *Login, code string) (*Result, error) {
	md, err := rp.metadata(ctx)
	if err != nil {
		return nil, err
	}
	ctx = oidc.ClientContext(ctx, rp.tokenClient())
	token, err := rp.oauth2(md).Exchange(ctx, code, oauth2.VerifierOption(login.Verifier))
	if err != nil {
		return nil, rp.tokenError(err)
	}
	if err := checkTokens(token); err != nil {
		return nil, err
	}
	rawIDToken, ok := token.Extra("id_token").(string)
	if !ok || rawIDToken == "" {
		return nil, fmt.Errorf("%w: the token response has no ID token", ErrIDTokenInvalid)
	}
	claims, err := rp.verifyIDToken(ctx, md, receivedIDToken{
		raw: rawIDToken, accessToken: token.AccessToken,
		nonceValid: func(nonce string) bool { return login.Nonce != "" && sameSecret(nonce, login.Nonce) },
	})
	if err != nil {
		return nil, err
	}
	userinfo, err := rp.userinfo(ctx, md, token.AccessToken, claims.subject)
	if err != nil {
		return nil, &UserError{Subject: claims.subject, IDToken: rawIDToken, Err: err}
	}
	identity, err := rp.identity(&evidence{token: claims, userinfo: userinfo})
	if err != nil {
		return nil, &UserError{User: userinfo.text(rp.config.UsernameClaim), Subject: claims.subject, IDToken: rawIDToken, Err: err}
	}
	return &Result{Identity: *identity, Tokens: Tokens{
		Access: token.AccessToken, Refresh: token.RefreshToken, ID: rawIDToken, SID: claims.SID,
		Expires: rp.config.Now().Add(lifeOf(token)), Life: lifeOf(token), Assumed: token.ExpiresIn <= 0, Scopes: login.Scopes,
	}, Lacking: lacking(token, login.Scopes)}, nil
}

// tokenError distinguishes an error response from an endpoint that could not be asked.
func (rp *RelyingParty) tokenError(err error) error {
	var refused *oauth2.RetrieveError
	if !errors.As(err, &refused) || refused.Response == nil {
		if _, ok := errors.AsType[*url.Error](err); ok {
			return fmt.Errorf("%w: requesting its token endpoint: %w", ErrProviderUnavailable, bounded(err))
		}
		return fmt.Errorf("%w: reading the token response: %w", ErrIDTokenInvalid, bounded(err))
	}
	status := refused.Response.StatusCode
	if status >= http.StatusInternalServerError || status == http.StatusTooManyRequests {
		return &EndpointError{Status: status, RetryAfter: retryAfter(refused.Response.Header)}
	}
	e := rp.refusal(refused.ErrorCode, refused.ErrorDescription, status)
	_, notJSON := parseDocument(refused.Body)
	e.Foreign = notJSON != nil && refused.ErrorCode == "" && status >= http.StatusBadRequest
	return e
}

// retryAfter returns how long a response asks to wait, 0 if it does not
// (https://www.rfc-editor.org/rfc/rfc9110#section-10.2.3). A date is taken by the
// clock of the response.
func retryAfter(header http.Header) time.Duration {
	value := header.Get("Retry-After")
	if seconds, err := strconv.ParseUint(value, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second
	}
	at, err := http.ParseTime(value)
	now, dateErr := http.ParseTime(header.Get("Date"))
	if err != nil || dateErr != nil {
		return 0
	}
	return max(0, at.Sub(now))
}

// checkTokens checks a token response
// (https://datatracker.ietf.org/doc/html/rfc6749#section-5.1).
func checkTokens(token *oauth2.Token) error {
	switch {
	case !strings.EqualFold(token.TokenType, "bearer"):
		return fmt.Errorf("%w: token_type is not bearer", ErrIDTokenInvalid)
	case token.AccessToken == "" || len(token.AccessToken) > tokenLimit || len(token.RefreshToken) > tokenLimit:
		return fmt.Errorf("%w: a token is missing or too long", ErrIDTokenInvalid)
	}
	return nil
}

// lifeOf returns how long the access token lives, bounded by AccessTokenMax.
func lifeOf(token *oauth2.Token) time.Duration {
	life := time.Duration(min(token.ExpiresIn, int64(AccessTokenMax/time.Second))) * time.Second
	if life <= 0 {
		return accessDefault
	}
	return life
}
