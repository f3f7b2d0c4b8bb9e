// The spans of requests to RomM.

package romm

import "github.com/romm-oidc/caddy-romm-oidc/flow/span"

const (
	// SpanSignIn is the whole sign-in of a user to RomM.
	SpanSignIn span.Name = "RomM sign-in"
	// SpanConfirm is the question whether a session of RomM still belongs to its account.
	SpanConfirm span.Name = "RomM confirmation"

	spanStart  span.Name = "RomM login request"
	spanRedeem span.Name = "RomM callback"
)
