package op

import (
	"errors"
	"net/http"
)

// Why a token request got no ID token. These are stable words: they stand in
// logs, label metrics, and choose the page that a visitor sees.
const (
	RefusalRequest     = "invalid_request"        // not a token request (RFC 6749 section 4.1.3)
	RefusalClient      = "wrong_client_id"        // RomM has another OIDC_CLIENT_ID, or sent none
	RefusalSecret      = "wrong_client_secret"    // RomM has another OIDC_CLIENT_SECRET, or none
	RefusalGrantType   = "unsupported_grant_type" // anything but authorization_code
	RefusalRedirectURI = "wrong_redirect_uri"     // RomM has another OIDC_REDIRECT_URI
	RefusalCode        = "unknown_code"           // not a code of this gate for this client
	RefusalExpired     = "code_expired"           // older than 30 s
	RefusalUsed        = "code_used"              // redeemed before, at this node
	RefusalUnavailable = "temporarily_unavailable"
)

// refusalError is an answer of the token endpoint without a token (RFC 6749
// section 5.2).
type refusalError struct {
	reason string // one of the Refusal constants
	code   string // the error code of RFC 6749
	status int    // of the answer
}

func (e *refusalError) Error() string { return e.reason }

// errorResponse is the body of every answer that is none (RFC 6749 section
// 5.2). It has no description: RomM shows none, and the operator reads ours.
type errorResponse struct {
	Error string `json:"error"`
}

var (
	errRequest     = &refusalError{RefusalRequest, "invalid_request", http.StatusBadRequest}
	errTooLarge    = &refusalError{RefusalRequest, "invalid_request", http.StatusRequestEntityTooLarge}
	errClient      = &refusalError{RefusalClient, "invalid_client", http.StatusUnauthorized}
	errSecret      = &refusalError{RefusalSecret, "invalid_client", http.StatusUnauthorized}
	errGrantType   = &refusalError{RefusalGrantType, "unsupported_grant_type", http.StatusBadRequest}
	errRedirectURI = &refusalError{RefusalRedirectURI, "invalid_grant", http.StatusBadRequest}
	errCode        = &refusalError{RefusalCode, "invalid_grant", http.StatusBadRequest}
	errExpired     = &refusalError{RefusalExpired, "invalid_grant", http.StatusBadRequest}
	errUsed        = &refusalError{RefusalUsed, "invalid_grant", http.StatusBadRequest}
	errUnavailable = &refusalError{RefusalUnavailable, "temporarily_unavailable", http.StatusServiceUnavailable}
)

// ErrClaims is returned by Provider.Code for claims that RomM could not sign
// anybody in with. The caller shows it to the visitor, since only the provider
// that sent so little can help.
var ErrClaims = errors.New("subject, username, e-mail and nonce are needed, and all claims together must fit a code")
