// What follows from the end of a session, in the application and at the provider.

package handler

import (
	"context"
	"maps"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/romm-oidc/caddy-romm-oidc/flow/session"
	"github.com/romm-oidc/caddy-romm-oidc/handler/background"
	"github.com/romm-oidc/caddy-romm-oidc/handler/event"
	"github.com/romm-oidc/caddy-romm-oidc/handler/problem"
)

// The gate's own reasons for the end of a session. They are in the log and
// the metrics.
const (
	reasonSignedOut   = "signed_out"
	reasonEndedByUser = "ended_by_user" // on the page of their sessions
	reasonBackchannel = "backchannel_logout"
	reasonOperator    = "operator"        // package admin has it
	reasonSignedInAs  = "signed_in_again" // as another user
	reasonRenewed     = "renewed"         // a new session of the same user replaces it
	reasonAccountGone = "account_gone"
	reasonUnproven    = "unproven" // its user did not prove it again in time

	reasonWithdrawn      = "withdrawn"       // the provider refused its tokens before their time
	reasonSubjectChanged = "subject_changed" // refreshed tokens were another user's
	reasonNoRole         = "no_role"         // the application's roles have none for the user
	reasonRecheckFailed  = "recheck_failed"  // the application kept refusing the user's changed claims
	reasonOutdated       = "outdated_claims" // the rules refuse its claims, and let newer ones of its user in
)

// notPersisted is logged if storage does not take the end of a session.
const notPersisted = "session ended on this node but not persisted: it stays valid on other nodes and after a restart, will retry"

const (
	// endTimeout bounds what is done for one ended session.
	endTimeout = 20 * time.Second
	// lateAnswer is how long a response that is under way when its session ends
	// may still use the application's session.
	lateAnswer = 30 * time.Second
)

// sessionEnded follows up on the end of a session, on whatever grounds it
// ended: it signs out of the application and revokes the tokens at the
// provider. Both are best effort, since the session has ended already.
func (g *Gate) sessionEnded(ended *session.Session, reason string, underWay bool) {
	last := g.last.Load()
	if last == nil { // no request was served yet
		return
	}
	record := ended.Record()
	if reason == reasonRenewed {
		return
	}
	if shutsAccount(reason) { // another node may have learnt it, and failed since
		g.shutSoon(&record.Identity, "")
	}
	v := runtimeOf(ended)
	g.afterEnd(func(ctx context.Context) {
		g.signOut(ctx, v, record.Upstream.ID)
		g.revoke(ctx, record)
	})
	if underWay {
		g.signOutLate(v, record.Upstream.ID)
	}
}

// signOutReplaced signs a replaced session of the application out, delayed
// while responses still use it.
func (g *Gate) signOutReplaced(v *sessionRuntime, upstream string, underWay bool) {
	if underWay {
		g.signOutLate(v, upstream)
		return
	}
	g.afterEnd(func(ctx context.Context) { g.signOut(ctx, v, upstream) })
}

// signOutLate signs out of the application once responses that are under way
// are over: with every response the application stores its session again, even
// one that was signed out during the response.
func (g *Gate) signOutLate(v *sessionRuntime, upstream string) {
	time.AfterFunc(lateAnswer, func() { g.signOutReplaced(v, upstream, false) })
}

func (g *Gate) afterEnd(do func(context.Context)) {
	bounded := func(ctx context.Context) {
		ctx, cancel := context.WithTimeout(ctx, endTimeout)
		defer cancel()
		do(ctx)
	}
	if !g.ends.add(bounded) {
		g.Background.Done(background.SignOut, errQueueFull)
		g.logger().Warn("session ended, but neither the application nor the provider was told: too many sessions ended at once")
	}
}

func (g *Gate) signOut(ctx context.Context, v *sessionRuntime, upstream string) {
	call, ok := g.caller(v)
	if !ok || upstream == "" {
		return
	}
	err := g.last.Load().handler.config.Application.SignOut(ctx, call, upstream)
	g.Background.Done(background.SignOut, err)
	if err != nil {
		g.logger().Debug("application's session not signed out, it will expire by itself", zap.Error(err))
	}
}

// revoke revokes the tokens of a session that the provider still accepts.
func (g *Gate) revoke(ctx context.Context, record *session.Record) {
	h := g.last.Load().handler
	if record.Tokens.Access == "" || record.Tokens.Refresh == "" && h.unproven(record) {
		return
	}
	err := h.config.RelyingParty.Revoke(ctx, record.Tokens, record.Identity)
	g.Background.Done(background.Revoke, err)
	if err != nil {
		g.logger().Debug("tokens not revoked, they will expire by themselves", zap.Error(err))
	}
}

// end ends s here and in storage, and whatever else its user has if the reason puts
// them out. sessionEnded follows up in the background.
func (h *Handler) end(ctx context.Context, s *session.Session, reason string) {
	h.config.Gate.putOut(&s.Record().Identity, reason)
	if err := h.config.Gate.Sessions.End(context.WithoutCancel(ctx), s.ID(), reason); err != nil {
		h.config.Logger.Warn(notPersisted, zap.Stringer("session_id", s.ID()), zap.Error(err))
	}
}

// shutsAccount reports whether a session that ended for reason leaves its account
// shut, with its tokens and its password: the provider, or the operator's rules,
// no longer let its user in. All other ends are of one session only.
func shutsAccount(reason string) bool {
	switch reason {
	case reasonAccountGone, reasonWithdrawn, reasonSubjectChanged, reasonRecheckFailed, problem.NotAllowed.Code, reasonNoRole,
		problem.EmailMissing.Code, problem.EmailUnverified.Code, problem.EmailNotASCII.Code, problem.UsernameMissing.Code:
		return true
	}
	return false
}

// reasons are the reasons for ends, and who causes such an end.
var reasons = map[string]event.By{
	reasonSignedOut: event.ByUser, reasonEndedByUser: event.ByUser, reasonSignedInAs: event.ByUser, reasonRenewed: event.ByUser,
	reasonOperator: event.ByOperator, reasonBackchannel: event.ByProvider, reasonAccountGone: event.ByProvider,
	reasonWithdrawn: event.ByProvider, reasonSubjectChanged: event.ByProvider, reasonRecheckFailed: event.ByApplication,
	problem.NotAllowed.Code: event.ByPolicy, reasonNoRole: event.ByPolicy, problem.EmailMissing.Code: event.ByPolicy,
	problem.EmailUnverified.Code: event.ByPolicy, problem.EmailNotASCII.Code: event.ByPolicy, problem.UsernameMissing.Code: event.ByPolicy,
	reasonOutdated: event.ByPolicy,
	reasonUnproven: event.ByTime, session.ReasonIdle: event.ByTime, session.ReasonLifetime: event.ByTime,
	session.ReasonRemoved: event.ByStorage,
}

// EndReasons returns all reasons for which the gate ends sessions.
func EndReasons() []string { return slices.Sorted(maps.Keys(reasons)) }

// label returns reason as the log and the metrics have it, and who causes such an
// end. Reasons that are not ours are "other".
func label(reason string) (string, event.By) {
	if by, ok := reasons[reason]; ok {
		return reason, by
	}
	return "other", ""
}
