// The differences between RomM's releases, one method each.

package romm

import (
	"strconv"
	"strings"
)

// version is a release of RomM. A pre-release counts as its release, which
// suits the one switch where it matters: 5.1.1-beta.1 already answers 401.
type version [3]int

func parseVersion(text string) version {
	var v version
	text, _, _ = strings.Cut(text, "-")
	for i, part := range strings.SplitN(text, ".", 3) {
		v[i], _ = strconv.Atoi(part)
	}
	return v
}

func (v version) atLeast(major, minor, patch int) bool {
	for i, want := range [3]int{major, minor, patch} {
		if v[i] != want {
			return v[i] > want
		}
	}
	return true
}

// redisSessions: until 4.5 the cookie is the session, a signed JWT.
func (v version) redisSessions() bool { return v.atLeast(4, 5, 0) }

// unauthorized: earlier releases answer 403 to an anonymous visitor.
func (v version) unauthorized() bool { return v.atLeast(5, 1, 1) }

// socketIdentity: earlier releases let anyone scan.
func (v version) socketIdentity() bool { return v.atLeast(5, 0, 0) }

// twoRoles: user and admin instead of viewer, editor and admin.
func (v version) twoRoles() bool { return v.atLeast(5, 0, 0) }

// clientTokens: rmm_ tokens.
func (v version) clientTokens() bool { return v.atLeast(4, 8, 0) }

// bearerExpiry: earlier releases take expired access tokens.
func (v version) bearerExpiry() bool { return v.atLeast(4, 8, 0) }

// absentClaimKeepsRole: between 4.3.1 and 4.7 a login without the roles claim
// makes an administrator a viewer.
func (v version) absentClaimKeepsRole() bool { return v.atLeast(4, 8, 0) }

// webDevices: a login creates a device for the browser.
func (v version) webDevices() bool { return v.atLeast(4, 9, 0) }

// csrfBound: the CSRF token names its user.
func (v version) csrfBound() bool { return v.atLeast(4, 4, 1) }

// csrfRefreshed: the CSRF cookie is issued anew when the user changes, earlier
// only when it is missing.
func (v version) csrfRefreshed() bool { return v.atLeast(4, 9, 0) }

// csrfAnonymousRelaxed: an anonymous caller may send a token bound to a user.
func (v version) csrfAnonymousRelaxed() bool { return v.atLeast(5, 2, 0) }

// csrfBesideSession: what is to come after 5.2 checks a session's requests
// whatever their Authorization says.
func (v version) csrfBesideSession() bool { return v.atLeast(5, 3, 0) }

// claimRoles: OIDC_CLAIM_ROLES exists.
func (v version) claimRoles() bool { return v.atLeast(4, 3, 1) }

// lowestRole is what an account has that nobody gave a role.
func (v version) lowestRole() string {
	if v.twoRoles() {
		return "user"
	}
	return "viewer"
}

// reactsTo is the status that makes the single-page application go to /login.
func (v version) reactsTo() int {
	if v.unauthorized() {
		return 401
	}
	return 403
}

// authlib is the version that RomM's OpenID Connect client reports.
func (v version) authlib() string {
	switch {
	case v.atLeast(4, 9, 0):
		return "1.6.12"
	case v.atLeast(4, 0, 0):
		return "1.6.5"
	default:
		return "1.4.1"
	}
}
