package handler

import (
	"context"
	"errors"
	"net/http"
	"reflect"
	"time"

	"go.uber.org/zap"

	"github.com/romm-oidc/caddy-romm-oidc/flow"
	"github.com/romm-oidc/caddy-romm-oidc/flow/session"
)

// recheckTimeout bounds one re-check, with all that follows from it.
const recheckTimeout = time.Minute

// recheck asks the provider, beside the request and once for all requests of
// s, whether its user is still who they were: somebody who was disabled, or
// taken out of a group, is out within the interval. It needs an access token
// that still lives; a provider that does not answer changes nothing.
func (g *Gate) recheck(r *http.Request, chain Chain, s *session.Session, v *visit) {
	if g.Recheck <= 0 {
		return
	}
	now, due := g.now(), v.checkAt.Load()
	if now.UnixNano() < due || !v.checkAt.CompareAndSwap(due, now.Add(g.Recheck).UnixNano()) {
		return
	}
	record := s.Record()
	if now.After(record.Tokens.Expires) {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), recheckTimeout)
	visitor := r.Clone(ctx) // the request itself goes on meanwhile
	go func() {
		defer cancel()
		identity, err := g.RelyingParty.Recheck(ctx, record.Tokens, record.Identity)
		switch {
		case errors.Is(err, flow.ErrAccountGone):
			g.end(visitor, chain, s, "account_gone")
		case err != nil:
			g.Logger.Debug("re-checking a session", zap.Error(err))
		case !g.Policy.Permits(identity):
			g.end(visitor, chain, s, errNotAllowed.Code)
		default:
			g.identityChanged(visitor, chain, s, v, identity)
		}
	}()
}

// identityChanged keeps what the provider says now, and has the application
// look at it again: its roles may hang on it.
func (g *Gate) identityChanged(visitor *http.Request, chain Chain, s *session.Session, v *visit, identity *flow.Identity) {
	if reflect.DeepEqual(*identity, s.Record().Identity) {
		return
	}
	err := g.State.Sessions.Update(visitor.Context(), s, func(record *session.Record) { record.Identity = *identity })
	if err != nil {
		g.Logger.Warn("storing a changed identity", zap.Error(err)) // memory has it
	}
	if problem, ok := errors.AsType[*Problem](g.rebroker(visitor, chain, s, v)); ok && problem.Status == http.StatusForbidden {
		g.end(visitor, chain, s, problem.Code)
	}
}
