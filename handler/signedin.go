package handler

import (
	"context"
	"net/http"
	"net/url"

	"go.uber.org/zap"

	"github.com/romm-oidc/caddy-romm-oidc/flow"
	"github.com/romm-oidc/caddy-romm-oidc/flow/session"
	"github.com/romm-oidc/caddy-romm-oidc/handler/application"
	"github.com/romm-oidc/caddy-romm-oidc/handler/problem"
	"github.com/romm-oidc/caddy-romm-oidc/handler/request"
)

// serveSession answers a request of somebody who is signed in.
func (h *Handler) serveSession(w http.ResponseWriter, r *http.Request, chain application.Chain, s *session.Session, p string, plain bool) error {
	v := runtimeOf(s)
	v.rememberClient(r)
	record := s.Record()
	if h.outlived(record) {
		h.end(r.Context(), s, reasonUnproven)
		http.SetCookie(w, h.cookies.Unset(h.cookies.Ticket))
		return h.serveAnonymous(w, r, chain, p, plain)
	}
	chain.Identify(&record.Identity)
	if !v.permitted(record, &h.config.Policy) {
		h.end(r.Context(), s, problem.NotAllowed.Code)
		http.SetCookie(w, h.cookies.Unset(h.cookies.Ticket))
		return h.refuse(w, r, chain, h.class(r, p), problem.NotAllowed.Because(problem.NoEntryFits(&record.Identity)))
	}
	h.recheckIfDue(s, v)
	socket := request.IsSocket(r) || h.config.Application.Socket(p)
	if request.CrossOrigin(r, h.origin, socket) || request.CrossOriginFrame(r) ||
		request.CrossOriginEmbed(r) && h.config.Application.Access(r, p, plain) != application.Open {
		return h.refuse(w, r, chain, request.Script, problem.CrossOrigin)
	}
	switch h.config.Application.Intent(r, p) {
	case application.SignIn:
		if k := h.class(r, p); k == request.Navigation {
			// The application's page comes here when it was told that nobody
			// is signed in. Sent back unseen, it would come again and again.
			if err := h.ensureConfirmed(r, chain, s, v); err != nil {
				return h.refuse(w, r, chain, k, err)
			}
			problem.Redirect(w, http.StatusFound, h.localTarget(h.config.Application.SignInTarget(r, p, h.config.Origin)))
			return nil
		}
	case application.SignOut:
		if r.Method == http.MethodPost {
			return h.signOutByScript(w, r, s)
		}
	case application.None:
	}
	if answered, err := h.proveByNavigation(w, r, chain, s, p); answered {
		return err
	}
	record = s.Record()
	call := application.NewCaller(chain, r, h.config.Origin)
	forwarded := application.Forwarded{Request: r, Path: p, Caller: call, Session: record.UpstreamSession}
	if err := h.config.Application.Guard(r.Context(), forwarded, record.Identity); err != nil {
		return h.refuse(w, r, chain, h.class(r, p), err)
	}
	if socket || !request.IsSafe(r.Method) {
		// What cannot be asked again must not meet a dead session.
		if err := h.ensureConfirmed(r, chain, s, v); err != nil {
			return h.refuse(w, r, chain, h.class(r, p), err)
		}
	}
	return h.passStamped(w, r, chain, call, s, p, plain)
}

// passStamped stamps r and passes it on. A request that may be asked again is,
// once, if the application turns out to have forgotten the session.
func (h *Handler) passStamped(w http.ResponseWriter, r *http.Request, chain application.Chain, call application.Caller, s *session.Session, p string, plain bool) error {
	v := runtimeOf(s)
	answer := &answerWriter{ResponseWriter: w, handler: h, runtime: v}
	if mayRepeat(r) {
		answer.repeats = answer.before.remember(w, r)
	}
	record := s.Record()
	v.stampOf(record, h.private).put(r, h.private, h.config.IdentityHeaders)

	if request.IsSocket(r) {
		ctx, cancel := context.WithCancel(r.Context())
		defer cancel()
		upgrade := &socketHold{cancel}
		defer s.Hold(upgrade).Release(upgrade)
		r = r.WithContext(ctx)
	} else {
		if r.ProtoMajor >= 3 { // there a deadline ends no request that waits for the application
			var ctx context.Context
			ctx, answer.cancel = context.WithCancel(r.Context())
			defer answer.cancel()
			r = r.WithContext(ctx)
		}
		defer s.Hold(answer).Release(answer)
	}
	forwarded := application.Forwarded{Request: r, Path: p, Caller: call, Session: record.UpstreamSession}
	defer func(ctx context.Context) { // the chain panics where the browser goes away
		if !answer.mute {
			h.config.Application.AfterResponse(ctx, forwarded, answer.status)
		}
	}(r.Context())
	if err := h.serve(chain, answer, r); err != nil || !answer.mute {
		return err
	}

	err := h.rebroker(r, chain, s, v)
	if err != nil && h.config.Application.Access(r, p, plain) != application.Open {
		return h.refuse(w, r, chain, h.class(r, p), err)
	}
	again := chain.Fresh(w, answer.before.request(r), r)
	if err != nil {
		// What anybody may ask is not refused: the application's page would
		// ask its heartbeat again at once, and never stop.
		request.Strip(again)
		return h.passUnstamped(w, again, chain)
	}
	v.stampOf(s.Record(), h.private).put(again, h.private, h.config.IdentityHeaders)
	return h.serve(chain, &answerWriter{ResponseWriter: w, handler: h, runtime: v}, again)
}

