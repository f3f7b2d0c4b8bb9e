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
	"github.com/romm-oidc/caddy-romm-oidc/handler/application"
	"github.com/romm-oidc/caddy-romm-oidc/handler/limit"
	"github.com/romm-oidc/caddy-romm-oidc/handler/problem"
	"github.com/romm-oidc/caddy-romm-oidc/handler/request"
)

// responseLimit bounds the query of an authorization response, in bytes.
const responseLimit = 8 << 10

// redemptionAge is how long a spent state is remembered: as long as its cookie lives.
const redemptionAge = flow.LoginLifetime

// redemptionTimeout bounds what happens between an authorization response and
// the session: token request, userinfo, the application's own sign-in.
const redemptionTimeout = 90 * time.Second

// startLogin sends the browser to the provider, to come back to ReturnTo.
func (h *Handler) startLogin(w http.ResponseWriter, r *http.Request, chain application.Chain, returnTo string, restarted bool) error {
	returnTo = h.localTarget(returnTo)
	fail := func(err error) error {
		refusal := *problem.Of(err)
		refusal.ReturnTo = returnTo
		return h.refuse(w, r, chain, request.Navigation, &refusal)
	}
	login, location, err := h.config.RelyingParty.Begin(r.Context(), returnTo, restarted)
	if err != nil {
		return fail(err)
	}
	name, value, err := h.config.RelyingParty.LoginCookie(r.Context(), h.cookies.Prefix, login)
	if err != nil {
		return fail(problem.StorageUnavailable.Because(err))
	}
	underWay := flow.LoginCookies(h.cookies.Prefix, r.Cookies())
	for len(underWay) >= flow.MaxLogins {
		http.SetCookie(w, h.cookies.Unset(underWay[0]))
		underWay = underWay[1:]
	}
	http.SetCookie(w, h.cookies.Set(name, value, login.Expires.Sub(h.now())))
	if request.CookieValue(r, h.cookies.SignedOut) != "" {
		http.SetCookie(w, h.cookies.Unset(h.cookies.SignedOut))
	}
	h.config.Logger.Debug("sign-in started", zap.String("client_ip", chain.ClientIP()), zap.Bool("restarted", restarted))
	problem.Redirect(w, http.StatusFound, location)
	return nil
}

// callback answers the authorization response (OpenID Connect Core 1.0 section
// 3.1.2.5). Whatever is late, spent, bookmarked or foreign ends at home for
// who is signed in, else in one new sign-in, else on a page.
func (h *Handler) callback(w http.ResponseWriter, r *http.Request, chain application.Chain) error {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil || len(r.URL.RawQuery) > responseLimit {
		return h.refuse(w, r, chain, request.Navigation, problem.ResponseInvalid.Because(err))
	}
	state := query.Get("state")
	login, cookie, err := h.config.RelyingParty.FindLogin(r.Context(), h.cookies.Prefix, r.Cookies(), state)
	switch {
	case errors.Is(err, flow.ErrLoginUnknown) || errors.Is(err, flow.ErrLoginExpired):
		return h.strayCallback(w, r, chain, state, err)
	case err != nil:
		return h.refuse(w, r, chain, request.Navigation, problem.StorageUnavailable.Because(err))
	}
	code, err := h.config.RelyingParty.CheckResponse(r.Context(), login, query)
	if err != nil {
		return h.signInFailed(w, r, chain, cookie, login.ReturnTo, err)
	}
	result, err := h.config.Gate.redeemed.Do(r.Context(), state, h.now(), func() outcome {
		return h.signIn(r, chain, login, code)
	})
	if err != nil {
		return err //nolint:wrapcheck // the visitor has gone; the server's own handling is right
	}
	if result.err != nil {
		return h.signInFailed(w, r, chain, cookie, login.ReturnTo, result.err)
	}
	http.SetCookie(w, h.cookies.Unset(cookie))
	http.SetCookie(w, h.cookies.Set(h.cookies.Ticket, result.ticket, h.config.Lifetime))
	h.dropBrowserCookies(w)
	problem.Redirect(w, http.StatusSeeOther, h.localTarget(result.returnTo))
	return nil
}

// strayCallback answers a callback whose sign-in this browser knows nothing of.
func (h *Handler) strayCallback(w http.ResponseWriter, r *http.Request, chain application.Chain, state string, cause error) error {
	s, err := h.session(r)
	switch {
	case err != nil:
		return h.refuse(w, r, chain, request.Navigation, problem.StorageUnavailable.Because(err))
	case s != nil:
		problem.Redirect(w, http.StatusSeeOther, "/")
		return nil
	case errors.Is(cause, flow.ErrLoginExpired):
		return h.refuse(w, r, chain, request.Navigation, cause)
	case strings.HasPrefix(state, "r."):
		// A second try, and its cookie is missing as well.
		return h.refuse(w, r, chain, request.Navigation, problem.CookiesMissing.Because(cause))
	}
	return h.startLogin(w, r, chain, "/", true)
}

