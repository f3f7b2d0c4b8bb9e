// Changed identities: how a re-check brings them to the application.

package handler

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/flow"
	"github.com/romm-oidc/caddy-romm-oidc/flow/monotonic"
	"github.com/romm-oidc/caddy-romm-oidc/flow/session"
	"github.com/romm-oidc/caddy-romm-oidc/handler/problem"
)

// refusedLeast is the least time for which the application may refuse a change
// before the session ends.
const refusedLeast = 5 * time.Minute

// errNotApplied says that the provider has proved a session, and that the
// application did not take what changed.
var errNotApplied = errors.New("the application did not take the user's changed claims")

// changeIdentity signs in to the application with the new claims, since its
// roles may depend on them, and then keeps them. If the application refuses, it
// tries again without what can be left out. An application that does not answer
// is asked again at the next check, however long that takes; one that keeps
// refusing must not keep a user in a role that they lost, so the session ends.
func (h *Handler) changeIdentity(ctx context.Context, s *session.Session, v *sessionRuntime, identity *flow.Identity) error {
	err := h.resign(ctx, s, identity, identity)
	if refusedWith(err) != nil && identity.Name != "" {
		spare := *identity
		spare.Name = ""
		err = h.resign(ctx, s, &spare, identity)
	}
	refused := refusedWith(err)
	switch {
	case err == nil:
		v.refusedSince.Store(0)
		return nil
	case refused == nil:
		h.config.Gate.accountsShut(ctx) // it may have been, against the role that it lost
		return fmt.Errorf("%w: %w", errNotApplied, err)
	case refused.Status == http.StatusForbidden: // a sign-in would be refused, too
		h.end(ctx, s, refused.Code)
		return nil
	}
	now := monotonic.Nanoseconds(h.now())
	v.refusedSince.CompareAndSwap(0, now)
	if now-v.refusedSince.Load() >= int64(h.patience()) {
		h.end(ctx, s, reasonRecheckFailed)
		return nil
	}
	h.config.Gate.accountsShut(ctx) // as above
	return fmt.Errorf("%w: %w", errNotApplied, err)
}

// patience is how long the application may refuse a change before the session ends.
func (h *Handler) patience() time.Duration { return max(3*h.config.Recheck, refusedLeast) }

// afterRefusedChange returns when to try again to bring a change to the
// application: at the next re-check, and in time to end the session.
func (h *Handler) afterRefusedChange(v *sessionRuntime) int64 {
	since := v.refusedSince.Load()
	if since == 0 { // it did not answer
		return h.afterFailure(v)
	}
	now := monotonic.Nanoseconds(h.now())
	return min(now+int64(h.config.Recheck), max(now+int64(time.Second), since+int64(h.patience())))
}

// refusedWith returns the Problem with which the application refused a sign-in, nil
// if err is not one, or says that the application did not answer.
func refusedWith(err error) *problem.Problem {
	refused, ok := errors.AsType[*problem.Problem](err)
	if !ok || refused.Away {
		return nil
	}
	return refused
}

// resign signs s in to the application again, as one identity, and keeps another.
func (h *Handler) resign(ctx context.Context, s *session.Session, as, kept *flow.Identity) error {
	v := runtimeOf(s)
	call, ok := h.config.Gate.caller(v)
	if !ok {
		return nil
	}
	former := s.Record().Upstream.ID
	var err error
	for mine := false; !mine; { // a sign-in under way has older claims: it must not come out last
		if ctx.Err() != nil {
			return ctx.Err()
		}
		_, err, _ = h.config.Gate.calls.Do("broker "+s.ID().String(), func() (any, error) {
			mine = true
			return nil, h.signInAgain(ctx, s, resignIn{
				call: call, identity: as,
				change: func(record *session.Record) { record.Identity = *kept },
			})
		})
	}
	if s.Record().Upstream.ID != former {
		h.config.Gate.signOutLate(v, former)
	}
	return err
}
