package handler

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/romm-oidc/caddy-romm-oidc/flow"
	"github.com/romm-oidc/caddy-romm-oidc/flow/session"
	"github.com/romm-oidc/caddy-romm-oidc/handler/problem"
)

const (
	// checkTimeout bounds one check, with all that follows from it.
	checkTimeout = time.Minute
	// backoffLeast and backoffMost are the pauses after the first failed check
	// and after many; up to half is added by chance.
	backoffLeast = 10 * time.Second
	backoffMost  = 5 * time.Minute
)

// check is one question to the provider about one session.
type check struct {
	began time.Time
	done  chan struct{}
}

// recheckIfDue has the provider asked, beside the request and once for all requests
// of s, whether its user is still who they were: somebody who was disabled, or
// taken out of a group, is out within the interval. Tokens that are about to
// expire are refreshed before. It takes no time when nothing is due.
func (h *Handler) recheckIfDue(s *session.Session, v *sessionRuntime) {
	if h.config.Recheck <= 0 {
		return
	}
	now, due := h.now(), v.checkAt.Load()
	if now.UnixNano() < due || !v.checkAt.CompareAndSwap(due, now.Add(checkTimeout).UnixNano()) {
		return
	}
	c := &check{began: now, done: make(chan struct{})}
	v.check.Store(c)
	if !h.config.Gate.checks.add(func(ctx context.Context) {
		defer close(c.done)
		ctx, cancel := context.WithTimeout(ctx, checkTimeout)
		defer cancel()
		h.checkNow(ctx, s, v)
	}) {
		close(c.done)
		v.checkAt.Store(h.afterFailure(v))
	}
}

// checkNow checks s and says when that is due again.
func (h *Handler) checkNow(ctx context.Context, s *session.Session, v *sessionRuntime) {
	if s.Ended() {
		return
	}
	if err := h.prove(ctx, s, v); err != nil {
		v.checkAt.Store(h.afterFailure(v))
		h.config.Logger.Debug("re-checking a session", zap.Stringer("session_id", s.ID()), zap.Error(err))
		return
	}
	v.checked(h.now(), h.nextCheck(s.Record()))
}

// checked notes that the provider was asked, and when it is to be next.
func (v *sessionRuntime) checked(now, next time.Time) {
	v.failed.Store(0)
	v.checkedAt.Store(now.UnixNano())
	v.checkAt.Store(next.UnixNano())
}

// nextCheck returns when a session that was just checked is to be checked again.
func (h *Handler) nextCheck(record *session.Record) time.Time {
	now := h.now()
	if unproven(record) {
		return record.UnprovenSince.Add(h.config.Unproven)
	}
	next, ends := now.Add(h.config.Recheck), record.Tokens.Expires
	if record.Tokens.Refresh != "" {
		ends = ends.Add(-refreshAhead)
	}
	if soon := now.Add(backoffLeast); ends.Before(soon) { // however short a token lives
		ends = soon
	}
	if ends.Before(next) {
		return ends
	}
	return next
}

// afterFailure returns when to try again, in Unix nanoseconds.
func (h *Handler) afterFailure(v *sessionRuntime) int64 {
	pause := min(backoffLeast<<min(v.failed.Add(1)-1, 10), max(backoffMost, h.config.Recheck))
	return h.now().Add(pause + flow.Jitter(pause/2)).UnixNano()
}

// prove has the provider say that s is still its user's, by whatever it takes.
// An error says that it could not be asked: that changes nothing.
func (h *Handler) prove(ctx context.Context, s *session.Session, v *sessionRuntime) error {
	record := s.Record()
	if unproven(record) {
		if h.outlived(record) {
			h.end(ctx, s, reasonUnproven)
		}
		return nil
	}
	if record.Tokens.Refresh != "" && !h.now().Before(record.Tokens.Expires.Add(-refreshAhead)) {
		// What is left of the access token is good for the question below.
		if err := h.refresh(ctx, s, record.Tokens); err != nil && !h.now().Before(record.Tokens.Expires) {
			return err
		}
		record = s.Record()
	}
	err := h.checkIdentity(ctx, s, v, record)
	if !errors.Is(err, flow.ErrTokensEnded) {
		return err
	}
	if record.Tokens.Refresh == "" {
		return h.loseProof(ctx, s, record.Tokens)
	}
	if err := h.refresh(ctx, s, record.Tokens); err != nil {
		return err
	}
	return h.checkIdentity(ctx, s, v, s.Record())
}

// checkIdentity asks userinfo once and does what follows.
func (h *Handler) checkIdentity(ctx context.Context, s *session.Session, v *sessionRuntime, record *session.Record) error {
	if unproven(record) {
		return nil
	}
	if !h.now().Before(record.Tokens.Expires) {
		return flow.ErrTokensEnded
	}
	identity, err := h.config.RelyingParty.Recheck(ctx, record.Tokens, record.Identity)
	switch {
	case errors.Is(err, flow.ErrAccountGone):
		h.end(ctx, s, reasonAccountGone)
	case err != nil:
		return err //nolint:wrapcheck // only logged, where it is known what failed
	case !h.config.Policy.Permits(identity):
		h.end(ctx, s, problem.NotAllowed.Code)
	case !sameIdentity(identity, &record.Identity):
		return h.changeIdentity(ctx, s, v, identity)
	}
	return nil
}

// sameIdentity reports whether a and b are one user, of whom the provider says the same.
func sameIdentity(a, b *flow.Identity) bool {
	return a.Issuer == b.Issuer && a.Subject == b.Subject && a.Username == b.Username &&
		a.Email == b.Email && a.Name == b.Name && slices.Equal(a.Groups, b.Groups)
}

// changeIdentity has the application look at what the provider says now, as
// its roles may hang on it, and then keeps it. What fails is done at the next check.
func (h *Handler) changeIdentity(ctx context.Context, s *session.Session, v *sessionRuntime, identity *flow.Identity) error {
	call, ok := h.config.Gate.caller(v)
	if !ok {
		return nil
	}
	former := s.Record().UpstreamSession
	var err error
	for mine := false; !mine; { // a sign-in that is under way knows less: it must not come out last
		if ctx.Err() != nil {
			return ctx.Err() //nolint:wrapcheck // only logged
		}
		_, err, _ = h.config.Gate.calls.Do("broker "+s.ID().String(), func() (any, error) {
			mine = true
			return nil, h.signInAgain(ctx, call, s, v, identity, func(record *session.Record) { record.Identity = *identity })
		})
	}
	if refusal, ok := errors.AsType[*problem.Problem](err); ok && refusal.Status == http.StatusForbidden {
		h.end(ctx, s, refusal.Code)
		return nil
	}
	if s.Record().UpstreamSession != former {
		h.config.Gate.signOutLate(v, former)
	}
	return err //nolint:wrapcheck // the application's own problem
}
