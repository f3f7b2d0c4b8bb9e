// The session that the application itself keeps for a session of the gate:
// confirmed, and made anew when the application forgot it.

package handler

import (
	"context"
	"time"

	"go.uber.org/zap"

	"github.com/romm-oidc/caddy-romm-oidc/flow"
	"github.com/romm-oidc/caddy-romm-oidc/flow/session"
	"github.com/romm-oidc/caddy-romm-oidc/handler/application"
	"github.com/romm-oidc/caddy-romm-oidc/handler/problem"
)

// brokerPause is the least time between two brokered sign-ins of one session.
const brokerPause = 10 * time.Second

// brokering is the last attempt to sign a session in to the application again.
type brokering struct {
	at  time.Time
	err error
}

// ensureConfirmed asks the application whether its session still lives, unless
// that is known, and signs in again if it does not. If the application does
// not answer, the request goes on and finds that out.
func (h *Handler) ensureConfirmed(in *incoming) error {
	v := in.runtime
	if v.confirmed(h.now(), h.config.Gate.failedAt.Load()) {
		return nil
	}
	ctx, call := in.r.Context(), in.caller()
	result, err, _ := h.config.Gate.calls.Do("confirm "+in.session.ID().String(), func() (any, error) {
		asked := h.now()
		alive, err := h.config.Application.Confirm(ctx, call, application.Session(in.session.Record().Upstream))
		if err == nil && alive {
			v.confirm(asked)
		}
		return alive, err
	})
	if err != nil {
		h.config.Logger.Debug("application's session could not be confirmed", zap.Error(err))
		return nil
	}
	if alive, _ := result.(bool); alive {
		return nil
	}
	return h.rebroker(in)
}

// rebroker signs the session in to the application again, at most once in ten
// seconds, and once for all requests that need it at the same time.
func (h *Handler) rebroker(in *incoming) error {
	s, v := in.session, in.runtime
	ctx, call := in.r.Context(), in.caller()
	_, err, _ := h.config.Gate.calls.Do("broker "+s.ID().String(), func() (any, error) {
		if last := v.brokered.Load(); last != nil && h.now().Sub(last.at) < brokerPause {
			return nil, last.err
		}
		identity := s.Record().Identity
		err := h.signInAgain(ctx, s, resignIn{call: call, identity: &identity})
		if known := s.Record().Identity; err == nil && !sameIdentity(&known, &identity) {
			// Another node knew a newer identity than the one just used.
			err = h.signInAgain(ctx, s, resignIn{call: call, identity: &known})
		}
		v.brokered.Store(&brokering{at: h.now(), err: err})
		if err == nil {
			h.config.Logger.Debug("signed in to the application again", zap.String("user", identity.Username))
		}
		return nil, err
	})
	return err
}

// resignIn is a new sign-in to the application for a session.
type resignIn struct {
	call     application.Caller
	identity *flow.Identity
	change   func(*session.Record) // of the record, beside the application's session; nil: none
}

// signInAgain signs s in to the application and keeps the application's new
// session. It runs in the single flight "broker": of two at once, the one with
// the older identity could come out last.
func (h *Handler) signInAgain(ctx context.Context, s *session.Session, as resignIn) error {
	upstream, err := h.config.Application.SignIn(ctx, as.call, *as.identity)
	if err != nil {
		h.config.Observe("brokered", problem.Of(err).Code)
		return err
	}
	h.config.Observe("brokered", "ok")
	runtimeOf(s).signedIn(h)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), checkTimeout)
	defer cancel()
	err = h.config.Gate.Sessions.Update(ctx, s, func(record *session.Record) {
		record.Upstream = session.Upstream(upstream)
		if as.change != nil {
			as.change(record)
		}
	})
	if err != nil {
		h.config.Logger.Warn("application's new session not persisted, memory has it", zap.Error(err))
	}
	return nil
}
