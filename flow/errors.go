// Errors that callers of this package decide on.

package flow

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// Every error of this package matches one of these, or is an
// AuthorizationError, a UserError or a TokenError, unless the function says
// otherwise. The gate decides by them what the user reads. Their text is for the
// log and holds nothing secret or personal.
var (
	// ErrProviderUnavailable says that the provider could not be asked: no
	// connection, a timeout, status 5xx or 429. A later attempt may succeed.
	ErrProviderUnavailable = errors.New("the provider is unavailable")
	// ErrLoginUnknown says that no login cookie has the state of a callback.
	ErrLoginUnknown = errors.New("this browser has no sign-in with this state")
	// ErrLoginExpired says that the login began more than LoginLifetime ago.
	ErrLoginExpired = errors.New("the sign-in has expired")
	// ErrResponseInvalid says that an authorization response does not match its request.
	ErrResponseInvalid = errors.New("the authorization response is invalid")
	// ErrIDTokenInvalid says that a token response or its ID token does not verify.
	ErrIDTokenInvalid = errors.New("the ID token is invalid")
	// ErrUserinfoInvalid says that userinfo is missing, malformed or for another user.
	ErrUserinfoInvalid = errors.New("userinfo is invalid")
	// ErrBearerInvalid says that an access token is expired, forged, revoked, or for another client.
	ErrBearerInvalid = errors.New("the access token is invalid")
	// ErrKeyReads says that the provider's keys were read too often to be read
	// again for a token signed by an unknown key. It comes with
	// ErrProviderUnavailable. The gate counts such a token as a guess anyway.
	ErrKeyReads = fmt.Errorf("they were read %d times in the last minute", keyReads)
	// ErrEmailMissing says that there is no usable e-mail claim.
	ErrEmailMissing = errors.New("the e-mail address is missing")
	// ErrEmailNotASCII says that the e-mail address has letters that RomM's
	// database may treat as equal to others.
	ErrEmailNotASCII = errors.New("the e-mail address has letters outside ASCII")
	// ErrEmailUnverified says that email_verified is not true.
	ErrEmailUnverified = errors.New("the e-mail address is not verified")
	// ErrUsernameMissing says that the username claim is missing.
	ErrUsernameMissing = errors.New("the user name is missing")
	// ErrTokensEnded says that the provider no longer accepts a session's
	// tokens: they are expired, revoked, or used twice. It says nothing about
	// the account.
	ErrTokensEnded = errors.New("the tokens have ended")
	// ErrSubjectChanged says that refreshed tokens are another user's, or from or
	// for another party.
	ErrSubjectChanged = errors.New("the refreshed tokens are not for this user of this site")
	// ErrAccountGone says that userinfo no longer names the user: the account
	// is disabled or deleted.
	ErrAccountGone = errors.New("the account is gone")
)

var errLogoutTokenInvalid = errors.New("the logout token is invalid")

// EmailError says that the claim email is there, but is not one address. It
// matches ErrEmailMissing.
type EmailError struct {
	Came string // what came instead, for a sentence that begins with the claim; never the value
}

// Error says what came, for the log.
func (e *EmailError) Error() string { return "the claim email " + e.Came }

// Is makes it match ErrEmailMissing.
func (e *EmailError) Is(target error) bool { return target == ErrEmailMissing }

// AuthorizationError is an error response of the authorization endpoint
// (https://datatracker.ietf.org/doc/html/rfc6749#section-4.1.2.1,
// https://openid.net/specs/openid-connect-core-1_0.html#AuthError).
type AuthorizationError struct {
	Code        string // printable ASCII, at most 100 bytes
	Description string // printable ASCII, at most 300 bytes
}

// Error returns both, for the log.
func (e *AuthorizationError) Error() string {
	return fmt.Sprintf("the authorization endpoint answered %s: %s", e.Code, e.Description)
}

// UserError is an error about a user that the provider named. User and
// Subject are no part of the text: User is for the user's own eyes.
type UserError struct {
	User    string // may be empty
	Subject string // as in the verified ID token
	IDToken string // of a sign-in, for the user's sign-out at the provider
	Err     error
}

// Error returns the text of Err.
func (e *UserError) Error() string { return e.Err.Error() }

// Unwrap returns Err.
func (e *UserError) Unwrap() error { return e.Err }

// TokenError is an error response of the token or revocation endpoint
// (https://datatracker.ietf.org/doc/html/rfc6749#section-5.2).
type TokenError struct {
	Code        string // empty if the response has none
	Description string // printable ASCII, at most 200 bytes
	Status      int    // HTTP status
	// Foreign says that a firewall or a proxy in front of the endpoint answered: it
	// is no JSON. The error then matches ErrProviderUnavailable.
	Foreign bool

	demands string
}

// Is makes it match ErrProviderUnavailable if it is Foreign.
func (e *TokenError) Is(target error) bool { return e.Foreign && target == ErrProviderUnavailable }

// Error returns all of it, for the log.
func (e *TokenError) Error() string {
	text := fmt.Sprintf("the token endpoint answered %d %s", e.Status, e.Code)
	if e.Foreign {
		text = fmt.Sprintf("%s: something in front of its token endpoint answered %d", ErrProviderUnavailable, e.Status)
	}
	if e.Description != "" {
		text += ": " + e.Description
	}
	return text
}

// Demands returns what the operator has to change about the client, "" if the
// provider's answer says nothing of the kind.
func (e *TokenError) Demands() string { return e.demands }

// Definite reports whether the same request would be refused again: the provider
// answered with an error that is neither 429 nor a fault of its own.
func (e *TokenError) Definite() bool {
	return !e.Foreign && (e.Status >= http.StatusBadRequest && e.Status < http.StatusInternalServerError && e.Status != http.StatusTooManyRequests ||
		e.Status < http.StatusMultipleChoices && e.Code != "")
}

// EndpointError is a response of the token endpoint that says nothing about the
// request: status 429 or 5xx. It matches ErrProviderUnavailable.
type EndpointError struct {
	Status     int
	RetryAfter time.Duration // 0 if the response has none
}

// Error returns the status, for the log.
func (e *EndpointError) Error() string {
	return fmt.Sprintf("%s: its token endpoint answered %d", ErrProviderUnavailable, e.Status)
}

// Is makes it match ErrProviderUnavailable.
func (e *EndpointError) Is(target error) bool { return target == ErrProviderUnavailable }

// printable returns at most limit bytes of s, with "?" for everything but
// printable ASCII.
func printable(s string, limit int) string {
	return strings.Map(func(c rune) rune {
		if c < ' ' || c > '~' {
			return '?'
		}
		return c
	}, s[:min(len(s), limit)])
}
