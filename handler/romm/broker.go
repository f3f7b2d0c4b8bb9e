package romm

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/romm-oidc/caddy-romm-oidc/flow"
	"github.com/romm-oidc/caddy-romm-oidc/flow/op"
	"github.com/romm-oidc/caddy-romm-oidc/handler/application"
	"github.com/romm-oidc/caddy-romm-oidc/handler/problem"
	"github.com/romm-oidc/caddy-romm-oidc/handler/request"
)

// SignIn signs identity in to RomM and returns RomM's session. Its errors are
// Problems wherever a person can do something about it.
func (a *App) SignIn(ctx context.Context, call application.Caller, identity flow.Identity) (string, error) {
	beat, err := a.askHeartbeat(ctx, call)
	if err != nil {
		return "", err
	}
	if !beat.OIDC.Enabled {
		return "", errDisabled
	}
	role, err := a.roleFor(beat, &identity)
	if err != nil {
		if errors.Is(err, errNoRole) {
			_ = a.Shut(ctx, identity) // best effort, like all that follows from an end
		}
		return "", err
	}
	link, err := a.linkFor(ctx, &identity)
	if err != nil {
		return "", err
	}
	claims := claimsOf(&identity, link)
	session, user, err := a.walk(ctx, call, claims)
	if err != nil {
		return "", changed(link, err)
	}
	// Whose account RomM found is settled before any role is given to it: its
	// users choose their addresses themselves, and may have chosen this one.
	pinned := linkTo(user, identity.Issuer, identity.Subject)
	if err := a.config.Links.pin(ctx, pinned); err != nil {
		_ = a.SignOut(ctx, call, session)
		return "", storageProblem(err)
	}
	session, err = a.inRole(ctx, call, claimsOf(&identity, &pinned), role, session, user)
	if errors.Is(err, errLastAdmin) {
		err = errLastAdmin.Because(problem.NoEntryFits(&identity))
	}
	return session, err
}

// roleFor returns the role that identity must have in RomM, empty if RomM's
// own roles are left alone.
func (a *App) roleFor(beat *heartbeat, identity *flow.Identity) (string, error) {
	role := ""
	if a.config.Roles != nil {
		if v, ok := parseVersion(beat.System.Version); ok && v.before(4, 8, 0) {
			return "", errRolesVersion.Because(errors.New("RomM says that it is " + beat.System.Version))
		}
		if role = a.config.Roles.Of(identity); role == "" {
			return "", errNoRole.Because(problem.NoEntryFits(identity))
		}
	}
	if beat.System.ShowSetupWizard && role != RoleAdmin {
		return "", errNoAdministrator.Because(problem.NoEntryFits(identity))
	}
	return role, nil
}

// linkFor returns the link of identity, nil for a newcomer whose e-mail
// address nobody else holds.
func (a *App) linkFor(ctx context.Context, identity *flow.Identity) (*Link, error) {
	link, err := a.config.Links.of(ctx, identity)
	if err != nil {
		return nil, storageProblem(err)
	}
	if link != nil {
		return link, nil
	}
	holder, err := a.config.Links.ofEmail(ctx, identity.Email)
	if err != nil {
		return nil, storageProblem(err)
	}
	if holder != nil && !holder.owns(identity) {
		return nil, taken(holder, identity.Subject)
	}
	return nil, nil //nolint:nilnil // a newcomer has no link
}

// claimsOf returns what RomM is told: for a linked user RomM's own words, so
// that it finds the account whatever has changed at the provider.
func claimsOf(identity *flow.Identity, link *Link) op.Claims {
	claims := op.Claims{
		Subject: identity.Subject, Username: usernameFor(identity.Username), Email: identity.Email,
		Name: identity.Name, AuthTime: identity.AuthTime,
	}
	if link != nil {
		claims.Username, claims.Email = link.Username, link.Email
	}
	return claims
}

// usernameFor spells a user name so that RomM's own forms accept it later:
// letters, digits, "-" and "_", at least three, lower case. RomM takes anything at a
// first sign-in, and then refuses to save the profile.
func usernameFor(name string) string {
	spelled := strings.Map(func(c rune) rune {
		if 'a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '-' || c == '_' {
			return c
		}
		return '_'
	}, strings.ToLower(name))
	for len(spelled) < 3 {
		spelled += "_"
	}
	return spelled
}

// inRole returns a session of user's, at first session, when the account has
// role. RomM is told a role only where that changes something, so that nobody
// loses what RomM's administrator gave them; and whoever is to lose the
// administrator's role is looked at first, since RomM itself would demote its last one.
func (a *App) inRole(ctx context.Context, call application.Caller, claims op.Claims, role, session string, user *account) (string, error) {
	if role == "" || (role == RoleAdmin) == (user.Role == RoleAdmin) {
		return session, nil
	}
	var err error
	if role != RoleAdmin {
		var others bool
		if others, err = a.otherAdmins(ctx, call, session, user); err == nil && !others {
			err = errLastAdmin
		}
	}
	_ = a.SignOut(ctx, call, session)
	if err != nil {
		return "", err
	}
	claims.Roles = []string{role}
	session, again, err := a.walk(ctx, call, claims)
	switch {
	case err != nil:
		return "", err
	case again.ID != user.ID:
		err = errLinkTaken
	case (role == RoleAdmin) != (again.Role == RoleAdmin):
		err = errRolesIgnored
	default:
		return session, nil
	}
	_ = a.SignOut(ctx, call, session)
	return "", err
}

