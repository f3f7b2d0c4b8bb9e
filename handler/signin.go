// Signing in: from the authorization request to the session.

package handler

import (
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/romm-oidc/caddy-romm-oidc/flow"
	"github.com/romm-oidc/caddy-romm-oidc/flow/monotonic"
	"github.com/romm-oidc/caddy-romm-oidc/flow/session"
	"github.com/romm-oidc/caddy-romm-oidc/flow/span"
	"github.com/romm-oidc/caddy-romm-oidc/handler/application"
	"github.com/romm-oidc/caddy-romm-oidc/handler/limit"
	"github.com/romm-oidc/caddy-romm-oidc/handler/problem"
	"github.com/romm-oidc/caddy-romm-oidc/handler/request"
)

// pushesMost is how many sign-ins a client may begin per minute if each costs the
// provider a request, at Authelia with the derivation of a key: no client needs a
// session to begin one.
const pushesMost = 60

// startLogin sends the browser to the provider, to come back to returnTo.
func (h *Handler) startLogin(in *incoming, returnTo string, restarted bool) error {
	returnTo = h.localTarget(returnTo)
	fail := func(err error) error {
		refusal := *problem.Of(err)
		refusal.ReturnTo = returnTo
		h.followFailure(in, &refusal)
		if name, own := in.own(); own && name == "" { // the callback
			return h.failSignIn(in, &refusal)
		}
		return h.refuseAs(in, request.Navigation, &refusal)
	}
	ctx := in.r.Context()
	if !h.config.RelyingParty.Reachable(ctx) { // the browser would show an error of its own
		_, err := h.config.RelyingParty.Loaded()
		return fail(problem.ProviderUnavailable.Because(err))
	}
	if h.config.RelyingParty.Pushes(ctx) {
		if attempt, wait := h.config.Gate.pushes.Take(limit.AddressOf(in.chain.ClientIP()), rand.Text(), h.now()); attempt == nil {
			return fail(problem.TooManySignIns.After(wait))
		}
	}
	login, location, err := h.config.RelyingParty.Begin(ctx, returnTo, restarted)
	if err != nil {
		return fail(err)
	}
	if h.config.FormPost { // no ticket comes with the response
		if old, _ := in.lookup(); old != nil {
			login.Session = old.ID().String()
		}
	}
	name, value, err := h.config.RelyingParty.LoginCookie(ctx, h.cookies.Prefix, login)
	if err != nil {
		return fail(problem.StorageUnavailable.Because(err))
	}
	in.makeRoom(len(name) + len(value))
	http.SetCookie(in.w, h.loginCookie(name, value, login.Expires.Sub(h.now())))
	if request.CookieValue(in.r, h.cookies.SignedOut) != "" {
		http.SetCookie(in.w, h.cookies.Unset(h.cookies.SignedOut))
	}
	h.followLogin(in, login)
	h.config.Logger.Debug("sign-in started", zap.String("client_ip", in.chain.ClientIP()), zap.Bool("restarted", restarted))
	status := http.StatusFound
	if in.r.Method == http.MethodPost { // a response in a form that fits no login
		status = http.StatusSeeOther
	}
	problem.Redirect(in.w, status, location)
	return nil
}

// loginCookie returns a cookie that has to come with the provider's response.
func (h *Handler) loginCookie(name, value string, maxAge time.Duration) *http.Cookie {
	if h.config.FormPost {
		return h.cookies.SetForForms(name, value, maxAge)
	}
	return h.cookies.Set(name, value, maxAge)
}

// outcome is what came of a sign-in.
type outcome struct {
	ticket   string
	returnTo string
	err      error
	idToken  string // that the provider issued, if err is not nil
}

