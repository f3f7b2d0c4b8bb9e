package romm

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/romm-oidc/caddy-romm-oidc/flow"
	"github.com/romm-oidc/caddy-romm-oidc/handler/application"
	"github.com/romm-oidc/caddy-romm-oidc/handler/problem"
)

// Guard keeps shut, to those who are signed in too, what RomM opens to
// anybody while it has no administrator: making one. RomM decides alone as
// soon as the visitor may manage users there, or our roles make them an administrator.
func (a *App) Guard(ctx context.Context, forwarded application.Forwarded, identity flow.Identity) error {
	switch path := forwarded.Path; {
	case path == "/api/users" && forwarded.Request.Method == http.MethodPost:
	case path == "/api/users/invite-link", strings.HasPrefix(path, "/api/setup"):
	default:
		return nil
	}
	if a.config.Roles != nil && a.config.Roles.Of(&identity) == RoleAdmin {
		return nil
	}
	user, err := a.whoIs(ctx, forwarded.Caller, forwarded.Session)
	if err != nil {
		return err
	}
	if user.Role == RoleAdmin || slices.Contains(user.Scopes, "users.write") {
		return nil
	}
	return errNoAdministrator.Because(problem.NoEntryFits(&identity))
}

// Shut shuts out the tokens and passwords of identity's RomM account, until its next sign-in.
func (a *App) Shut(ctx context.Context, identity flow.Identity) error {
	return a.config.Links.shut(ctx, &identity)
}

// isShut reports whether user's owner is let in no more. Where storage does
// not tell, RomM's word stands.
func (a *App) isShut(ctx context.Context, user *account) bool {
	link, err := a.config.Links.ofAccount(ctx, user.ID)
	if err != nil || link == nil || !link.Shut {
		return false
	}
	now := linkTo(user, link.Issuer, link.Subject)
	return now.sameAccount(link)
}

// AfterResponse refreshes the link of a user whose name or address was changed in
// RomM, by themselves or by an administrator. A link that cannot be refreshed
// now is refreshed at the next sign-in, if RomM still finds the account by it.
func (a *App) AfterResponse(ctx context.Context, forwarded application.Forwarded, status int) {
	text, ok := strings.CutPrefix(forwarded.Path, "/api/users/")
	if !ok || forwarded.Request.Method != http.MethodPut || status != 0 && status/100 != 2 {
		return
	}
	id, err := strconv.Atoi(text)
	if err != nil {
		return
	}
	ctx = context.WithoutCancel(ctx)
	link, err := a.config.Links.ofAccount(ctx, id)
	if err != nil || link == nil {
		return
	}
	user, err := a.whoIs(ctx, forwarded.Caller, forwarded.Session)
	if err == nil && user.ID != id {
		user, err = a.account(ctx, forwarded.Caller, "/api/users/"+text, forwarded.Session)
	}
	if err != nil || user.ID != id {
		return
	}
	now := linkTo(user, link.Issuer, link.Subject)
	now.Shut = link.Shut
	if now.sameAccount(link) {
		_ = a.config.Links.pin(ctx, now)
	}
}
