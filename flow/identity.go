package flow

import "time"

// Identity is who signed in, as the OpenID Provider says it: verified, merged
// from userinfo over the ID token, and bounded in size.
type Identity struct {
	Issuer   string   `json:"iss"`
	Subject  string   `json:"sub"`                 // the only part that never changes; with Issuer the user's key
	Username string   `json:"username"`            // the username claim, as the provider spells it
	Email    string   `json:"email"`               // verified; exactly one "@"; case kept
	Name     string   `json:"name,omitempty"`      // the display name
	Groups   []string `json:"groups,omitempty"`    // as listed by the provider
	AuthTime int64    `json:"auth_time,omitempty"` // when the user signed in at the provider, Unix seconds, 0 if unknown

	// Unnamed says that userinfo did not name the user at sign-in, only the ID
	// token did: that it still does not says nothing of the account.
	Unnamed bool `json:"unnamed,omitempty"`
}

// Tokens are what the provider's token endpoint gave for an identity.
type Tokens struct {
	Access  string    `json:"access"`
	Refresh string    `json:"refresh,omitempty"`
	ID      string    `json:"id"`            // the raw ID token, for id_token_hint
	Expires time.Time `json:"expires"`       // of the access token; bounded even if the provider names no time
	SID     string    `json:"sid,omitempty"` // the provider's session id (Back-Channel Logout 1.0 section 2.1)
}
