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

// attend has the provider asked, beside the request and once for all requests
// of s, whether its user is still who they were: somebody who was disabled, or
// taken out of a group, is out within the interval. Tokens that are about to
// expire are refreshed before. It takes no time when nothing is due.
func (g *Gate) attend(s *session.Session, v *visit) {
	if g.Recheck <= 0 {
		return
	}
	now, due := g.now(), v.checkAt.Load()
	if now.UnixNano() < due || !v.checkAt.CompareAndSwap(due, now.Add(checkTimeout).UnixNano()) {
		return
	}
	c := &check{began: now, done: make(chan struct{})}
	v.check.Store(c)
	if !g.State.checks.add(func(ctx context.Context) {
		defer close(c.done)
		ctx, cancel := context.WithTimeout(ctx, checkTimeout)
		defer cancel()
		g.checkNow(ctx, s, v)
	}) {
		close(c.done)
		v.checkAt.Store(g.afterFailure(v))
	}
}

// checkNow checks s and says when that is due again.
func (g *Gate) checkNow(ctx context.Context, s *session.Session, v *visit) {
	if s.Ended() {
		return
	}
	if err := g.prove(ctx, s, v); err != nil {
		v.checkAt.Store(g.afterFailure(v))
		g.Logger.Debug("re-checking a session", zap.Stringer("session", s.ID()), zap.Error(err))
		return
	}
	v.checked(g.now(), g.nextCheck(s.Record()))
}

// checked notes that the provider was asked, and when it is to be next.
func (v *visit) checked(now, next time.Time) {
	v.failed.Store(0)
	v.checkedAt.Store(now.UnixNano())
	v.checkAt.Store(next.UnixNano())
}

// nextCheck returns when a session that was just checked is to be checked again.
func (g *Gate) nextCheck(record *session.Record) time.Time {
	now := g.now()
	if unproven(record) {
		return record.UnprovenSince.Add(g.Unproven)
	}
	next, ends := now.Add(g.Recheck), record.Tokens.Expires
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
func (g *Gate) afterFailure(v *visit) int64 {
	pause := min(backoffLeast<<min(v.failed.Add(1)-1, 10), max(backoffMost, g.Recheck))
	return g.now().Add(pause + flow.Jitter(pause/2)).UnixNano()
}

// prove has the provider say that s is still its user's, by whatever it takes.
// An error says that it could not be asked: that changes nothing.
func (g *Gate) prove(ctx context.Context, s *session.Session, v *visit) error {
	record := s.Record()
	if unproven(record) {
		if g.outlived(record) {
			g.end(ctx, s, reasonUnproven)
		}
		return nil
	}
	if record.Tokens.Refresh != "" && !g.now().Before(record.Tokens.Expires.Add(-refreshAhead)) {
		// What is left of the access token is good for the question below.
		if err := g.refresh(ctx, s, record.Tokens); err != nil && !g.now().Before(record.Tokens.Expires) {
			return err
		}
		record = s.Record()
	}
	err := g.recheck(ctx, s, v, record)
	if !errors.Is(err, flow.ErrTokensEnded) {
		return err
	}
	if record.Tokens.Refresh == "" {
		return g.loseProof(ctx, s, record.Tokens)
	}
	if err := g.refresh(ctx, s, record.Tokens); err != nil {
		return err
	}
	return g.recheck(ctx, s, v, s.Record())
}

// recheck asks userinfo once and does what follows.
func (g *Gate) recheck(ctx context.Context, s *session.Session, v *visit, record *session.Record) error {
	if unproven(record) {
		return nil
	}
	if !g.now().Before(record.Tokens.Expires) {
		return flow.ErrTokensEnded
	}
	identity, err := g.RelyingParty.Recheck(ctx, record.Tokens, record.Identity)
	switch {
	case errors.Is(err, flow.ErrAccountGone):
		g.end(ctx, s, reasonAccountGone)
	case err != nil:
		return err //nolint:wrapcheck // only logged, where it is known what failed
	case !g.Policy.Permits(identity):
		g.end(ctx, s, errNotAllowed.Code)
	case !sameIdentity(identity, &record.Identity):
		return g.changeIdentity(ctx, s, v, identity)
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
func (g *Gate) changeIdentity(ctx context.Context, s *session.Session, v *visit, identity *flow.Identity) error {
	call, ok := g.State.caller(v)
	if !ok {
		return nil
	}
	former := s.Record().Application
	var err error
	for mine := false; !mine; { // a sign-in that is under way knows less: it must not come out last
		if ctx.Err() != nil {
			return ctx.Err() //nolint:wrapcheck // only logged
		}
		_, err, _ = g.State.calls.Do("broker "+s.ID().String(), func() (any, error) {
			mine = true
			return nil, g.signInAgain(ctx, call, s, v, identity, func(record *session.Record) { record.Identity = *identity })
		})
	}
	if refusal, ok := errors.AsType[*Problem](err); ok && refusal.Status == http.StatusForbidden {
		g.end(ctx, s, refusal.Code)
		return nil
	}
	if s.Record().Application != former {
		g.State.signOutLate(v, former)
	}
	return err //nolint:wrapcheck // the application's own problem
}
