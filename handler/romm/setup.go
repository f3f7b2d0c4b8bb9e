// The first-administrator guard: RomM's setup stays closed to other users.

package romm

import (
	"context"
	"net/http"
	"slices"
	"strings"

	"github.com/romm-oidc/caddy-romm-oidc/flow"
	"github.com/romm-oidc/caddy-romm-oidc/handler/application"
	"github.com/romm-oidc/caddy-romm-oidc/handler/problem"
)

// Guard refuses the requests that create an administrator while RomM has none,
// which RomM leaves open to every client. Signed-in users pass only if the roles
// make them an administrator, or if RomM lets them manage users.
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
	user, err := a.whoIs(ctx, forwarded.Client.Caller(), forwarded.Session)
	if err != nil {
		return err
	}
	if user.Role == RoleAdmin || slices.Contains(user.Scopes.value, "users.write") {
		return nil
	}
	return errNoAdministrator.Because(problem.NoEntryFits(&identity))
}
