// Which user of the provider has which RomM account.

package romm

import (
	"fmt"
	"strings"

	"github.com/romm-oidc/caddy-romm-oidc/flow"
)

// Link pins a user of the provider, by issuer and subject, to a RomM account.
// RomM itself recognizes users by e-mail address only: a user with a new address
// would get a second account, and a user with another user's former address
// would take over the first.
type Link struct {
	Issuer   string `json:"iss"`
	Subject  string `json:"sub"`
	ID       int    `json:"romm_id"`
	Username string `json:"username"` // as RomM spells it
	Email    string `json:"email"`    // as RomM has it, which may differ from the provider's
	// Created is when RomM created the account. It tells accounts with the same
	// ID apart if RomM's database was recreated. Empty if RomM does not report it.
	Created string `json:"romm_created,omitempty"`
	// Role is the account's role in RomM when the gate last saw it. Empty in links
	// that do not have it yet.
	Role string `json:"romm_role,omitempty"`
	// Trusted says that every way into the account is known, so that roles may
	// make it an administrator's: they were checked, or the operator vouched for it.
	Trusted bool `json:"trusted,omitempty"`
	// Made says that the gate's own sign-in created the account, by its name and
	// its age. Before a role is given, the ways into it are checked.
	Made bool `json:"made,omitempty"`
	// Claimed is the role of the user's newest claims. A session that has older
	// ones must not give back what those took away.
	Claimed claimed `json:"claimed,omitzero"`
	// Shut says that the provider or the policy no longer lets the user in. It is
	// a state of its own in storage, see Links.shut.
	Shut bool `json:"shut,omitempty"`
	// Waiting says that the user's sign-in was refused until the operator trusts
	// the account. It is not a link yet.
	Waiting bool `json:"waiting,omitempty"`
}

// claimed is the role that claims of the provider give a user by `roles`.
type claimed struct {
	Role string `json:"role"`
	Said int64  `json:"said"` // see flow.Identity.Said
}

// by returns what is to be known after a sign-in of identity with role. The
// sign-in counts unless its claims are older than those that took the
// administrator's role away. Older claims for a lower role count, too: then the
// clock may have been wrong.
func (c claimed) by(identity *flow.Identity, role string) claimed {
	return c.then(claimed{role, identity.Said})
}

// then returns what is to be known after next.
func (c claimed) then(next claimed) claimed {
	if next.Role == "" || next.Role == c.Role || c.Role == RoleUser && next.Said < c.Said {
		return c
	}
	return next
}

// linkTo returns the link of a subject to user.
func linkTo(user *account, issuer, subject string) Link {
	return Link{
		Issuer: issuer, Subject: subject, ID: user.ID, Username: user.Username, Email: user.Email,
		Created: user.created(), Role: user.Role,
	}
}

// sameSubject reports whether l and other are of the same user of the provider.
func (l *Link) sameSubject(other *Link) bool {
	return l.Issuer == other.Issuer && l.Subject == other.Subject
}

// sameAccount reports whether l and other lead to the same RomM account.
func (l *Link) sameAccount(other *Link) bool {
	return l.ID == other.ID && (l.Created == other.Created || l.Created == "" || other.Created == "")
}

// named reports whether account is the user name or the e-mail address of l's
// RomM account. An address without an @ could be another account's user name.
func (l *Link) named(account string) bool {
	return l.Username == account || strings.Contains(account, "@") && strings.EqualFold(l.Email, account)
}

// Account names l's RomM account as sessions and events do.
func (l *Link) Account() string { return (&account{ID: l.ID, Created: l.Created}).key() }

// String names l's RomM account for errors and the log.
func (l *Link) String() string { return fmt.Sprintf("%s (%d, %q)", l.Username, l.ID, l.Email) }

// taken returns errLinkTaken with what the operator needs to know.
func taken(holder *Link, subject string) error {
	return errLinkTaken.Because(fmt.Errorf("RomM account %s is linked to subject %s, but subject %s is signing in", holder.Username, holder.Subject, subject))
}

// subjectOf returns a link of identity that leads nowhere yet.
func subjectOf(identity *flow.Identity) *Link {
	return &Link{Issuer: identity.Issuer, Subject: identity.Subject}
}
