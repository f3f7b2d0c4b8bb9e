// The session that the application itself keeps for a session of the gate:
// confirmed, and made anew when it is not the user's any more.

package handler

import (
	"context"
	"errors"
	"net/http"
	"time"

	"go.uber.org/zap"

	"github.com/romm-oidc/caddy-romm-oidc/flow"
	"github.com/romm-oidc/caddy-romm-oidc/flow/session"
	"github.com/romm-oidc/caddy-romm-oidc/handler/application"
	"github.com/romm-oidc/caddy-romm-oidc/handler/event"
	"github.com/romm-oidc/caddy-romm-oidc/handler/problem"
)

const (
	// refusedFor is how long the application's refusal of a user holds.
	refusedFor = 10 * time.Second
	// brokenFor is how long the failure of a sign-in to the application holds:
	// long enough for the requests of one page.
	brokenFor = time.Second
	// brokeredMost is how often a session is signed in to the application in
	// brokeredWindow, if the application forgets it every time.
	brokeredMost   = 10
	brokeredWindow = 10 * time.Second
)

// brokering is what came of the attempts to sign a session in to the application
// again.
type brokering struct {
	at    time.Time // of the last attempt
	err   error     // of the last attempt
	since time.Time // when the window began
	n     int       // attempts since then
}

// errForgets is the error when the application keeps none of its sessions.
var errForgets = errors.New("the application forgets its sessions again and again")

// holds returns the outcome of the last attempt if there may be no other yet.
func (b *brokering) holds(now time.Time) (err error, ok bool) {
	if b == nil {
		return nil, false
	}
	since := now.Sub(b.at)
	refusal, refused := errors.AsType[*problem.Problem](b.err)
	refused = refused && refusal.Status < http.StatusInternalServerError
	switch {
	case b.err != nil && refused && since < refusedFor, b.err != nil && !refused && since < brokenFor:
		return b.err, true
	case b.n >= brokeredMost && now.Sub(b.since) < brokeredWindow:
		return errForgets, true
	}
	return nil, false
}

// next returns b with another attempt at that time.
func (b *brokering) next(now time.Time, err error) *brokering {
	if b == nil || now.Sub(b.since) >= brokeredWindow {
		return &brokering{at: now, err: err, since: now, n: 1}
	}
	return &brokering{at: now, err: err, since: b.since, n: b.n + 1}
}

// ensureConfirmed makes sure that the application's session is alive and belongs
// to the user's account, in the user's role, unless that is known. It signs the
// user in again if not.
func (h *Handler) ensureConfirmed(in *incoming) error {
	v, record := in.runtime, in.session.Record()
	if v.viewOf(h, record, in.session.ID()).verdict.role {
		return h.rebroker(in, record.Upstream.ID)
	}
	if h.confirmedAt(v, in.now()) && (v.role.Load() != 0 || !in.socket()) { // a socket keeps the role
		return nil
	}
	mine, alive, err := h.confirm(in)
	if err == nil && alive && !mine && !h.confirmed(v) {
		// The accounts changed after the other request asked. A confirmation that
		// starts now starts after this request came.
		_, alive, err = h.confirm(in)
	}
	if err == nil && !alive {
		return h.rebroker(in, record.Upstream.ID)
	}
	return err
}

// confirm asks the application about the session, once for all requests that
// wait for the answer. mine is false if another request asked, maybe before
// this one came.
func (h *Handler) confirm(in *incoming) (mine, alive bool, err error) {
	mine, alive, err = h.confirmSession(in.shared(), in.Caller(), in.session)
	if err != nil {
		if mine {
			h.applicationFailed() // no other session may rely on an older confirmation
		}
		h.config.Logger.Debug("application's session could not be confirmed", zap.Error(err))
		return mine, false, problem.ApplicationAway.Because(err)
	}
	return mine, alive, nil
}

// confirmSession is confirm without a request.
func (h *Handler) confirmSession(ctx context.Context, call application.Caller, s *session.Session) (mine, alive bool, err error) {
	result, err, _ := h.config.Gate.calls.Do("confirm "+s.ID().String(), func() (any, error) {
		mine = true
		asked, record, v := h.nowAsked(), s.Record(), runtimeOf(s)
		alive, role, err := h.config.Application.Confirm(ctx, call, application.Session(record.Upstream))
		if err == nil && alive {
			h.config.Gate.accounts.know(record)
			v.confirmation.Store(asked)
			h.noteRole(s, role)
		}
		return alive, err
	})
	alive, _ = result.(bool)
	return mine, alive, err
}

// rebroker signs the session in to the application again, in place of former,
// the application's session so far, once for all requests that need it. It signs
// former out: it may be alive, and may now be another account's.
func (h *Handler) rebroker(in *incoming, former string) error {
	s, v := in.session, in.runtime
	ctx, call := in.shared(), in.Caller()
	_, err, _ := h.config.Gate.calls.Do("broker "+s.ID().String(), func() (any, error) {
		if s.Record().Upstream.ID != former {
			return nil, nil // another request was faster
		}
		last := v.brokered.Load()
		if err, ok := last.holds(h.now()); ok {
			return nil, err
		}
		ctx, cancel := context.WithTimeout(ctx, signInTimeout)
		defer cancel()
		identity := s.Record().Identity
		err := h.signInAgain(ctx, s, resignIn{call: call, identity: &identity})
		if known := s.Record().Identity; err == nil && !sameIdentity(&known, &identity) {
			// Another node knew a newer identity than the one just used.
			err = h.signInAgain(ctx, s, resignIn{call: call, identity: &known})
		}
		v.brokered.Store(last.next(h.now(), err))
		if err == nil {
			h.config.Gate.signOutReplaced(v, former, false)
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
// session, or hands it back. It runs in the single flight "broker": of two at
// once, the one with the older identity could come out last.
func (h *Handler) signInAgain(ctx context.Context, s *session.Session, as resignIn) error {
	if s.Ended() && as.change == nil { // what changed outlasts the session: a role may be lost
		return session.ErrEnded
	}
	asked, v, role := h.nowAsked(), runtimeOf(s), s.Record().Upstream.Role
	upstream, err := h.config.Application.SignIn(ctx, as.call, *as.identity)
	if err != nil {
		h.config.Observe(event.BrokeredSignIns, problem.Of(err).Code)
		return err
	}
	h.config.Observe(event.BrokeredSignIns, event.OK)
	h.config.Gate.signedInAs(ctx, asked, as.identity, upstream.Account)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), checkTimeout)
	defer cancel()
	kept := false
	err = h.config.Gate.Sessions.Update(ctx, s, func(record *session.Record) {
		kept = true
		record.Upstream = session.Upstream(upstream)
		if as.change != nil {
			as.change(record)
		}
	})
	if !kept || errors.Is(err, session.ErrEnded) { // nothing would ever sign it out
		h.config.Gate.signOutReplaced(v, upstream.ID, false)
		return err
	}
	v.signedIn(h, asked)
	if upstream.Role != role {
		h.closeSockets(s)
		h.config.Gate.AccountsChanged(ctx) // other sessions of the user have sockets, too
	}
	if err != nil {
		h.config.Logger.Warn("application's new session not persisted, memory has it", zap.Error(err))
	}
	return nil
}