// mayRepeat reports whether r can be asked a second time without anybody
// noticing: a GET or HEAD without body that is no upgrade.
func mayRepeat(r *http.Request) bool {
	return (r.Method == http.MethodGet || r.Method == http.MethodHead) &&
		(r.Body == nil || r.Body == http.NoBody || r.ContentLength == 0) && !request.IsSocket(r)
}

// socketHold ends an upgraded connection by its context; reverse_proxy then
// closes both of its sides.
type socketHold struct{ cancel context.CancelFunc }

// Abort implements session.Holder.
func (h *socketHold) Abort() { h.cancel() }

// ensureConfirmed asks the application whether the session still lives, unless
// that is known, and signs in again if it does not. That the application does
// not answer is for the request itself to find out.
func (h *Handler) ensureConfirmed(r *http.Request, chain application.Chain, s *session.Session, v *sessionRuntime) error {
	if v.confirmed(h.now(), h.config.Gate.failedAt.Load()) {
		return nil
	}
	ctx, call := r.Context(), application.NewCaller(chain, r, h.config.Origin)
	alive, err, _ := h.config.Gate.calls.Do("confirm "+s.ID().String(), func() (any, error) {
		asked := h.now()
		alive, err := h.config.Application.Confirm(ctx, call, s.Record().UpstreamSession)
		if err == nil && alive {
			v.confirm(asked)
		}
		return alive, err //nolint:wrapcheck // only logged, by the line below
	})
	if err != nil {
		h.config.Logger.Debug("confirming the application's session", zap.Error(err))
		return nil
	}
	if alive == true {
		return nil
	}
	return h.rebroker(r, chain, s, v)
}

// rebroker signs s in to the application again, at most once in ten seconds,
// and once for all who ask at the same time.
func (h *Handler) rebroker(r *http.Request, chain application.Chain, s *session.Session, v *sessionRuntime) error {
	ctx, call := r.Context(), application.NewCaller(chain, r, h.config.Origin)
	_, err, _ := h.config.Gate.calls.Do("broker "+s.ID().String(), func() (any, error) {
		if last := v.brokered.Load(); last != nil && h.now().Sub(last.at) < brokerPause {
			return nil, last.err
		}
		identity := s.Record().Identity
		err := h.signInAgain(ctx, call, s, v, &identity, nil)
		if known := s.Record().Identity; err == nil && !sameIdentity(&known, &identity) {
			// Another node knew more, and what is no longer true has just been said.
			err = h.signInAgain(ctx, call, s, v, &known, nil)
		}
		v.brokered.Store(&brokering{at: h.now(), err: err})
		if err == nil {
			h.config.Logger.Debug("signed in to the upstream again", zap.String("user", identity.Username))
		}
		return nil, err
	})
	return err //nolint:wrapcheck // wrapped above
}

// signInAgain signs s in to the application as identity and keeps its new
// session, and what else change does to the record. It is called in the single
// flight "broker": of two at once the one that knows less could come out last.
func (h *Handler) signInAgain(ctx context.Context, call application.Caller, s *session.Session, v *sessionRuntime, identity *flow.Identity, change func(*session.Record)) error {
	upstream, err := h.config.Application.SignIn(ctx, call, *identity)
	if err != nil {
		h.config.Observe("brokered", problem.Of(err).Code)
		return err //nolint:wrapcheck // the application's own problem
	}
	h.config.Observe("brokered", "ok")
	v.signedIn(h)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), checkTimeout)
	defer cancel()
	err = h.config.Gate.Sessions.Update(ctx, s, func(record *session.Record) {
		record.UpstreamSession = upstream
		if change != nil {
			change(record)
		}
	})
	if err != nil {
		h.config.Logger.Warn("storing the application's new session", zap.Error(err)) // memory has it
	}
	return nil
}

// localTarget returns target if it is a path of this site to come back to, else "/".
func (h *Handler) localTarget(target string) string {
	if !flow.LocalPath(target) {
		return "/"
	}
	u, err := url.Parse(target)
	if err != nil || request.Under(u.Path, request.Base) && target != sessionsPath {
		return "/"
	}
	return target
}
