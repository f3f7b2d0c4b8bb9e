// Shut accounts: their tokens and passwords stay refused until the next sign-in.

package romm

import (
	"context"

	"github.com/romm-oidc/caddy-romm-oidc/flow"
)

// shutPath is where the account of link is marked as shut. The mark is by
// account and not part of the link: nothing that writes a link can open the
// account, and it stays when the link is removed or moved.
func (l *Links) shutPath(link *Link) string {
	return l.path("shut", (&account{ID: link.ID, Created: link.Created}).key())
}

// Shut makes the tokens and passwords of identity's RomM account unrecognized
// until the account's next sign-in. It may be called again.
func (a *App) Shut(ctx context.Context, identity flow.Identity) error {
	link, err := a.config.Links.of(ctx, &identity)
	if err != nil || link == nil {
		return err
	}
	return a.config.Links.mark(ctx, link)
}

// isShut reports whether the credentials of user's account are shut.
func (a *App) isShut(ctx context.Context, user *account) (bool, error) {
	now := linkTo(user, "", "")
	shut, err := a.config.Links.isShut(ctx, &now)
	if err != nil || shut {
		return shut, err
	}
	// RomM may not have reported the creation when the account was shut.
	link, err := a.config.Links.ofUser(ctx, user)
	if err != nil || link == nil || link.Created == now.Created {
		return false, err
	}
	return a.config.Links.isShut(ctx, link)
}

// mark shuts the account of link.
func (l *Links) mark(ctx context.Context, link *Link) error {
	return l.put(ctx, l.shutPath(link), link)
}

// open ends what mark began. The caller has signed the account's owner in.
func (l *Links) open(ctx context.Context, link *Link) error {
	marked, err := l.load(ctx, l.shutPath(link))
	if err != nil || marked == nil {
		return err
	}
	return l.drop(ctx, l.shutPath(link))
}

// isShut reports whether the account of link is shut.
func (l *Links) isShut(ctx context.Context, link *Link) (bool, error) {
	marked, err := l.load(ctx, l.shutPath(link))
	if err != nil || marked != nil {
		return marked != nil, err
	}
	return l.wasShut(ctx, link)
}

// wasShut reports whether the account's link itself says that it is shut, as
// links of former releases do.
func (l *Links) wasShut(ctx context.Context, link *Link) (bool, error) {
	holder, err := l.ofAccount(ctx, link.ID)
	return err == nil && holder != nil && holder.Shut && holder.sameAccount(link), err
}

// keepShut turns what a link of a former release says into a mark, before the
// link is written anew.
func (l *Links) keepShut(ctx context.Context, id int) error {
	holder, err := l.ofAccount(ctx, id)
	if err != nil || holder == nil || !holder.Shut {
		return err
	}
	return l.mark(ctx, holder)
}
