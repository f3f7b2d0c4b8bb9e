package romm

import (
	"slices"
	"strings"

	"github.com/romm-oidc/caddy-romm-oidc/flow"
)

// The roles that RomM is told of. They are our own words, never the provider's
// groups: RomM compares a string by its parts, and a group's name is anybody's choice.
const (
	RoleAdmin = "admin"
	RoleUser  = "user"
)

// Roles says who is what in RomM. An entry with an "@" is an e-mail address,
// "*" is everybody, anything else is a group. The higher role wins.
type Roles struct {
	Admin []string
	User  []string
}

// Of returns the role of identity, empty if no entry fits.
func (r *Roles) Of(identity *flow.Identity) string {
	fits := func(entry string) bool {
		if entry == "*" {
			return true
		}
		if strings.Contains(entry, "@") {
			// Of the same length: letters outside ASCII that fold into one are longer.
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