// signIn turns a code into a session: tokens, claims, policy, the
// application's own sign-in, and only then the session.
func (h *Handler) signIn(in *incoming, login *flow.Login, code string) (result outcome) {
	ctx, cancel := context.WithTimeout(in.acting(context.WithoutCancel(in.r.Context())), signInTimeout)
	defer cancel()
	ctx, end := span.Start(ctx, SpanSignIn)
	defer func() { end(result.err) }()
	began := h.now()
	redeemed, err := h.redeemCode(ctx, login, code, in.chain.ClientIP())
	old, _ := in.lookup()
	if user, ok := errors.AsType[*flow.UserError](err); ok {
		result.idToken = user.IDToken
		h.shutOut(ctx, old, &flow.Identity{Issuer: h.config.RelyingParty.Issuer(), Subject: user.Subject}, problem.Of(err).Code)
	}
	if err != nil {
		return outcome{err: err, idToken: result.idToken}
	}
	defer func() {
		if result.err != nil {
			result.idToken = redeemed.Tokens.ID
		}
	}()
	identity := &redeemed.Identity
	unused := session.Record{Identity: *identity, Tokens: redeemed.Tokens} // what the sign-in obtained and nothing keeps
	defer func() { h.handBack(in, &unused) }()
	renews := old != nil && sameUser(&old.Record().Identity, identity)
	role, refused := h.applyRules(identity)
	h.followClaims(login, redeemed, role)
	if refused != nil {
		h.shutOut(ctx, old, identity, problem.Of(refused).Code)
		return outcome{err: refused}
	}
	ends, err := h.config.Gate.Sessions.UserEnds(ctx, session.UserKey(identity.Issuer, identity.Subject))
	if err != nil {
		return outcome{err: problem.StorageUnavailable.Because(err).About(identity)}
	}
	asked := h.nowAsked()
	upstream, err := h.signInToApplication(ctx, signingIn{in, old, asked}, identity)
	if err != nil {
		return outcome{err: problem.Of(err).About(identity)}
	}
	h.config.Gate.shuts.forget(identity)
	keeps := renews && upstream == old.Record().Upstream
	if !keeps {
		unused.Upstream = upstream
	}
	browser, system := request.BrowserOf(application.BoundedAgent(in.r.UserAgent()))
	ticket, s, err := h.config.Gate.Sessions.Create(ctx, session.Record{
		Identity: *identity, Tokens: redeemed.Tokens, Upstream: upstream, Created: h.now(),
		Client: session.Client{Browser: browser, System: system, Address: in.chain.ClientIP()},
	})
	if err != nil {
		return outcome{err: problem.StorageUnavailable.Because(err).About(identity)}
	}
	unused = session.Record{} // the session has it, and its end will hand it back
	if old != nil && !renews {
		h.end(ctx, old, reasonSignedInAs) // another user's session must not continue
	}
	if revoked, err := h.config.Gate.Sessions.EndIfRevokedSince(ctx, s, began); revoked {
		if err != nil {
			h.config.Logger.Warn(notPersisted, zap.Stringer("session_id", s.ID()), zap.Error(err))
		}
		return outcome{err: problem.SignedOutMeanwhile.About(identity)}
	}
	v := runtimeOf(s)
	v.rememberClient(in.r)
	v.signedIn(h, asked)
	if keeps {
		v.confirmation.Store(runtimeOf(old).confirmation.Load())
	}
	v.proved(redeemed.Tokens)
	v.checked(h.now(), h.nextCheck(s.Record()))
	if renews {
		v.renewAt.Store(monotonic.Nanoseconds(h.now().Add(renewPause)))
		h.replace(ctx, old, s)
	}
	if err := h.config.Application.Open(ctx, *identity); err != nil {
		h.config.Logger.Warn("account's tokens and password may still be refused, until the next sign-in", zap.String("user", identity.Username), zap.Error(err))
	}
	if reason := h.endedMeanwhile(ctx, s, ends); reason != "" {
		h.end(ctx, s, reason) // again: Open may have undone what followed
		return outcome{err: problem.SignedOutMeanwhile.About(identity)}
	}
	in.chain.Identify(placeholders(identity, s.ID()))
	h.signedIn(in, s)
	return outcome{ticket: ticket, returnTo: login.ReturnTo}
}

// endedMeanwhile returns why s, which was just made, ended on this node, or why another
// node ended everything of its user since ends were read; empty if nothing did. A
// logout token may be about another session of the user.
func (h *Handler) endedMeanwhile(ctx context.Context, s *session.Session, ends session.UserEnds) (reason string) {
	if reason = s.EndReason(); reason != "" {
		return reason
	}
	identity := &s.Record().Identity
	now, err := h.config.Gate.Sessions.UserEnds(ctx, session.UserKey(identity.Issuer, identity.Subject))
	if reason = now.Since(ends); err != nil || reason == reasonBackchannel {
		return "" // storage fails: the next re-check finds out
	}
	return reason
}

