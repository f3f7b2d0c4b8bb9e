package handler

import (
	"context"
	"net/http"
	"net/url"

	"go.uber.org/zap"

	"github.com/romm-oidc/caddy-romm-oidc/flow"
	"github.com/romm-oidc/caddy-romm-oidc/flow/session"
)

// serveSession answers a request of somebody who is signed in.
func (g *Gate) serveSession(w http.ResponseWriter, r *http.Request, chain Chain, s *session.Session, p string, plain bool) error {
	v := visitOf(s)
	v.see(r)
	record := s.Record()
	if g.outlived(record) {
		g.end(r.Context(), s, reasonUnproven)
		http.SetCookie(w, g.cookies.unset(g.cookies.ticket))
		return g.serveAnonymous(w, r, chain, p, plain)
	}
	chain.Identify(&record.Identity)
	if !v.permitted(record, &g.Policy) {
		g.end(r.Context(), s, errNotAllowed.Code)
		http.SetCookie(w, g.cookies.unset(g.cookies.ticket))
		return g.fail(w, r, chain, g.kindOf(r, p), errNotAllowed.Because(Unfit(&record.Identity)))
	}
	g.attend(s, v)
	socket := isSocket(r) || g.Application.Socket(p)
	access := g.Application.Access(r, p, plain)
	if misused(r, g.origin, socket, access == Open) {
		return g.fail(w, r, chain, kindScript, errCrossOrigin)
	}
	switch access {
	case SignIn:
		if k := g.kindOf(r, p); k == kindNavigation {
			// The application's page comes here when it was told that nobody
			// is signed in. Sent back unseen, it would come again and again.
			if err := g.ensureConfirmed(r, chain, s, v); err != nil {
				return g.fail(w, r, chain, k, err)
			}
			redirect(w, http.StatusFound, g.localTarget(g.Application.SignInTarget(r, p, g.Origin)))
			return nil
		}
	case SignOut:
		if r.Method == http.MethodPost {
			return g.signOutByScript(w, r, s)
		}
	case Protected, Open, Credential, Bearer, Exchange:
	}
	if answered, err := g.proveByNavigation(w, r, chain, s, p); answered {
		return err
	}
	record = s.Record()
	call := callerFor(chain, r, g.Origin)
	if err := g.Application.Guard(r.Context(), call, r, p, record.Identity, record.Application); err != nil {
		return g.fail(w, r, chain, g.kindOf(r, p), err)
	}
	if socket || !isSafe(r.Method) {
		// What cannot be asked again must not meet a dead session.
		if err := g.ensureConfirmed(r, chain, s, v); err != nil {
			return g.fail(w, r, chain, g.kindOf(r, p), err)
		}
	}
	return g.passStamped(w, r, chain, call, s, p, plain)
}

