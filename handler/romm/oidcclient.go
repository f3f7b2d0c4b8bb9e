// RomM's own OpenID Connect client, driven through a sign-in step by step.

package romm

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"go.uber.org/zap"

	"github.com/romm-oidc/caddy-romm-oidc/flow/op"
	"github.com/romm-oidc/caddy-romm-oidc/flow/span"
	"github.com/romm-oidc/caddy-romm-oidc/handler/application"
	"github.com/romm-oidc/caddy-romm-oidc/handler/request"
)

// oidcClient drives RomM's sign-in in place of a browser: it starts the
// sign-in, issues the code that RomM's authorization request asks for, and
// brings RomM that code.
type oidcClient struct {
	*App
	call application.Caller
}

// signedIn is a session of RomM, and the account that it belongs to.
type signedIn struct {
	session string
	user    *account
}

// signIn runs RomM's sign-in once, as the user that claims describe.
func (c oidcClient) signIn(ctx context.Context, claims op.Claims) (signedIn, error) {
	start, session, err := c.start(ctx)
	if err == nil {
		err = c.keepsRoles(start)
	}
	if err == nil {
		session, err = c.redeem(ctx, claims, start, session)
	}
	var user *account
	if err == nil {
		user, err = c.whoIs(ctx, c.call, session)
	}
	if err != nil {
		_ = c.SignOut(ctx, c.call, session) // else RomM would keep the session for 14 days
		return signedIn{}, err
	}
	return signedIn{session, user}, nil
}

// acceptsTokens reports whether RomM accepts what the gate signs. RomM answers 500
// to a token that it rejects, as it does if it cannot create an account. So it gets
// a token that it has to refuse for what it says.
func (c oidcClient) acceptsTokens(ctx context.Context, claims op.Claims) bool {
	claims.Unverified, claims.Roles = true, nil
	at, err := c.signIn(ctx, claims)
	if err == nil { // a release that does not look at it
		_ = c.SignOut(ctx, c.call, at.session)
	}
	return err == nil || answeredWith(err, http.StatusBadRequest)
}

// inRole returns a session of at.user with role, at.session if nothing has to
// change. RomM gets a role only if that changes whether the user is an
// administrator, so that roles that RomM's administrator gave are kept. RomM
// would demote its last administrator; inRole returns errLastAdmin instead.
func (c oidcClient) inRole(ctx context.Context, claims op.Claims, role string, at signedIn) (string, error) {
	if role == "" || (role == RoleAdmin) == (at.user.Role == RoleAdmin) {
		return at.session, nil
	}
	var err error
	if role != RoleAdmin {
		var others bool
		if others, err = c.otherAdmins(ctx, c.call, at.session, at.user); err == nil && !others {
			err = errLastAdmin
		}
	}
	_ = c.SignOut(ctx, c.call, at.session)
	if err != nil {
		return "", err
	}
	claims.Roles = []string{role}
	again, err := c.signIn(ctx, claims)
	switch {
	case err != nil:
		return "", err
	case again.user.key() != at.user.key():
		err = errLinkTaken.Because(fmt.Errorf("RomM signed in to the account %q, and for the role to the account %q", at.user.Username, again.user.Username))
		if role == RoleAdmin {
			c.demote(ctx, claims, again)
		}
	case (role == RoleAdmin) != (again.user.Role == RoleAdmin):
		err = errRolesIgnored
	default:
		return again.session, nil
	}
	_ = c.SignOut(ctx, c.call, again.session)
	return "", err
}

// demote takes the role back that at.user got in another account's place, because
// the two had swapped their addresses between the walks.
func (c oidcClient) demote(ctx context.Context, claims op.Claims, at signedIn) {
	link, err := c.config.Links.ofUser(ctx, at.user)
	if err == nil && link != nil && link.Role == RoleAdmin {
		return // it was one before
	}
	for range demotions {
		var user *account
		if user, err = c.whoIs(ctx, c.call, at.session); err != nil {
			break
		}
		if err = c.demoteOnce(ctx, claims, signedIn{at.session, user}); err == nil {
			return
		}
	}
	c.config.Logger.Error("RomM account was made an administrator's by mistake and this could not be undone: change its role in RomM",
		zap.String("romm_user", at.user.Username), zap.Int("romm_id", at.user.ID), zap.Error(err))
}

