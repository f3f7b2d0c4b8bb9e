// Re-checks: whether the provider still vouches for the user of a session.

package handler

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/romm-oidc/caddy-romm-oidc/flow"
	"github.com/romm-oidc/caddy-romm-oidc/flow/monotonic"
	"github.com/romm-oidc/caddy-romm-oidc/flow/session"
	"github.com/romm-oidc/caddy-romm-oidc/flow/span"
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
	queued  int64        // when it was queued, by the monotonic clock
	began   atomic.Int64 // when it began; 0: it has not
	awaited atomic.Bool  // requests wait for it
	done    chan struct{}
	dropped atomic.Bool // it did not happen: too many waited
	allowed atomic.Bool // the provider and the rules let the user in
}

// asked is since when the provider could have answered.
func (c *check) asked() int64 { return cmp.Or(c.began.Load(), c.queued) }

func (c *check) isDone() bool {
	select {
	case <-c.done:
		return true
	default:
		return false
	}
}

// recheckIfDue starts a background re-check of the session when one is due,
// once for all its requests: a user who was disabled, or removed from a group,
// is out within the interval. Tokens that are about to expire are refreshed
// first. It takes no time when nothing is due. The check belongs to the trace of
// request.
func (h *Handler) recheckIfDue(request context.Context, s *session.Session, v *sessionRuntime, now time.Time) {
	due := v.checkAt.Load()
	if monotonic.Nanoseconds(now) < due && !h.pausedSinceCheck(v) || !v.checkAt.CompareAndSwap(due, monotonic.Nanoseconds(now.Add(checkTimeout))) {
		return
	}
	c := &check{queued: monotonic.Nanoseconds(now), done: make(chan struct{})}
	v.check.Store(c)
	if !h.config.Gate.checks.add(func(ctx context.Context) {
		defer close(c.done)
		c.began.Store(monotonic.Nanoseconds(h.now()))
		ctx, cancel := context.WithTimeout(span.Continue(ctx, request), checkTimeout)
		defer cancel()
		h.checkNow(ctx, s, v)
	}) {
		c.dropped.Store(true)
		close(c.done)
		h.config.Gate.Background.Done(background.Recheck, errQueueFull)
		v.checkAt.Store(h.afterFailure(v))
	}
}

// pausedSinceCheck reports whether the machine was suspended since the last check
// began. The interval between two checks has then passed on other clocks.
func (h *Handler) pausedSinceCheck(v *sessionRuntime) bool {
	paused := h.config.Paused()
	if paused == 0 || v.checkedAt.Load() >= paused {
		return false
	}
	c := v.check.Load()
	return c == nil || c.queued < paused
}

// checkNow checks s and schedules the next check.
func (h *Handler) checkNow(ctx context.Context, s *session.Session, v *sessionRuntime) {
	if s.Ended() {
		return
	}
	ctx, end := span.Start(ctx, SpanRecheck)
	err := h.prove(ctx, s, v)
	end(err)
	h.config.Gate.Background.Done(background.Recheck, err)
	switch {
	case err == nil:
		v.checked(h.now(), h.nextCheck(s.Record()))
		return
	case errors.Is(err, errNotApplied):
		v.checkAt.Store(h.afterRefusedChange(v))
	default:
		v.checkAt.Store(h.notProven(ctx, s, v, err))
	}
	h.config.Logger.Debug("session could not be re-checked, will retry", zap.Stringer("session_id", s.ID()), zap.Error(err))
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
	next, ends := now.Add(h.config.Recheck), record.Tokens.Expires
	if since := h.unprovenSince(record); !since.IsZero() {
		ends = since.Add(h.config.Unproven)
		if !now.Before(record.Tokens.Expires) { // no token is left to check with
			return ends
		}
	} else if record.Tokens.Refresh != "" {
		ends = record.Tokens.RefreshAt()
	}
	if soon := now.Add(backoffLeast); ends.Before(soon) { // tokens may live for seconds only
		ends = soon
	}
	return earlier(ends, next)
}

// afterFailure returns when to try again, by the monotonic clock.
func (h *Handler) afterFailure(v *sessionRuntime) int64 {
	pause := min(backoffLeast<<min(v.failed.Add(1)-1, 10), max(backoffMost, h.config.Recheck))
	return monotonic.Nanoseconds(h.now().Add(pause + flow.Jitter(pause/2)))
}

