// Identity and Tokens: the result of a sign-in.

package flow

import "time"

// Identity is the user as the OpenID Provider describes them: verified, with
// userinfo taking precedence over the ID token, and bounded in size.
type Identity struct {
	Issuer   string   `json:"iss"`
	Subject  string   `json:"sub"`                 // never changes; Issuer and Subject identify the user
	Username string   `json:"username"`            // the username claim, spelled as by the provider
	Email    string   `json:"email"`               // verified, or made for the subject; exactly one "@"; case is kept
	Name     string   `json:"name,omitempty"`      // the display name
	Groups   []string `json:"groups,omitempty"`    // as listed by the provider
	AuthTime int64    `json:"auth_time,omitempty"` // when the user signed in at the provider, in Unix seconds; 0 if unknown

	// FromIDToken lists the claims that userinfo has never named, neither at
	// sign-in nor since: for these, the ID token speaks, and userinfo's silence
	// says nothing. All others are userinfo's to take away.
	FromIDToken []string `json:"from_id_token,omitempty"`

	// Said is when the provider said this, in Unix milliseconds by the gate's
	// clock; 0 if unknown. Of two identities of a user, the later one counts.
	Said int64 `json:"said,omitempty"`
}

// refreshAhead is how long before its expiry an access token is refreshed, at most.
const refreshAhead = time.Minute

// RefreshAt returns when the access token is to be refreshed: before its expiry,
// but not so early that a token of short life is refreshed all the time.
func (t *Tokens) RefreshAt() time.Time {
	ahead := refreshAhead
	if t.Life > 0 {
		ahead = min(ahead, t.Life/4)
	}
	return t.Expires.Add(-ahead)
}

// Tokens are the provider's tokens for an identity.
type Tokens struct {
	Access  string        `json:"access"`
	Refresh string        `json:"refresh,omitempty"`
	ID      string        `json:"id"`                // the raw ID token, for id_token_hint
	Expires time.Time     `json:"expires"`           // when the access token expires; bounded even if the provider does not say
	Life    time.Duration `json:"life,omitempty"`    // of the access token, when it came; 0: unknown
	Assumed bool          `json:"assumed,omitempty"` // the provider did not say when the access token expires
	Scopes  string        `json:"scopes,omitempty"`  // what the sign-in asked for, separated by spaces; empty: unknown
	SID     string        `json:"sid,omitempty"`     // the provider's session ID (https://openid.net/specs/openid-connect-backchannel-1_0.html#BCSupport)
}