// walk walks RomM's sign-in once and asks who came out of it.
func (a *App) walk(ctx context.Context, call application.Caller, claims op.Claims) (string, *account, error) {
	start, session, err := a.startSignIn(ctx, call)
	if err == nil {
		err = a.keepsRoles(start)
	}
	if err == nil {
		session, err = a.redeem(ctx, call, claims, start, session)
	}
	var user *account
	if err == nil {
		user, err = a.whoIs(ctx, call, session)
	}
	if err != nil {
		_ = a.SignOut(ctx, call, session) // what it began would stay in RomM for 14 days
		return "", nil, err
	}
	return session, user, nil
}

// keepsRoles refuses to go on where RomM would take away an administrator's
// role: from 4.3.1 until 4.8 it does so at every sign-in whose claims name
// none, if it reads roles at all, which it tells by a scope of that name.
func (a *App) keepsRoles(start url.Values) error {
	beat := a.config.Known.heartbeat.Load()
	if beat == nil || len(strings.Fields(start.Get("scope"))) <= len(strings.Fields(rommScope)) {
		return nil
	}
	if v, ok := parseVersion(beat.System.Version); ok && v.before(4, 8, 0) && !v.before(4, 3, 1) {
		return errRolesVersion.Because(errors.New("RomM says that it is " + beat.System.Version + " and asks for the scopes " + start.Get("scope")))
	}
	return nil
}

// rommScope is what RomM asks for if it reads no roles.
const rommScope = "openid profile email"

// redeem brings RomM a code for claims and returns the session that it becomes.
func (a *App) redeem(ctx context.Context, call application.Caller, claims op.Claims, start url.Values, session string) (string, error) {
	code, err := a.config.Provider.Code(ctx, claims, start.Get("nonce"))
	switch {
	case errors.Is(err, op.ErrClaimsTooLarge):
		return session, errClaimsTooLarge.Because(err)
	case err != nil:
		return session, storageProblem(err)
	}
	return a.finishSignIn(ctx, call, session, code, start.Get("state"))
}

// startSignIn has RomM start a sign-in, without cookies: two in one session
// of RomM's would spoil each other. It returns RomM's authorization request,
// and its session, if any, with an error too.
func (a *App) startSignIn(ctx context.Context, call application.Caller) (url.Values, string, error) {
	const what = "GET /api/login/openid"
	answer, err := call(ctx, application.Call{Method: http.MethodGet, Target: "/api/login/openid"})
	if err != nil {
		return nil, "", errUnreachable.Because(err)
	}
	session := sessionOf(answer)
	location, err := url.Parse(answer.Header.Get("Location"))
	switch {
	case answer.Status == http.StatusInternalServerError && strings.Contains(string(answer.Body), "OAuth disabled"):
		return nil, session, errDisabled.Because(seen(what, answer))
	case answer.Status == http.StatusInternalServerError:
		return nil, session, errNoMetadata.Because(seen(what, answer))
	case err != nil || answer.Status/100 != 3 || session == "":
		return nil, session, unexpected(what, answer)
	}
	query := location.Query()
	switch {
	case !strings.HasSuffix(location.Path, request.Base+op.AuthorizationPath),
		query.Get("client_id") != a.config.ClientID, query.Get("redirect_uri") != a.config.RedirectURI:
		return nil, session, errElsewhere.Because(seen(what, answer))
	case query.Get("state") == "" || query.Get("nonce") == "":
		return nil, session, unexpected(what, answer)
	}
	return query, session, nil
}

// finishSignIn brings RomM its code and returns the session that it answers with.
func (a *App) finishSignIn(ctx context.Context, call application.Caller, session, code, state string) (string, error) {
	const what = "GET /api/oauth/openid"
	answer, err := call(ctx, application.Call{
		Method: http.MethodGet,
		Target: request.Base + "?" + url.Values{"code": {code}, "state": {state}}.Encode(),
		Cookie: sessionCookie + "=" + session,
	})
	if err != nil {
		return session, errUnreachable.Because(err)
	}
	if answer.Status/100 == 3 && answer.Header.Get("Location") == "/" {
		if fresh := sessionOf(answer); fresh != "" {
			return fresh, nil
		}
		return session, unexpected(what, answer)
	}
	return session, a.refusal(what, answer, code)
}

// refusal tells from RomM's answer, and from what RomM asked our token
// endpoint before, why it refused.
func (a *App) refusal(what string, answer *application.Answer, code string) error {
	cause := seen(what, answer)
	body := string(answer.Body)
	switch answer.Status {
	case http.StatusUnauthorized:
		if strings.Contains(body, "Disabled user") {
			return errAccountDisabled.Because(cause)
		}
	case http.StatusForbidden:
		switch {
		case strings.Contains(body, "registration"):
			return errRegistration.Because(cause)
		case strings.Contains(body, "role"):
			return errRolesIgnored.Because(cause)
		}
	case http.StatusBadRequest:
		return errRefused.Because(cause)
	case http.StatusInternalServerError:
		switch requested, reason := a.config.Provider.Outcome(code); {
		case reason != "":
			return errSecret.Because(errors.Join(cause, errors.New("our token endpoint refused RomM: "+reason)))
		case !requested:
			return errNoMetadata.Because(cause)
		default:
			return errRefused.Because(cause)
		}
	}
	return unexpected(what, answer)
}

// changed says account_changed where RomM refuses a user whom it knew: the
// account was renamed or given another address in RomM.
func changed(link *Link, err error) error {
	problem, ok := errors.AsType[*problem.Problem](err)
	if link != nil && ok && (problem.Code == errRefused.Code || problem.Code == errRegistration.Code) {
		return errAccountChanged.Because(err)
	}
	return err
}

// storageProblem is err, or, if it is no Problem yet, that storage is away.
func storageProblem(err error) error {
	if _, ok := errors.AsType[*problem.Problem](err); ok {
		return err
	}
	return problem.StorageProblem(err)
}