// prove checks s at the provider, and refreshes its tokens where that takes
// new ones. An error says that the check brought no proof, or that it could not
// be applied.
func (h *Handler) prove(ctx context.Context, s *session.Session, v *sessionRuntime) error {
	record := s.Record()
	if h.unproven(record) {
		return h.proveUnproven(ctx, s, v, record)
	}
	v.provenUntil.CompareAndSwap(0, monotonic.Nanoseconds(record.Tokens.Expires)) // loaded just now
	var refreshed error
	if record.Tokens.Refresh != "" && !h.now().Before(record.Tokens.RefreshAt()) {
		// Until it expires, the access token is good for the check below.
		seen := record.Tokens.Access
		refreshed = h.refresh(ctx, s, record.Tokens)
		record = s.Record()
		if refreshed == nil && record.Tokens.Access != seen && !h.now().Before(record.Tokens.Expires) {
			refreshed = h.refresh(ctx, s, record.Tokens) // another node got these, and they have expired since
			record = s.Record()
		}
	}
	switch {
	case s.Ended():
		return nil
	case h.unproven(record):
		return h.proveUnproven(ctx, s, v, record)
	case !record.Tokens.Expires.IsZero() && !h.now().Before(record.Tokens.Expires):
		return cmp.Or(refreshed, flow.ErrTokensEnded)
	}
	err := h.checkIdentity(ctx, s, v, record)
	if !errors.Is(err, flow.ErrTokensEnded) {
		return err
	}
	if record.Tokens.Refresh != "" {
		if refreshed != nil {
			return refreshed
		}
		used := record.Tokens.Access
		if err := h.refresh(ctx, s, record.Tokens); err != nil {
			return err
		}
		record = s.Record()
		switch {
		case s.Ended() || h.unproven(record):
			return nil
		case record.Tokens.Access != used:
			return h.checkIdentity(ctx, s, v, record)
		}
	}
	return h.withdraw(ctx, s, record.Tokens)
}

// proveUnproven ends an unproven session when its time is over. While its access
// token lives, what the provider says of the account still counts.
func (h *Handler) proveUnproven(ctx context.Context, s *session.Session, v *sessionRuntime, record *session.Record) error {
	if h.outlived(record) {
		h.end(ctx, s, reasonUnproven)
		return nil
	}
	if h.now().Before(record.Tokens.Expires) {
		_ = h.checkIdentity(ctx, s, v, record) // only an end matters here
		return nil
	}
	if record.UnprovenSince.IsZero() {
		return h.loseProof(ctx, s, record.Tokens, record.Tokens.Expires)
	}
	return nil
}

// checkIdentity asks userinfo once and does what follows.
func (h *Handler) checkIdentity(ctx context.Context, s *session.Session, v *sessionRuntime, record *session.Record) error {
	identity, err := h.config.RelyingParty.Recheck(ctx, record.Tokens, record.Identity)
	h.config.Gate.providerAnswered(h.now(), err)
	if reason := endsFor(err); reason != "" {
		h.end(ctx, s, reason)
		return nil
	}
	if err != nil {
		return err
	}
	v.proved(record.Tokens)
	lacks := h.lacksScope(record)
	out := lacks && h.refusedWhateverGroups(identity) != nil
	switch {
	case out:
		h.end(ctx, s, problem.NotAllowed.Code)
		return nil
	case h.unproven(record):
		return nil
	case lacks:
		return h.loseProof(ctx, s, record.Tokens, h.now())
	}
	if _, refused := h.applyRules(identity); refused != nil {
		h.end(ctx, s, problem.Of(refused).Code)
		return nil
	}
	if c := v.check.Load(); c != nil {
		c.allowed.Store(true)
	}
	if !sameIdentity(identity, &record.Identity) {
		return h.changeIdentity(ctx, s, v, identity)
	}
	v.refusedSince.Store(0)
	if slices.Equal(identity.FromIDToken, record.Identity.FromIDToken) {
		return nil
	}
	return h.config.Gate.Sessions.Update(ctx, s, func(record *session.Record) { record.Identity = *identity })
}

// endsFor returns the reason for which a session ends after a re-check with
// err, empty if it does not: the provider has answered about the user, and a
// sign-in with that answer would be refused.
func endsFor(err error) string {
	if errors.Is(err, flow.ErrAccountGone) {
		return reasonAccountGone
	}
	for _, refusal := range []error{flow.ErrEmailMissing, flow.ErrEmailUnverified, flow.ErrEmailNotASCII, flow.ErrUsernameMissing} {
		if errors.Is(err, refusal) {
			return problem.Of(err).Code
		}
	}
	return ""
}

// sameIdentity reports whether a and b are the same user with the same claims.
func sameIdentity(a, b *flow.Identity) bool {
	return a.Issuer == b.Issuer && a.Subject == b.Subject && a.Username == b.Username &&
		a.Email == b.Email && a.Name == b.Name && slices.Equal(a.Groups, b.Groups)
}
