// Identity and Tokens: the result of a sign-in.

package flow

import "time"

// Identity is the user as the OpenID Provider describes them: verified, with
// userinfo taking precedence over the ID token, and bounded in size.
type Identity struct {
	Issuer   string   `json:"iss"`
	Subject  string   `json:"sub"`                 // never changes; Issuer and Subject identify the user
	Username string   `json:"username"`            // the username claim, spelled as by the provider
	Email    string   `json:"email"`               // verified; exactly one "@"; case is kept
	Name     string   `json:"name,omitempty"`      // the display name
	Groups   []string `json:"groups,omitempty"`    // as listed by the provider
	AuthTime int64    `json:"auth_time,omitempty"` // when the user signed in at the provider, in Unix seconds; 0 if unknown

	// Unnamed says that only the ID token had the username claim at sign-in. If
	// userinfo has none later, that says nothing about the account.
	Unnamed bool `json:"unnamed,omitempty"`
}

// Tokens are the provider's tokens for an identity.
type Tokens struct {
	Access  string    `json:"access"`
	Refresh string    `json:"refresh,omitempty"`
	ID      string    `json:"id"`            // the raw ID token, for id_token_hint
	Expires time.Time `json:"expires"`       // when the access token expires; bounded even if the provider does not say
	SID     string    `json:"sid,omitempty"` // the provider's session ID (https://openid.net/specs/openid-connect-backchannel-1_0.html#BCSupport)
}
