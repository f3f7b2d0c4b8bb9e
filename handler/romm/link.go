// Which user of the provider has which RomM account, and keeping that true.

package romm

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/romm-oidc/caddy-romm-oidc/flow"
	"github.com/romm-oidc/caddy-romm-oidc/handler/application"
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
	// Shut says that the provider or the policy no longer lets the user in.
	Shut bool `json:"shut,omitempty"`
}

// linkTo returns the link of a subject to user.
func linkTo(user *account, issuer, subject string) Link {
	return Link{
		Issuer: issuer, Subject: subject, ID: user.ID, Username: user.Username, Email: user.Email,
		Created: user.created(),
	}
}

// owns reports whether l is the link of identity.
func (l *Link) owns(identity *flow.Identity) bool {
	return l.Issuer == identity.Issuer && l.Subject == identity.Subject
}

// sameSubject reports whether l and other are of the same user of the provider.
func (l *Link) sameSubject(other *Link) bool {
	return l.Issuer == other.Issuer && l.Subject == other.Subject
}

// sameAccount reports whether l and other lead to the same RomM account.
func (l *Link) sameAccount(other *Link) bool {
	return l.ID == other.ID && (l.Created == other.Created || l.Created == "" || other.Created == "")
}

// taken returns errLinkTaken with what the operator needs to know.
func taken(holder *Link, subject string) error {
	return errLinkTaken.Because(fmt.Errorf("subject %s has the RomM account %s, this is subject %s", holder.Subject, holder.Username, subject))
}

// Shut makes the tokens and passwords of identity's RomM account unrecognized
// until its next sign-in.
func (a *App) Shut(ctx context.Context, identity flow.Identity) error {
	return a.config.Links.shut(ctx, &identity)
}

// isShut reports whether the credentials of user's account are shut. If storage
// cannot be read they are not: RomM's own verdict stands.
func (a *App) isShut(ctx context.Context, user *account) bool {
	link, err := a.config.Links.ofAccount(ctx, user.ID)
	if err != nil || link == nil || !link.Shut {
		return false
	}
	now := linkTo(user, link.Issuer, link.Subject)
	return now.sameAccount(link)
}

// AfterResponse updates the link of an account after its user name or e-mail
// address was changed in RomM. If that fails, the next sign-in updates the link,
// provided that RomM still finds the account by it.
func (a *App) AfterResponse(ctx context.Context, forwarded application.Forwarded, response application.Response) bool {
	text, ok := strings.CutPrefix(forwarded.Path, "/api/users/")
	if !ok || response.Status != 0 && response.Status/100 != 2 {
		return false
	}
	id, err := strconv.Atoi(text)
	if err != nil {
		return true
	}
	ctx = context.WithoutCancel(ctx)
	link, err := a.config.Links.ofAccount(ctx, id)
	if err != nil || link == nil {
		return true
	}
	user, err := a.whoIs(ctx, forwarded.Caller, forwarded.Session)
	if err == nil && user.ID != id {
		user, err = a.account(ctx, forwarded.Caller, "/api/users/"+text, forwarded.Session)
	}
	if err != nil || user.ID != id {
		return true
	}
	now := linkTo(user, link.Issuer, link.Subject)
	now.Shut = link.Shut
	if now.sameAccount(link) {
		_ = a.config.Links.pin(ctx, now)
	}
	return true
}