// shutOut follows up on a sign-in that is refused for what the provider says
// about its user, or by the operator's rules.
func (h *Handler) shutOut(ctx context.Context, old *session.Session, identity *flow.Identity, reason string) {
	if old != nil && shutsAccount(reason) && sameUser(&old.Record().Identity, identity) {
		h.end(ctx, old, reason)
		return
	}
	h.config.Gate.putOut(identity, reason)
}

// redeemCode redeems code at the provider, unless too many recent codes were invalid.
func (h *Handler) redeemCode(ctx context.Context, login *flow.Login, code, clientIP string) (result *flow.Result, err error) {
	end, err := h.config.Gate.tokenBudget.Begin(ctx, limit.SignIn, limit.NetworkOf(clientIP))
	if err != nil {
		return nil, err
	}
	defer func() { end(err) }()
	result, err = h.config.RelyingParty.Exchange(ctx, login, code)
	if err == nil && len(result.Lacking) > 0 {
		h.warnOfScopes(result.Lacking)
	}
	return result, err
}

// warnOfScopes logs, once per gate, which scopes did not come. Without a refresh
// token, sessions become unproven when their access tokens expire.
func (h *Handler) warnOfScopes(lacking []string) {
	if _, known := h.config.Gate.lacking.LoadOrStore(strings.Join(lacking, " "), true); !known {
		h.config.Logger.Warn("sign-ins lack a scope: the provider did not grant all that the `scopes` setting asks for, and for offline_access sent no refresh token. "+
			"Allow the client these scopes at the provider, and the grant type refresh_token for offline_access, or leave them out", zap.Strings("scopes", lacking))
	}
}

// signingIn is a sign-in that the application has to follow.
type signingIn struct {
	*incoming
	old   *session.Session // of the browser; nil: none
	asked *confirmation
}

// signInToApplication returns the application's session for identity. A
// sign-in that only proves old again keeps old's, so that neither the user nor
// anything that is under way notices.
func (h *Handler) signInToApplication(ctx context.Context, in signingIn, identity *flow.Identity) (session.Upstream, error) {
	if in.old != nil {
		record := in.old.Record()
		if h.unproven(record) && sameIdentity(&record.Identity, identity) && runtimeOf(in.old).configuration.Load() == h.number {
			return record.Upstream, nil
		}
	}
	upstream, err := h.config.Application.SignIn(ctx, in.Caller(), *identity)
	if err != nil {
		return session.Upstream{}, err
	}
	h.config.Gate.signedInAs(ctx, in.asked, identity, upstream.Account)
	return session.Upstream(upstream), nil
}

// handBack hands back what a sign-in obtained that did not become a session: the
// application would keep its session for days, and the provider its tokens.
func (h *Handler) handBack(in *incoming, unused *session.Record) {
	if unused.Upstream.ID == "" && unused.Tokens.Access == "" {
		return
	}
	v := new(sessionRuntime)
	v.rememberClient(in.r)
	h.config.Gate.afterEnd(func(ctx context.Context) {
		h.config.Gate.signOut(ctx, v, unused.Upstream.ID)
		h.config.Gate.revoke(ctx, unused)
	})
}

// replace ends old in favour of s, of the same user, in the same browser: a
// sign-in never continues with an old ticket (CVE-2026-34454).
func (h *Handler) replace(ctx context.Context, old, s *session.Session) {
	if old.Record().Upstream.Role != s.Record().Upstream.Role {
		h.closeSockets(old)
		h.config.Gate.AccountsChanged(ctx) // other sessions of the user have sockets, too
	}
	v, before := runtimeOf(s), runtimeOf(old)
	v.role.Store(before.role.Load()) // of the sockets
	v.socketsClosed.Store(before.socketsClosed.Load())
	underWay := old.HandOver(s)
	h.end(ctx, old, reasonRenewed)
	if former := old.Record().Upstream.ID; former != s.Record().Upstream.ID {
		h.config.Gate.signOutReplaced(runtimeOf(old), former, underWay)
	}
}

// sameUser reports whether two identities are one user's.
func sameUser(a, b *flow.Identity) bool { return a.Issuer == b.Issuer && a.Subject == b.Subject }
