package handler

import (
	"context"
	"time"

	"go.uber.org/zap"

	"github.com/romm-oidc/caddy-romm-oidc/flow"
	"github.com/romm-oidc/caddy-romm-oidc/flow/session"
	"github.com/romm-oidc/caddy-romm-oidc/handler/problem"
)

// The gate's own reasons for the end of a session. They are in the log and
// the metrics.
const (
	reasonSignedOut   = "signed_out"
	reasonSignedInAs  = "signed_in_again" // as somebody else
	reasonRenewed     = "renewed"         // a new session of the same user goes on
	reasonAccountGone = "account_gone"
	reasonUnproven    = "unproven" // nobody came to prove it again
)

const (
	// endTimeout bounds what is done for one ended session.
	endTimeout = 20 * time.Second
	// lateAnswer is after what time an answer is no longer waited for that was
	// under way when its session ended.
	lateAnswer = 30 * time.Second
)

// sessionEnded has the application and the provider told of the end of a
// session, whoever ended it. Both is best effort: the session has ended.
func (g *Gate) sessionEnded(ended *session.Session, reason string, underWay bool) {
	last := g.last.Load()
	if last == nil { // nobody was served yet
		return
	}
	record := ended.Record()
	last.handler.config.Logger.Info("session ended", zap.String("user", record.Identity.Username),
		zap.Stringer("session_id", ended.ID()), zap.String("reason", reason))
	last.handler.config.Observe("ended", label(reason))
	if reason == reasonRenewed {
		return
	}
	v := runtimeOf(ended)
	g.afterEnd(func(ctx context.Context) {
		if reason == reasonAccountGone || reason == problem.NotAllowed.Code {
			g.shutAccount(ctx, &record.Identity)
		}
		g.signOut(ctx, v, record.UpstreamSession)
		g.revoke(ctx, record)
	})
	if underWay {
		g.signOutLate(v, record.UpstreamSession)
	}
}

// signOutReplaced signs out of a session of the application that another one took the
// place of: where answers are under way that need it, later.
func (g *Gate) signOutReplaced(v *sessionRuntime, upstream string, underWay bool) {
	if underWay {
		g.signOutLate(v, upstream)
		return
	}
	g.afterEnd(func(ctx context.Context) { g.signOut(ctx, v, upstream) })
}

// signOutLate signs out of the application once the answers are over that were
// under way: RomM writes a session anew with every answer, also one that
// ended meanwhile.
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
		g.logger().Warn("too many sessions end at once: neither the upstream nor the provider is told of this one")
	}
}

func (g *Gate) signOut(ctx context.Context, v *sessionRuntime, upstream string) {
	call, ok := g.caller(v)
	if !ok || upstream == "" {
		return
	}
	if err := g.last.Load().handler.config.Application.SignOut(ctx, call, upstream); err != nil {
		g.logger().Debug("signing out of the application", zap.Error(err))
	}
}

// shutAccount has the application shut what else opens the account of identity.
func (g *Gate) shutAccount(ctx context.Context, identity *flow.Identity) {
	if err := g.last.Load().handler.config.Application.Shut(ctx, *identity); err != nil {
		g.logger().Warn("shutting an account's other credentials", zap.String("user", identity.Username), zap.Error(err))
	}
}

// revoke tells the provider that tokens which it still takes are needed no more.
func (g *Gate) revoke(ctx context.Context, record *session.Record) {
	if record.Tokens.Access == "" || unproven(record) {
		return
	}
	if err := g.last.Load().handler.config.RelyingParty.Revoke(ctx, record.Tokens, record.Identity); err != nil {
		g.logger().Debug("revoking tokens", zap.Error(err))
	}
}

// end ends s here and in storage; what follows from it is done beside.
func (h *Handler) end(ctx context.Context, s *session.Session, reason string) {
	if err := h.config.Gate.Sessions.End(context.WithoutCancel(ctx), s.ID(), reason); err != nil {
		h.config.Logger.Warn("storing the end of a session", zap.Error(err)) // it has ended here, and is tried again
	}
}

// label returns reason as the metrics have it: what others make up is one.
func label(reason string) string {
	switch reason {
	case "operator", "backchannel_logout", "ended_by_user",
		reasonSignedOut, reasonSignedInAs, reasonRenewed, reasonAccountGone, reasonUnproven, problem.NotAllowed.Code,
		session.ReasonIdle, session.ReasonLifetime, session.ReasonElsewhere, session.ReasonRemoved:
		return reason
	}
	return "other"
}
