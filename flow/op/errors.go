// Reasons to refuse a token request, and the errors of a code.

package op

import (
	"errors"
	"net/http"
)

// ErrClaimsTooLarge is returned by Provider.Code for claims that do not fit
// into a code. Only a change at the upstream provider helps, so the caller
// tells the user to ask there.
var ErrClaimsTooLarge = errors.New("the claims do not fit into a code")

// Reasons why a token request got no ID token. They are stable: they appear in
// logs and in the causes of errors.
const (
	reasonRequest     = "invalid_request"         // not a token request (RFC 6749 section 4.1.3)
	reasonClient      = "wrong_client_id"         // RomM's OIDC_CLIENT_ID is different or missing
	reasonSecret      = "wrong_client_secret"     // RomM's OIDC_CLIENT_SECRET is different or missing
	reasonGrantType   = "unsupported_grant_type"  // anything but authorization_code
	reasonRedirectURI = "wrong_redirect_uri"      // RomM's OIDC_REDIRECT_URI is different
	reasonCode        = "unknown_code"            // not a code of this gate for this client
	reasonExpired     = "code_expired"            // older than 30 s
	reasonUsed        = "code_used"               // redeemed before, on this node
	reasonLimited     = "too_many_requests"       // too many requests without a code of this gate
	reasonUnavailable = "temporarily_unavailable" // the signing keys are not available yet
)

// refusalError is an error response of the token endpoint
// (https://datatracker.ietf.org/doc/html/rfc6749#section-5.2).
type refusalError struct {
	reason string // one of the reasons above
	code   string // the error code of RFC 6749
	status int    // the HTTP status
}

func (e *refusalError) Error() string { return e.reason }

// errorResponse is the body of every error response (RFC 6749 section 5.2).
// It has no description: RomM shows none, and the operator reads our log.
type errorResponse struct {
	Error string `json:"error"`
}

var (
	errRequest     = &refusalError{reasonRequest, "invalid_request", http.StatusBadRequest}
	errTooLarge    = &refusalError{reasonRequest, "invalid_request", http.StatusRequestEntityTooLarge}
	errClient      = &refusalError{reasonClient, "invalid_client", http.StatusUnauthorized}
	errSecret      = &refusalError{reasonSecret, "invalid_client", http.StatusUnauthorized}
	errGrantType   = &refusalError{reasonGrantType, "unsupported_grant_type", http.StatusBadRequest}
	errRedirectURI = &refusalError{reasonRedirectURI, "invalid_grant", http.StatusBadRequest}
	errCode        = &refusalError{reasonCode, "invalid_grant", http.StatusBadRequest}
	errExpired     = &refusalError{reasonExpired, "invalid_grant", http.StatusBadRequest}
	errUsed        = &refusalError{reasonUsed, "invalid_grant", http.StatusBadRequest}
	errLimited     = &refusalError{reasonLimited, "temporarily_unavailable", http.StatusTooManyRequests}
	errUnavailable = &refusalError{reasonUnavailable, "temporarily_unavailable", http.StatusServiceUnavailable}
)
