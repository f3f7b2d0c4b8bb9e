// The OAuth 2.0 errors in Authelia's words.

package authelia

import "net/http"

// oauthError is an OAuth 2.0 error in Authelia's words.
type oauthError struct {
	code, description, hint string
	status                  int
}

// text returns the error_description that a client sees: the description and the hint.
func (e oauthError) text() string {
	if e.hint == "" {
		return e.description
	}
	return e.description + " " + e.hint
}

func (e oauthError) with(hint string) *oauthError {
	e.hint = hint
	return &e
}

// json returns the error as the token, introspection, revocation and userinfo endpoints send it: never with
// WWW-Authenticate.
func (e oauthError) json() answer {
	return jsonAnswer(e.status, map[string]any{"error": e.code, "error_description": e.text()})
}

var (
	errInvalidRequest = oauthError{
		code: "invalid_request", status: http.StatusBadRequest,
		description: "The request is missing a required parameter, includes an invalid parameter value, includes a parameter more than once, or is otherwise malformed.",
	}
	errInvalidClient = oauthError{
		code: "invalid_client", status: http.StatusUnauthorized,
		description: "Client authentication failed (e.g., unknown client, no client authentication included, or unsupported authentication method).",
	}
	errInvalidGrant = oauthError{
		code: "invalid_grant", status: http.StatusBadRequest,
		description: "The provided authorization grant (e.g., authorization code, resource owner credentials) or refresh token is invalid, expired, revoked, does not match the redirection URI used in the authorization request, or was issued to another client.",
	}
	errUnauthorizedClient = oauthError{
		code: "unauthorized_client", status: http.StatusBadRequest,
		description: "The client is not authorized to request a token using this method.",
	}
	errInvalidScope = oauthError{
		code: "invalid_scope", status: http.StatusBadRequest,
		description: "The requested scope is invalid, unknown, or malformed.",
	}
	errInsufficientScope = oauthError{
		code: "insufficient_scope", status: http.StatusForbidden,
		description: "The request requires higher privileges than provided by the access token.",
	}
	errInvalidState = oauthError{
		code: "invalid_state", status: http.StatusBadRequest,
		description: "The state is missing or does not have enough characters and is therefore considered too weak.",
	}
	errInvalidTarget = oauthError{
		code: "invalid_target", status: http.StatusBadRequest,
		description: "The requested resource is invalid, missing, unknown, or malformed.",
	}
	errUnsupportedResponseType = oauthError{
		code: "unsupported_response_type", status: http.StatusBadRequest,
		description: "The authorization server does not support obtaining a token using this method.",
	}
	errUnsupportedResponseMode = oauthError{
		code: "unsupported_response_mode", status: http.StatusBadRequest,
		description: "The authorization server does not support obtaining a response using this response mode.",
	}
	errInvalidRequestObject = oauthError{
		code: "invalid_request_object", status: http.StatusBadRequest,
		description: "The request parameter contains an invalid Request Object.",
	}
	errInvalidRequestURI = oauthError{
		code: "invalid_request_uri", status: http.StatusBadRequest,
		description: "The request_uri in the authorization request returns an error or contains invalid data.",
	}
	errLoginRequired = oauthError{
		code: "login_required", status: http.StatusBadRequest,
		description: "The Authorization Server requires End-User authentication.",
	}
	errAccessDenied = oauthError{
		code: "access_denied", status: http.StatusForbidden,
		description: "The resource owner or authorization server denied the request.",
	}
	errServerError = oauthError{
		code: "server_error", status: http.StatusInternalServerError,
		description: "The authorization server encountered an unexpected condition that prevented it from fulfilling the request.",
	}
	errRequestUnauthorized = oauthError{
		code: "request_unauthorized", status: http.StatusUnauthorized,
		description: "The request could not be authorized.",
	}
	errInvalidToken = oauthError{
		code: "invalid_token", status: http.StatusUnauthorized,
		description: "The access token provided is expired, revoked, malformed, or invalid for other reasons.",
	}
	errTooManyRequests = oauthError{
		code: "temporarily_unavailable", status: http.StatusTooManyRequests,
		description: "Too many requests. The endpoint is temporarily unavailable. Try again later.",
	}
)