// passStamped stamps r and passes it on. A request that may be asked again is,
// once, if the application turns out to have forgotten the session.
func (g *Gate) passStamped(w http.ResponseWriter, r *http.Request, chain Chain, call Caller, s *session.Session, p string, plain bool) error {
	v := visitOf(s)
	answer := &answerWriter{ResponseWriter: w, gate: g, visit: v}
	if mayRepeat(r) {
		answer.repeats = answer.before.remember(w, r)
	}
	record := s.Record()
	v.stampOf(record, g.private).put(r, g.private, g.IdentityHeaders)

	if isSocket(r) {
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
	defer func(ctx context.Context) { // the chain panics where the browser goes away
		if !answer.mute {
			g.Application.Answered(ctx, call, r, p, answer.status, record.Application)
		}
	}(r.Context())
	if err := g.serve(chain, answer, r); err != nil || !answer.mute {
		return err
	}

	err := g.rebroker(r, chain, s, v)
	if err != nil && g.Application.Access(r, p, plain) != Open {
		return g.fail(w, r, chain, g.kindOf(r, p), err)
	}
	again := chain.Fresh(w, answer.before.request(r), r)
	if err != nil {
		// What anybody may ask is not refused: the application's page would
		// ask its heartbeat again at once, and never stop.
		strip(again)
		return g.passUnstamped(w, again, chain)
	}
	v.stampOf(s.Record(), g.private).put(again, g.private, g.IdentityHeaders)
	return g.serve(chain, &answerWriter{ResponseWriter: w, gate: g, visit: v}, again)
}

// mayRepeat reports whether r can be asked a second time without anybody
// noticing: a GET or HEAD without body that is no upgrade.
func mayRepeat(r *http.Request) bool {
	return (r.Method == http.MethodGet || r.Method == http.MethodHead) &&
		(r.Body == nil || r.Body == http.NoBody || r.ContentLength == 0) && !isSocket(r)
}

// socketHold ends an upgraded connection by its context; reverse_proxy then
// closes both of its sides.
type socketHold struct{ cancel context.CancelFunc }

// Abort implements session.Holder.
func (h *socketHold) Abort() { h.cancel() }

// ensureConfirmed asks the application whether the session still lives, unless
// that is known, and signs in again if it does not. That the application does
// not answer is for the request itself to find out.
func (g *Gate) ensureConfirmed(r *http.Request, chain Chain, s *session.Session, v *visit) error {
	if v.confirmed(g.now(), g.State.failedAt.Load()) {
		return nil
	}
	ctx, call := r.Context(), callerFor(chain, r, g.Origin)
	alive, err, _ := g.State.calls.Do("confirm "+s.ID().String(), func() (any, error) {
		asked := g.now()
		alive, err := g.Application.Confirm(ctx, call, s.Record().Application)
		if err == nil && alive {
			v.confirm(asked)
		}
		return alive, err //nolint:wrapcheck // only logged, by the line below
	})
	if err != nil {
		g.Logger.Debug("confirming the application's session", zap.Error(err))
		return nil
	}
	if alive == true {
		return nil
	}
	return g.rebroker(r, chain, s, v)
}

// rebroker signs s in to the application again, at most once in ten seconds,
// and once for all who ask at the same time.
func (g *Gate) rebroker(r *http.Request, chain Chain, s *session.Session, v *visit) error {
	ctx, call := r.Context(), callerFor(chain, r, g.Origin)
	_, err, _ := g.State.calls.Do("broker "+s.ID().String(), func() (any, error) {
		if last := v.brokered.Load(); last != nil && g.now().Sub(last.at) < brokerPause {
			return nil, last.err
		}
		identity := s.Record().Identity
		err := g.signInAgain(ctx, call, s, v, &identity, nil)
		if known := s.Record().Identity; err == nil && !sameIdentity(&known, &identity) {
			// Another node knew more, and what is no longer true has just been said.
			err = g.signInAgain(ctx, call, s, v, &known, nil)
		}
		v.brokered.Store(&brokering{at: g.now(), err: err})
		if err == nil {
			g.Logger.Debug("signed in to the upstream again", zap.String("user", identity.Username))
		}
		return nil, err
	})
	return err //nolint:wrapcheck // wrapped above
}

// signInAgain signs s in to the application as identity and keeps its new
// session, and what else change does to the record. It is called in the single
// flight "broker": of two at once the one that knows less could come out last.
func (g *Gate) signInAgain(ctx context.Context, call Caller, s *session.Session, v *visit, identity *flow.Identity, change func(*session.Record)) error {
	upstream, err := g.Application.SignIn(ctx, call, *identity)
	if err != nil {
		g.Observe("brokered", problemOf(err).Code)
		return err //nolint:wrapcheck // the application's own problem
	}
	g.Observe("brokered", "ok")
	v.signedIn(g)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), checkTimeout)
	defer cancel()
	err = g.State.Sessions.Update(ctx, s, func(record *session.Record) {
		record.Application = upstream
		if change != nil {
			change(record)
		}
	})
	if err != nil {
		g.Logger.Warn("storing the application's new session", zap.Error(err)) // memory has it
	}
	return nil
}

// localTarget returns target if it is a path of this site to come back to, else "/".
func (g *Gate) localTarget(target string) string {
	if !flow.LocalPath(target) {
		return "/"
	}
	u, err := url.Parse(target)
	if err != nil || under(u.Path, Base) && target != sessionsPath {
		return "/"
	}
	return target
}
