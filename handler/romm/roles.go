// Roles: who is an administrator and who a user of RomM.

package romm

import (
	"slices"
	"strings"

	"github.com/romm-oidc/caddy-romm-oidc/flow"
)

// The roles in the ID tokens for RomM. They are fixed words, never the
// provider's group names: RomM matches parts of a string, so a group with a
// chosen name could match a role.
const (
	RoleAdmin = "admin"
	RoleUser  = "user"
)

// Everyone is the entry of Roles that matches every user.
const Everyone = "*"

// Roles says which role users have in RomM. An entry with an "@" is an e-mail
// address, "*" matches every user, and any other entry is a group. The higher
// role wins. Users who match no entry are refused.
type Roles struct {
	// Who is an administrator of RomM.
	Admin []string `json:"admin,omitempty"`

	// Who is a user of RomM.
	User []string `json:"user,omitempty"`
}

// IsEmail reports whether an entry of Roles is an e-mail address.
func IsEmail(entry string) bool { return strings.Contains(entry, "@") }

// NameGroups reports whether an entry is a group.
func (r *Roles) NameGroups() bool {
	group := func(entry string) bool { return entry != Everyone && !IsEmail(entry) }
	return slices.ContainsFunc(r.Admin, group) || slices.ContainsFunc(r.User, group)
}

// Of returns the role of identity, or "" if no entry matches it.
func (r *Roles) Of(identity *flow.Identity) string {
	matches := func(entry string) bool {
		switch {
		case entry == Everyone:
			return true
		case IsEmail(entry):
			return flow.EqualFoldASCII(entry, identity.Email)
		}
		return slices.Contains(identity.Groups, entry)
	}
	switch {
	case slices.ContainsFunc(r.Admin, matches):
		return RoleAdmin
	case slices.ContainsFunc(r.User, matches):
		return RoleUser
	}
	return ""
}
