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
		refusal := *problemOf(err)
		refusal.returnTo = returnTo
		return g.fail(w, r, chain, kindNavigation, &refusal)
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
	result, err := g.State.spent.do(r.Context(), state, g.now(), func() outcome {
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
	refusal := *problemOf(err)
	refusal.returnTo = returnTo
	http.SetCookie(w, g.cookies.unset(cookie))
	g.Observe("signed_in", refusal.Code)
	if g.goesOn(r, err) {
		redirect(w, http.StatusSeeOther, g.localTarget(returnTo))
		return nil
	}
	return g.fail(w, r, chain, kindNavigation, &refusal)
}

// signIn turns a code into a session: tokens, claims, policy, the
// application's own sign-in, and only then the session.
func (g *Gate) signIn(r *http.Request, chain Chain, login *flow.Login, code string) outcome {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), redemptionTimeout)
	defer cancel()
	began := g.now()
	result, err := g.exchange(ctx, login, code, chain.ClientIP())
	if err != nil {
		return outcome{err: err}
	}
	identity := &result.Identity
	if !g.Policy.Permits(identity) {
		return outcome{err: errNotAllowed.Because(Unfit(identity))}
	}
	old, _ := g.session(r)
	renews := old != nil && sameUser(&old.Record().Identity, identity)
	upstream, err := g.signInToApplication(ctx, r, chain, old, identity)
	if err != nil {
		return outcome{err: err}
	}
	ticket, s, err := g.State.Sessions.Create(ctx, session.Record{
		Identity: *identity, Tokens: result.Tokens, Application: upstream, Created: g.now(),
	})
	if err != nil {
		return outcome{err: errStorageUnavailable.Because(err)}
	}
	if old != nil && !renews {
		g.end(ctx, old, reasonSignedInAs) // nobody goes on with somebody else's session
	}
	if meant, err := g.State.Sessions.EndMeant(ctx, s, began); meant {
		if err != nil {
			g.Logger.Warn("storing the end of a session", zap.Error(err)) // it has ended here, and is tried again
		}
		return outcome{err: errSignedOutMeanwhile}
	}
	v := visitOf(s)
	v.see(r)
	v.signedIn(g)
	if renews && upstream == old.Record().Application {
		v.confirmedAt.Store(visitOf(old).confirmedAt.Load())
	}
	v.checked(g.now(), g.nextCheck(s.Record()))
	if renews {
		v.renewAt.Store(g.now().Add(renewPause).UnixNano())
		g.replace(ctx, old, s)
	}
	chain.Identify(identity)
	g.Logger.Info("signed in", zap.String("user", identity.Username), zap.Stringer("session", s.ID()),
		zap.String("client_ip", chain.ClientIP()))
	g.Observe("signed_in", "ok")
	return outcome{ticket: ticket.String(), returnTo: login.ReturnTo}
}

// exchange redeems code, unless too many of the last ones were none.
func (g *Gate) exchange(ctx context.Context, login *flow.Login, code, client string) (result *flow.Result, err error) {
	network := networkOf(client)
	if err := g.State.exchanges.begin(ctx, network, g.now); err != nil {
		return nil, err
	}
	defer func() { g.State.exchanges.end(network, err, g.now()) }()
	return g.RelyingParty.Exchange(ctx, login, code) //nolint:wrapcheck // one of flow's own
}

// signInToApplication returns the application's session for identity. A
// sign-in that only proves old again keeps old's: nothing that is under way,
// nor its user, has to notice.
func (g *Gate) signInToApplication(ctx context.Context, r *http.Request, chain Chain, old *session.Session, identity *flow.Identity) (string, error) {
	if old != nil {
		record := old.Record()
		if unproven(record) && sameIdentity(&record.Identity, identity) && visitOf(old).gate.Load() == g.number {
			return record.Application, nil
		}
	}
	return g.Application.SignIn(ctx, callerFor(chain, r, g.Origin), *identity) //nolint:wrapcheck // the application's own refusal
}

// replace ends old in favour of s, of the same user, in the same browser: a
// sign-in never goes on with an old ticket (CVE-2026-34454).
func (g *Gate) replace(ctx context.Context, old, s *session.Session) {
	underWay := old.HandOver(s)
	g.end(ctx, old, reasonRenewed)
	if former := old.Record().Application; former != s.Record().Application {
		g.State.forsake(visitOf(old), former, underWay)
	}
}

// sameUser reports whether two identities are one user's.
func sameUser(a, b *flow.Identity) bool { return a.Issuer == b.Issuer && a.Subject == b.Subject }
