// The spans of the gate's own work.

package handler

import "github.com/romm-oidc/caddy-romm-oidc/flow/span"

const (
	// SpanSignIn is from an authorization response to the session.
	SpanSignIn span.Name = "sign-in"
	// SpanRecheck is one re-check of a session.
	SpanRecheck span.Name = "re-check"
)
