// Shut accounts: their tokens and passwords stay refused until the next sign-in.

package romm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/romm-oidc/caddy-romm-oidc/flow"
)

// shutMark says that the account of its link is shut. It is stored by account and
// not part of the link: nothing that writes a link can open the account, and the
// mark stays when the link is removed or moved.
type shutMark struct {
	Link
	// Demotion says that only an administrator's role could not be taken away yet.
	Demotion bool `json:"demotion,omitempty"`
}

func (l *Links) shutPath(link *Link) string { return l.path("shut", link.Account()) }

// Shut makes the tokens and passwords of identity's RomM account unrecognized
// until Open, or until the account's next owner signs in. Calling it again changes nothing.
func (a *App) Shut(ctx context.Context, identity flow.Identity) error {
	link, err := a.config.Links.of(ctx, &identity)
	if err != nil || link == nil {
		return err
	}
	return a.config.Links.mark(ctx, shutMark{Link: *link})
}

// Open ends what Shut began.
func (a *App) Open(ctx context.Context, identity flow.Identity) error {
	link, err := a.config.Links.of(ctx, &identity)
	if err != nil || link == nil {
		return err
	}
	return a.config.Links.open(ctx, link, func(*shutMark) bool { return true })
}

// IsShut reports whether the account with this key is shut, or has lost the name in
// the credential. If the key is empty, it returns errOwnerUnknown where any account
// is shut.
func (a *App) IsShut(ctx context.Context, authorization, account string) (bool, error) {
	if account == "" {
		some, err := a.config.Links.someShut(ctx)
		if err == nil && some {
			err = errOwnerUnknown
		}
		return false, err
	}
	user, err := accountOf(account)
	if err != nil {
		return false, err
	}
	shut, err := a.isShut(ctx, user)
	if err != nil || shut {
		return shut, err
	}
	return a.renamed(ctx, authorization, user)
}

// foreseeDemotion shuts identity's account before the attempt to take an
// administrator's role away: if RomM does not answer, or refuses, the role stays, and
// no token and no password may use it. The sign-in that succeeds opens the account.
func (a *App) foreseeDemotion(ctx context.Context, identity *flow.Identity) error {
	if role, err := a.Role(identity); errors.Is(err, errNoRole) || role == "" || role == RoleAdmin {
		return nil // a user without a role is shut for that
	}
	link, err := a.config.Links.of(ctx, identity)
	if err == nil && link != nil && (link.Role == RoleAdmin || link.Role == "") {
		err = a.config.Links.mark(ctx, shutMark{Link: *link, Demotion: true})
	}
	if err != nil {
		return storageProblem(err)
	}
	return nil
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

// mark stores m, unless the account is shut for a better reason already.
func (l *Links) mark(ctx context.Context, m shutMark) error {
	known, err := l.marked(ctx, &m.Link)
	if err != nil || known != nil && (m.Demotion || !known.Demotion) {
		return err
	}
	document, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("encoding that an account is shut: %w", err)
	}
	if err := l.storage().Store(ctx, l.shutPath(&m.Link), document); err != nil {
		return fmt.Errorf("storing that an account is shut: %w", err)
	}
	return nil
}

// marked returns the mark of link's account, nil if it has none.
func (l *Links) marked(ctx context.Context, link *Link) (*shutMark, error) {
	document, err := l.storage().Load(ctx, l.shutPath(link))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil // not shut is not an error
	}
	if err != nil {
		return nil, fmt.Errorf("loading whether an account is shut: %w", err)
	}
	var m shutMark
	if json.Unmarshal(document, &m) != nil { // its existence is what counts
		return &shutMark{Link: *link}, nil //nolint:nilerr // see above
	}
	return &m, nil
}

// open removes the mark of link's account if ends returns true for it.
func (l *Links) open(ctx context.Context, link *Link, ends func(*shutMark) bool) error {
	m, err := l.marked(ctx, link)
	if err != nil || m == nil || !ends(m) {
		return err
	}
	return l.drop(ctx, l.shutPath(link))
}

// isShut reports whether the account of link is shut.
func (l *Links) isShut(ctx context.Context, link *Link) (bool, error) {
	m, err := l.marked(ctx, link)
	if err != nil || m != nil {
		return m != nil, err
	}
	// Links of former releases have it in the link itself.
	holder, err := l.ofAccount(ctx, link.ID)
	return err == nil && holder != nil && holder.Shut && holder.sameAccount(link), err
}

// someShut reports whether any account is shut.
func (l *Links) someShut(ctx context.Context) (bool, error) {
	keys, err := l.storage().List(ctx, l.folder+"/shut", false)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, fmt.Errorf("listing the shut accounts: %w", err)
	}
	if len(keys) > 0 {
		return true, nil
	}
	links, err := l.list(ctx, "account") // of former releases
	return slices.ContainsFunc(links, func(link Link) bool { return link.Shut }), err
}
