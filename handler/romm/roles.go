// Which role a user of the provider has in RomM.

package romm

import (
	"slices"
	"strings"

	"github.com/romm-oidc/caddy-romm-oidc/flow"
)

// The roles in the claims for RomM. They are the gate's own words and never the
// provider's groups: RomM looks for the role in parts of a string, and an
// attacker may be able to choose the name of a group.
const (
	RoleAdmin = "admin"
	RoleUser  = "user"
)

// Roles lists the users with each role in RomM. An entry with an "@" is an e-mail
// address, "*" matches every user, and anything else is a group. A user who
// matches both lists is an administrator.
type Roles struct {
	Admin []string
	User  []string
}

// Of returns the role of identity, empty if no entry matches.
func (r *Roles) Of(identity *flow.Identity) string {
	fits := func(entry string) bool {
		if entry == "*" {
			return true
		}
		if strings.Contains(entry, "@") {
			// The length rules out letters outside ASCII that fold to one of it.
			return len(entry) == len(identity.Email) && strings.EqualFold(entry, identity.Email)
		}
		return slices.Contains(identity.Groups, entry)
	}
	switch {
	case slices.ContainsFunc(r.Admin, fits):
		return RoleAdmin
	case slices.ContainsFunc(r.User, fits):
		return RoleUser
	}
	return ""
}
