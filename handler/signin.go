package handler

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/romm-oidc/caddy-romm-oidc/flow"
	"github.com/romm-oidc/caddy-romm-oidc/flow/session"
)

// responseLimit bounds the query of an authorization response, in bytes.
const responseLimit = 8 << 10

// redemptionAge is how long a spent state is remembered: as long as its cookie lives.
const redemptionAge = flow.LoginLifetime

// redemptionTimeout bounds what happens between an authorization response and
// the session: token request, userinfo, the application's own sign-in.
const redemptionTimeout = 90 * time.Second

// startLogin sends the browser to the provider, to come back to returnTo.
func (g *Gate) startLogin(w http.ResponseWriter, r *http.Request, chain Chain, returnTo string, restarted bool) error {
	returnTo = g.localTarget(returnTo)
	fail := func(err error) error {
		problem := *problemOf(err)
		problem.returnTo = returnTo
		return g.fail(w, r, chain, kindNavigation, &problem)
	}
	login, location, err := g.RelyingParty.Begin(r.Context(), returnTo, restarted)
	if err != nil {
		return fail(err)
	}
	name, value, err := g.RelyingParty.LoginCookie(r.Context(), g.cookies.prefix, login)
	if err != nil {
		return fail(errStorageUnavailable.Because(err))
	}
	underWay := flow.LoginCookies(g.cookies.prefix, r.Cookies())
	for len(underWay) >= flow.MaxLogins {
		http.SetCookie(w, g.cookies.unset(underWay[0]))
		underWay = underWay[1:]
	}
	http.SetCookie(w, g.cookies.set(name, value, login.Expires.Sub(g.now())))
	if cookieValue(r, g.cookies.signedOut) != "" {
		http.SetCookie(w, g.cookies.unset(g.cookies.signedOut))
	}
	g.Logger.Debug("sign-in started", zap.String("client_ip", chain.ClientIP()), zap.Bool("restarted", restarted))
	redirect(w, http.StatusFound, location)
	return nil
}

// callback answers the authorization response (OpenID Connect Core 1.0 section
// 3.1.2.5). Whatever is late, spent, bookmarked or foreign ends at home for
// who is signed in, else in one new sign-in, else on a page.
func (g *Gate) callback(w http.ResponseWriter, r *http.Request, chain Chain) error {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil || len(r.URL.RawQuery) > responseLimit {
		return g.fail(w, r, chain, kindNavigation, errResponseInvalid.Because(err))
	}
	state := query.Get("state")
	login, cookie, err := g.RelyingParty.FindLogin(r.Context(), g.cookies.prefix, r.Cookies(), state)
	switch {
	case errors.Is(err, flow.ErrLoginUnknown) || errors.Is(err, flow.ErrLoginExpired):
		return g.strayCallback(w, r, chain, state, err)
	case err != nil:
		return g.fail(w, r, chain, kindNavigation, errStorageUnavailable.Because(err))
	}
	code, err := g.RelyingParty.CheckResponse(r.Context(), login, query)
	if err != nil {
		return g.signInFailed(w, r, chain, cookie, login.ReturnTo, err)
	}
	result, err := g.State.spent.redeem(r.Context(), state, g.now(), func() outcome {
		return g.signIn(r, chain, login, code)
	})
	if err != nil {
		return err //nolint:wrapcheck // the visitor has gone; the server's own handling is right
	}
	if result.err != nil {
		return g.signInFailed(w, r, chain, cookie, login.ReturnTo, result.err)
	}
	http.SetCookie(w, g.cookies.unset(cookie))
	http.SetCookie(w, g.cookies.set(g.cookies.ticket, result.ticket, g.Lifetime))
	g.dropBrowserCookies(w)
	redirect(w, http.StatusSeeOther, g.localTarget(result.returnTo))
	return nil
}

// strayCallback answers a callback whose sign-in this browser knows nothing of.
func (g *Gate) strayCallback(w http.ResponseWriter, r *http.Request, chain Chain, state string, cause error) error {
	s, err := g.session(r)
	switch {
	case err != nil:
		return g.fail(w, r, chain, kindNavigation, errStorageUnavailable.Because(err))
	case s != nil:
		redirect(w, http.StatusSeeOther, "/")
		return nil
	case errors.Is(cause, flow.ErrLoginExpired):
		return g.fail(w, r, chain, kindNavigation, cause)
	case strings.HasPrefix(state, "r."):
		// A second try, and its cookie is missing as well.
		return g.fail(w, r, chain, kindNavigation, errCookiesMissing.Because(cause))
	}
	return g.startLogin(w, r, chain, "/", true)
}

// signInFailed ends a sign-in on a page whose way forward leads to returnTo.
func (g *Gate) signInFailed(w http.ResponseWriter, r *http.Request, chain Chain, cookie, returnTo string, err error) error {
	problem := *problemOf(err)
	problem.returnTo = returnTo
	http.SetCookie(w, g.cookies.unset(cookie))
	g.Observe("signed_in", problem.Code)
	return g.fail(w, r, chain, kindNavigation, &problem)
}

// signIn turns a code into a session: tokens, claims, policy, the
// application's own sign-in, and only then the session.
func (g *Gate) signIn(r *http.Request, chain Chain, login *flow.Login, code string) outcome {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), redemptionTimeout)
	defer cancel()
	result, err := g.RelyingParty.Exchange(ctx, login, code)
	if err != nil {
		return outcome{err: err}
	}
	identity := &result.Identity
	if !g.Policy.Permits(identity) {
		return outcome{err: errNotAllowed.Because(Unfit(identity))}
	}
	application, err := g.Application.SignIn(ctx, callerFor(chain, r, g.Origin), *identity)
	if err != nil {
		return outcome{err: err}
	}
	if old, _ := g.session(r); old != nil {
		g.end(r, chain, old, "signed_in_again") // a sign-in never goes on with an old session (CVE-2026-34454)
	}
	ticket, s, err := g.State.Sessions.Create(ctx, session.Record{
		Identity: *identity, Tokens: result.Tokens, Application: application, Created: g.now(),
	})
	if err != nil {
		return outcome{err: errStorageUnavailable.Because(err)}
	}
	v := visitOf(s)
	v.confirm(g.now())
	v.checkAt.Store(g.now().Add(g.Recheck).UnixNano())
	chain.Identify(identity)
	g.Logger.Info("signed in", zap.String("user", identity.Username), zap.Stringer("session", s.ID()),
		zap.String("client_ip", chain.ClientIP()))
	g.Observe("signed_in", "ok")
	return outcome{ticket: ticket.String(), returnTo: login.ReturnTo}
}