// demotions is how often demote tries: the address may change again between two tries.
const demotions = 3

// demoteOnce signs in as at.user once more, without the role.
func (c oidcClient) demoteOnce(ctx context.Context, claims op.Claims, at signedIn) error {
	others, err := c.otherAdmins(ctx, c.call, at.session, at.user)
	if err != nil {
		return err
	}
	if !others {
		return errLastAdmin
	}
	claims.Username, claims.Email, claims.Roles = at.user.Username, at.user.Email, []string{RoleUser}
	again, err := c.signIn(ctx, claims)
	if err != nil {
		return err
	}
	_ = c.SignOut(ctx, c.call, again.session)
	if again.user.key() != at.user.key() || again.user.Role == RoleAdmin {
		return errRolesIgnored
	}
	return nil
}

// keepsRoles returns errRolesVersion if RomM would take the role of an
// administrator away. From 4.3.1 until 4.8 it does so at every sign-in without
// roles in the claims, provided that it reads roles, which shows in a scope for
// them.
func (a *App) keepsRoles(start url.Values) error {
	beat := a.config.Release.heartbeat.Load()
	if beat == nil || len(strings.Fields(start.Get("scope"))) <= len(strings.Fields(rommScope)) {
		return nil
	}
	if v := beat.release; v.known() && v.before(v48) && !v.before(v431) {
		return errRolesVersion.Because(errors.New("RomM reports version " + beat.System.Version + " and asks for the scopes " + start.Get("scope")))
	}
	return nil
}

// rommScope is the scope that RomM asks for if it does not read roles.
const rommScope = "openid profile email"

// start has RomM start a sign-in. It sends no cookies, because two sign-ins in
// one session of RomM's would spoil each other. It returns RomM's authorization
// request, and RomM's session even with an error, if it has set one.
func (c oidcClient) start(ctx context.Context) (url.Values, string, error) {
	const what = "GET /api/login/openid"
	ctx, end := span.Start(ctx, spanStart)
	answer, err := c.call(ctx, application.Call{Method: http.MethodGet, Target: "/api/login/openid"})
	end(err)
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
		query.Get("client_id") != c.config.ClientID, query.Get("redirect_uri") != c.config.RedirectURI:
		return nil, session, errElsewhere.Because(seen(what, answer))
	case query.Get("state") == "" || query.Get("nonce") == "":
		return nil, session, unexpected(what, answer)
	}
	return query, session, nil
}

// redeem issues a code for claims, brings it to RomM, and returns the session
// that RomM has then, which may be another one than before.
func (c oidcClient) redeem(ctx context.Context, claims op.Claims, start url.Values, session string) (string, error) {
	code, err := c.config.Provider.Code(ctx, claims, start.Get("nonce"))
	switch {
	case errors.Is(err, op.ErrClaimsTooLarge):
		return session, errClaimsTooLarge.Because(err)
	case err != nil:
		return session, storageProblem(err)
	}
	const what = "GET /api/oauth/openid"
	ctx, end := span.Start(ctx, spanRedeem)
	answer, err := c.call(ctx, application.Call{
		Method: http.MethodGet,
		Target: request.Base + "?" + url.Values{"code": {code}, "state": {start.Get("state")}}.Encode(),
		Cookie: sessionCookie + "=" + session,
	})
	end(err)
	if err != nil {
		return session, errUnreachable.Because(err)
	}
	if answer.Status/100 == 3 && answer.Header.Get("Location") == "/" {
		if fresh := sessionOf(answer); fresh != "" {
			return fresh, nil
		}
		return session, unexpected(what, answer)
	}
	return session, c.refusal(what, answer, code)
}

// refusal returns the reason why RomM refused code, from its response and from
// its request at the token endpoint.
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
	case http.StatusConflict: // after 5.2: another account has the user name
		return errRefused.Because(cause)
	case http.StatusBadRequest:
		return a.orClock(answer, errRefused.Because(cause))
	case http.StatusInternalServerError:
		switch requested, reason := a.config.Provider.Outcome(code); {
		case reason != "":
			return errSecret.Because(errors.Join(cause, errors.New("the token endpoint refused RomM: "+reason)))
		case !requested:
			return errNoMetadata.Because(cause)
		default:
			return a.orClock(answer, errRefused.Because(cause))
		}
	}
	return unexpected(what, answer)
}
