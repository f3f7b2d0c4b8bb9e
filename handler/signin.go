package handler

import (
	"context"
	"net/http"

	"go.uber.org/zap"

	"github.com/romm-oidc/caddy-romm-oidc/flow"
	"github.com/romm-oidc/caddy-romm-oidc/flow/session"
	"github.com/romm-oidc/caddy-romm-oidc/handler/application"
	"github.com/romm-oidc/caddy-romm-oidc/handler/limit"
	"github.com/romm-oidc/caddy-romm-oidc/handler/problem"
	"github.com/romm-oidc/caddy-romm-oidc/handler/request"
)

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
	h.config.Logger.Info("signed in", zap.String("user", identity.Username), zap.Stringer("session_id", s.ID()),
		zap.String("client_ip", chain.ClientIP()))
	h.config.Observe("signed_in", "ok")
	return outcome{ticket: ticket, returnTo: login.ReturnTo}
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
		if unproven(record) && sameIdentity(&record.Identity, identity) && runtimeOf(old).configuration.Load() == h.number {
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
