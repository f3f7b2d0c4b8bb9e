// Re-checks: whether the provider still vouches for the user of a session.

package handler

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/romm-oidc/caddy-romm-oidc/flow"
	"github.com/romm-oidc/caddy-romm-oidc/flow/monotonic"
	"github.com/romm-oidc/caddy-romm-oidc/flow/session"
	"github.com/romm-oidc/caddy-romm-oidc/handler/background"
	"github.com/romm-oidc/caddy-romm-oidc/handler/problem"
)

const (
	// checkTimeout bounds one check, with all that follows from it.
	checkTimeout = time.Minute
	// backoffLeast and backoffMost are the pauses after the first failed check
	// and after many, plus up to half at random.
	backoffLeast = 10 * time.Second
	backoffMost  = 5 * time.Minute
)

// check is one question to the provider about one session.
type check struct {
	began time.Time
	done  chan struct{}
}

// recheckIfDue starts a background re-check of the session when one is due,
// once for all its requests: a user who was disabled, or removed from a group,
// is out within the interval. Tokens that are about to expire are refreshed
// first. It takes no time when nothing is due.
func (h *Handler) recheckIfDue(s *session.Session, v *sessionRuntime) {
	now, due := h.now(), v.checkAt.Load()
	if monotonic.Nanoseconds(now) < due || !v.checkAt.CompareAndSwap(due, monotonic.Nanoseconds(now.Add(checkTimeout))) {
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
		h.config.Gate.Background.Done(background.Recheck, errQueueFull)
		v.checkAt.Store(h.afterFailure(v))
	}
}

// checkNow checks s and schedules the next check.
func (h *Handler) checkNow(ctx context.Context, s *session.Session, v *sessionRuntime) {
	if s.Ended() {
		return
	}
	err := h.prove(ctx, s, v)
	h.config.Gate.Background.Done(background.Recheck, err)
	if err != nil {
		v.checkAt.Store(h.afterFailure(v))
		h.config.Logger.Debug("session could not be re-checked, will retry", zap.Stringer("session_id", s.ID()), zap.Error(err))
		return
	}
	v.checked(h.now(), h.nextCheck(s.Record()))
}

// checked notes a successful check, and when the next one is due.
func (v *sessionRuntime) checked(now, next time.Time) {
	v.failed.Store(0)
	v.checkedAt.Store(monotonic.Nanoseconds(now))
	v.checkAt.Store(monotonic.Nanoseconds(next))
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
	if soon := now.Add(backoffLeast); ends.Before(soon) { // tokens may live for seconds only
		ends = soon
	}
	if ends.Before(next) {
		return ends
	}
	return next
}

// afterFailure returns when to try again, by the monotonic clock.
func (h *Handler) afterFailure(v *sessionRuntime) int64 {
	pause := min(backoffLeast<<min(v.failed.Add(1)-1, 10), max(backoffMost, h.config.Recheck))
	return monotonic.Nanoseconds(h.now().Add(pause + flow.Jitter(pause/2)))
}

// prove checks s at the provider, and refreshes its tokens where that takes
// new ones. An error says that the provider could not be asked, which changes nothing.
func (h *Handler) prove(ctx context.Context, s *session.Session, v *sessionRuntime) error {
	record := s.Record()
	if unproven(record) {
		if h.outlived(record) {
			h.end(ctx, s, reasonUnproven)
		}
		return nil
	}
	if record.Tokens.Refresh != "" && !h.now().Before(record.Tokens.Expires.Add(-refreshAhead)) {
		// Until it expires, the access token is good for the check below.
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
		return err
	case !h.config.Policy.Permits(identity):
		h.end(ctx, s, problem.NotAllowed.Code)
	case !sameIdentity(identity, &record.Identity):
		return h.changeIdentity(ctx, s, v, identity)
	}
	return nil
}

// sameIdentity reports whether a and b are the same user with the same claims.
func sameIdentity(a, b *flow.Identity) bool {
	return a.Issuer == b.Issuer && a.Subject == b.Subject && a.Username == b.Username &&
		a.Email == b.Email && a.Name == b.Name && slices.Equal(a.Groups, b.Groups)
}

// changeIdentity signs in to the application with the new claims, since its
// roles may depend on them, and then keeps them. A failure is retried at the next check.
func (h *Handler) changeIdentity(ctx context.Context, s *session.Session, v *sessionRuntime, identity *flow.Identity) error {
	call, ok := h.config.Gate.caller(v)
	if !ok {
		return nil
	}
	former := s.Record().Upstream.Session
	var err error
	for mine := false; !mine; { // a sign-in under way has older claims: it must not come out last
		if ctx.Err() != nil {
			return ctx.Err()
		}
		_, err, _ = h.config.Gate.calls.Do("broker "+s.ID().String(), func() (any, error) {
			mine = true
			return nil, h.signInAgain(ctx, s, resignIn{
				call: call, identity: identity,
				change: func(record *session.Record) { record.Identity = *identity },
			})
		})
	}
	if refusal, ok := errors.AsType[*problem.Problem](err); ok && refusal.Status == http.StatusForbidden {
		h.end(ctx, s, refusal.Code)
		return nil
	}
	if s.Record().Upstream.Session != former {
		h.config.Gate.signOutLate(v, former)
	}
	return err
}