// signInFailed ends a sign-in on a page whose way forward leads to ReturnTo.
func (h *Handler) signInFailed(w http.ResponseWriter, r *http.Request, chain application.Chain, cookie, returnTo string, err error) error {
	refusal := *problem.Of(err)
	refusal.ReturnTo = returnTo
	http.SetCookie(w, h.cookies.Unset(cookie))
	h.config.Observe("signed_in", refusal.Code)
	if h.keepsSession(r, err) {
		problem.Redirect(w, http.StatusSeeOther, h.localTarget(returnTo))
		return nil
	}
	return h.refuse(w, r, chain, request.Navigation, &refusal)
}

// signIn turns a code into a session: tokens, claims, policy, the
// application's own sign-in, and only then the session.
func (h *Handler) signIn(r *http.Request, chain application.Chain, login *flow.Login, code string) outcome {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), redemptionTimeout)
	defer cancel()
	began := h.now()
	result, err := h.redeemCode(ctx, login, code, chain.ClientIP())
	if err != nil {
		return outcome{err: err}
	}
	identity := &result.Identity
	if !h.config.Policy.Permits(identity) {
		return outcome{err: problem.NotAllowed.Because(problem.NoEntryFits(identity))}
	}
	old, _ := h.session(r)
	renews := old != nil && sameUser(&old.Record().Identity, identity)
	upstream, err := h.signInToApplication(ctx, r, chain, old, identity)
	if err != nil {
		return outcome{err: err}
	}
	ticket, s, err := h.config.Gate.Sessions.Create(ctx, session.Record{
		Identity: *identity, Tokens: result.Tokens, UpstreamSession: upstream, Created: h.now(),
	})
	if err != nil {
		return outcome{err: problem.StorageUnavailable.Because(err)}
	}
	if old != nil && !renews {
		h.end(ctx, old, reasonSignedInAs) // nobody goes on with somebody else's session
	}
	if meant, err := h.config.Gate.Sessions.EndIfRevokedSince(ctx, s, began); meant {
		if err != nil {
			h.config.Logger.Warn("storing the end of a session", zap.Error(err)) // it has ended here, and is tried again
		}
		return outcome{err: problem.SignedOutMeanwhile}
	}
	v := runtimeOf(s)
	v.rememberClient(r)
	v.signedIn(h)
	if renews && upstream == old.Record().UpstreamSession {
		v.confirmedAt.Store(runtimeOf(old).confirmedAt.Load())
	}
	v.checked(h.now(), h.nextCheck(s.Record()))
	if renews {
		v.renewAt.Store(h.now().Add(renewPause).UnixNano())
		h.replace(ctx, old, s)
	}
	chain.Identify(identity)
	h.config.Logger.Info("signed in", zap.String("user", identity.Username), zap.Stringer("session", s.ID()),
		zap.String("client_ip", chain.ClientIP()))
	h.config.Observe("signed_in", "ok")
	return outcome{ticket: ticket.String(), returnTo: login.ReturnTo}
}

// redeemCode redeems code, unless too many of the last ones were none.
func (h *Handler) redeemCode(ctx context.Context, login *flow.Login, code, client string) (result *flow.Result, err error) {
	network := limit.NetworkOf(client)
	if err := h.config.Gate.tokenBudget.Begin(ctx, network, h.now); err != nil {
		return nil, err
	}
	defer func() { h.config.Gate.tokenBudget.End(network, err, h.now()) }()
	return h.config.RelyingParty.Exchange(ctx, login, code) //nolint:wrapcheck // one of flow's own
}

// signInToApplication returns the application's session for identity. A
// sign-in that only proves old again keeps old's: nothing that is under way,
// nor its user, has to notice.
func (h *Handler) signInToApplication(ctx context.Context, r *http.Request, chain application.Chain, old *session.Session, identity *flow.Identity) (string, error) {
	if old != nil {
		record := old.Record()
		if unproven(record) && sameIdentity(&record.Identity, identity) && runtimeOf(old).gate.Load() == h.number {
			return record.UpstreamSession, nil
		}
	}
	return h.config.Application.SignIn(ctx, application.NewCaller(chain, r, h.config.Origin), *identity) //nolint:wrapcheck // the application's own refusal
}

// replace ends old in favour of s, of the same user, in the same browser: a
// sign-in never goes on with an old ticket (CVE-2026-34454).
func (h *Handler) replace(ctx context.Context, old, s *session.Session) {
	underWay := old.HandOver(s)
	h.end(ctx, old, reasonRenewed)
	if former := old.Record().UpstreamSession; former != s.Record().UpstreamSession {
		h.config.Gate.signOutReplaced(runtimeOf(old), former, underWay)
	}
}

// sameUser reports whether two identities are one user's.
func sameUser(a, b *flow.Identity) bool { return a.Issuer == b.Issuer && a.Subject == b.Subject }
