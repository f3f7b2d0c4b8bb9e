package flow

import (
	"errors"
	"fmt"
	"strings"
)

// Every error of this package matches one of these, or is an
// AuthorizationError or a TokenError. The gate decides by them what a visitor
// reads; the text is for the log and holds nothing secret or personal.
var (
	// ErrProviderUnavailable says that the provider could not be asked: the
	// network, a timeout, an answer of 5xx or 429. Trying later helps.
	ErrProviderUnavailable = errors.New("the provider is unavailable")
	// ErrLoginUnknown says that no login cookie has the state of a callback.
	ErrLoginUnknown = errors.New("no sign-in of this browser has this state")
	// ErrLoginExpired says that the login began more than LoginLifetime ago.
	ErrLoginExpired = errors.New("the sign-in has expired")
	// ErrResponseInvalid says that an authorization response does not fit its request.
	ErrResponseInvalid = errors.New("the authorization response is invalid")
	// ErrIDTokenInvalid says that a token response or its ID token does not verify.
	ErrIDTokenInvalid = errors.New("the ID token is invalid")
	// ErrLogoutTokenInvalid says that a logout token does not verify.
	ErrLogoutTokenInvalid = errors.New("the logout token is invalid")
	// ErrUserinfoInvalid says that userinfo is missing, malformed or somebody else's.
	ErrUserinfoInvalid = errors.New("userinfo is invalid")
	// ErrBearerInvalid says that an access token is expired, forged, revoked, or not for this client.
	ErrBearerInvalid = errors.New("the access token is invalid")
	// ErrKeyReads says that the provider's keys were read too often of late to
	// be read again for a token that none of them signed. It comes with
	// ErrProviderUnavailable; the gate counts the token as a guess all the same.
	ErrKeyReads = fmt.Errorf("they were read %d times in the last minute", keyReads)
	// ErrEmailMissing says that there is no usable e-mail claim.
	ErrEmailMissing = errors.New("the e-mail address is missing")
	// ErrEmailNotASCII says that the e-mail address has letters that another may fold to or from.
	ErrEmailNotASCII = errors.New("the e-mail address has letters outside ASCII")
	// ErrEmailUnverified says that email_verified is not true.
	ErrEmailUnverified = errors.New("the e-mail address is not verified")
	// ErrUsernameMissing says that the username claim is missing.
	ErrUsernameMissing = errors.New("the user name is missing")
	// ErrTokensEnded says that the provider takes a session's tokens no more:
	// expired, revoked, or used twice. It says nothing of the account.
	ErrTokensEnded = errors.New("the tokens have ended")
	// ErrAccountGone says that userinfo no longer names the user: disabled or deleted.
	ErrAccountGone = errors.New("the account is gone")
)

// AuthorizationError is an error that the authorization endpoint sent back
// (RFC 6749 section 4.1.2.1, OpenID Connect Core 1.0 section 3.1.2.6).
type AuthorizationError struct {
	Code        string
	Description string // printable ASCII, at most 300 bytes
}

func (e *AuthorizationError) Error() string {
	return fmt.Sprintf("the authorization endpoint answered %s: %s", e.Code, e.Description)
}

// TokenError is a refusal by the token endpoint (RFC 6749 section 5.2).
type TokenError struct {
	Code   string // empty if the answer named none
	Status int    // of the HTTP answer
}

func (e *TokenError) Error() string {
	return fmt.Sprintf("the token endpoint answered %d %s", e.Status, e.Code)
}

// printable returns at most limit bytes of s, with everything but printable ASCII replaced.
func printable(s string, limit int) string {
	return strings.Map(func(c rune) rune {
		if c < ' ' || c > '~' {
			return '?'
		}
		return c
	}, s[:min(len(s), limit)])
}
