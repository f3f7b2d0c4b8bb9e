// The differences between RomM's releases, one method each.

package romm

import (
	"strconv"
	"strings"
)

// version is a release of RomM. A pre-release counts as its release. That is right
// where it matters: 5.1.1-beta.1 already returns 401.
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

// redisSessions: before 4.5 the session is the cookie itself, a signed JWT.
func (v version) redisSessions() bool { return v.atLeast(4, 5, 0) }

// unauthorized: earlier releases refuse anonymous requests with 403.
func (v version) unauthorized() bool { return v.atLeast(5, 1, 1) }

// socketIdentity: earlier releases let anonymous sockets scan.
func (v version) socketIdentity() bool { return v.atLeast(5, 0, 0) }

// twoRoles: user and admin instead of viewer, editor and admin.
func (v version) twoRoles() bool { return v.atLeast(5, 0, 0) }

// clientTokens: client tokens (rmm_...) exist.
func (v version) clientTokens() bool { return v.atLeast(4, 8, 0) }

// bearerExpiry: earlier releases accept expired access tokens.
func (v version) bearerExpiry() bool { return v.atLeast(4, 8, 0) }

// absentClaimKeepsRole: from 4.3.1 to 4.7 a sign-in without the roles claim makes
// an administrator a viewer.
func (v version) absentClaimKeepsRole() bool { return v.atLeast(4, 8, 0) }

// webDevices: a sign-in creates a device for the browser.
func (v version) webDevices() bool { return v.atLeast(4, 9, 0) }

// csrfBound: the CSRF token contains the user's ID.
func (v version) csrfBound() bool { return v.atLeast(4, 4, 1) }

// corsConfigurable: RomM has ROMM_CORS_ALLOWED_ORIGINS. Earlier releases allow any origin.
func (v version) corsConfigurable() bool { return v.atLeast(5, 1, 0) }

// csrfRefreshed: RomM issues the CSRF cookie again when the user changes. Earlier
// releases issue it only when it is missing.
func (v version) csrfRefreshed() bool { return v.atLeast(4, 9, 0) }

// csrfAnonymousRelaxed: an anonymous request may send a token bound to a user.
func (v version) csrfAnonymousRelaxed() bool { return v.atLeast(5, 2, 0) }

// csrfBesideSession: the release after 5.2 checks requests with a session whatever
// their Authorization header says.
func (v version) csrfBesideSession() bool { return v.atLeast(5, 3, 0) }

// placeholdersRefused: a password for an account that OpenID Connect created is
// wrong. In earlier releases it is an exception.
func (v version) placeholdersRefused() bool { return v.atLeast(5, 3, 0) }

// takenNamesRefused: a sign-in that would create an account with a name that is
// taken is answered with 409. In earlier releases it is an exception of the database.
func (v version) takenNamesRefused() bool { return v.atLeast(5, 3, 0) }

// sessionsOfAUser: another password or name ends all sessions of its user, and not
// only the calling one.
func (v version) sessionsOfAUser() bool { return v.atLeast(5, 3, 0) }

// claimRoles: OIDC_CLAIM_ROLES exists.
func (v version) claimRoles() bool { return v.atLeast(4, 3, 1) }

// lowestRole returns the role of an account that was not given one.
func (v version) lowestRole() string {
	if v.twoRoles() {
		return "user"
	}
	return "viewer"
}

// reactsTo returns the status on which the single-page application goes to /login.
func (v version) reactsTo() int {
	if v.unauthorized() {
		return 401
	}
	return 403
}

// authlib returns the version in the User-Agent of RomM's OpenID Connect client.
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
