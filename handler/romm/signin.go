// Signing a user of the provider in to RomM: role, link and account.

package romm

import (
	"context"
	"errors"
	"fmt"

	"github.com/romm-oidc/caddy-romm-oidc/flow"
	"github.com/romm-oidc/caddy-romm-oidc/flow/op"
	"github.com/romm-oidc/caddy-romm-oidc/flow/span"
	"github.com/romm-oidc/caddy-romm-oidc/handler/application"
	"github.com/romm-oidc/caddy-romm-oidc/handler/problem"
)

// SignIn signs identity in to RomM and returns RomM's session. Its error is a
// Problem if the user or the operator can act on it.
func (a *App) SignIn(ctx context.Context, call application.Caller, identity flow.Identity) (_ application.Session, err error) {
	ctx, end := span.Start(ctx, SpanSignIn)
	defer func() { end(err) }()
	none := application.Session{}
	if err := a.foreseeDemotion(ctx, &identity); err != nil {
		return none, err
	}
	beat, err := a.askHeartbeat(ctx, call)
	if err != nil {
		return none, err
	}
	if !beat.OIDC.Enabled {
		return none, errDisabled
	}
	role, err := a.roleFor(beat, &identity)
	if err != nil {
		if errors.Is(err, errNoRole) {
			_ = a.Shut(ctx, identity) // best effort; the sign-in is refused either way
		}
		return none, err
	}
	e := &entry{oidcClient: oidcClient{a, call}, identity: &identity, role: role}
	return e.enter(ctx)
}

// Role returns the role that identity has under `roles`, empty without
// `roles`, and errNoRole if no entry matches.
func (a *App) Role(identity *flow.Identity) (string, error) {
	if a.config.Roles == nil {
		return "", nil
	}
	role := a.config.Roles.Of(identity)
	if role == "" {
		return "", errNoRole.Because(problem.NoEntryFits(identity))
	}
	return role, nil
}

// roleFor returns the role that identity must have in RomM, empty if RomM's
// roles are left alone.
func (a *App) roleFor(beat *heartbeat, identity *flow.Identity) (string, error) {
	if v := beat.release; a.config.Roles != nil && v.known() && v.before(v48) {
		return "", errRolesVersion.Because(errors.New("RomM reports version " + beat.System.Version))
	}
	role, err := a.Role(identity)
	if err != nil {
		return "", err
	}
	if beat.System.ShowSetupWizard && role != RoleAdmin {
		return "", errNoAdministrator.Because(problem.NoEntryFits(identity))
	}
	return role, nil
}

// claimsOf returns the claims that RomM gets. A linked user gets the user name
// and the address of the RomM account, so that RomM finds it even if they have
// changed at the provider.
func claimsOf(identity *flow.Identity, link *Link) op.Claims {
	claims := op.Claims{
		Subject: identity.Subject, Username: usernameFor(identity), Email: identity.Email,
		Name: identity.Name, AuthTime: identity.AuthTime,
	}
	if link != nil {
		claims.Username, claims.Email = link.Username, link.Email
	}
	return claims
}

// changed returns errAccountChanged if err is RomM's refusal of a linked user: the
// account was renamed, or got another address in RomM. Other errors it returns as
// they are.
func changed(err error) error {
	if errors.Is(err, errRefused) || errors.Is(err, errRegistration) {
		return errAccountChanged.Because(err)
	}
	return err
}

// storageProblem returns err if it is a Problem, else StorageUnavailable.
func storageProblem(err error) error {
	if _, ok := errors.AsType[*problem.Problem](err); ok {
		return err
	}
	return problem.StorageUnavailable.Because(err)
}

// inNewestRole is inRole with the role of the user's newest claims. Of two sign-ins at
// once, the one with older claims must not come out last.
func (e *entry) inNewestRole(ctx context.Context, at signedIn) (session string, err error) {
	if e.role == "" || (e.role == RoleAdmin) == (at.user.Role == RoleAdmin) {
		return at.session, nil
	}
	unlock, err := e.config.Links.lock(ctx, at.user.ID)
	if err != nil {
		_ = e.SignOut(ctx, e.call, at.session)
		return "", storageProblem(err)
	}
	defer unlock()
	newest, err := e.config.Links.ofUser(ctx, at.user)
	var now *account
	if err == nil { // the other sign-in may have set the role
		now, err = e.whoIs(ctx, e.call, at.session)
	}
	if err == nil && now.key() != at.user.key() {
		err = errNameRests.Because(fmt.Errorf("the session of RomM account %s is %s's", at.user.key(), now.key()))
	}
	if err != nil {
		_ = e.SignOut(ctx, e.call, at.session)
		return "", storageProblem(err)
	}
	at.user = now
	if newest != nil && newest.sameSubject(e.link) && newest.Claimed.Role != "" && newest.Claimed.Role != e.role {
		e.role = ""
		if newest.Claimed.Role == RoleUser {
			e.role = RoleUser
		}
	}
	return e.inRole(ctx, claimsOf(e.identity, e.link), e.role, at)
}
