// Coming back after a pause: a user who lost access during the pause sees and
// changes nothing.

package handler

import (
	"errors"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/flow"
	"github.com/romm-oidc/caddy-romm-oidc/flow/monotonic"
	"github.com/romm-oidc/caddy-romm-oidc/handler/problem"
)

const (
	// pauseWait is how long the requests after a pause wait for the check at most.
	pauseWait = 5 * time.Second
	// awayFor is how long the provider counts as away after it did not answer.
	awayFor = 30 * time.Second
)

// comeBack starts the re-check of the request's session if one is due. If the
// session was not used for longer than the interval between two re-checks, this
// request and all others that come before the result wait for it, unless the
// provider is known to be away. alive says whether the session still lives. An
// error says that there is no result yet, though the provider is not away.
func (h *Handler) comeBack(in *incoming) (alive bool, err error) {
	s, v := in.session, in.runtime
	clock := in.now()
	now := monotonic.Nanoseconds(clock)
	if used := v.usedAt.Load(); h.inUse(used, now) {
		h.recheckIfDue(in.r.Context(), s, v, clock)
		if now-used > int64(time.Second) { // at most one write a second, however many requests there are
			v.usedAt.Store(now)
		}
	} else {
		h.endPause(in, clock)
	}
	if c := v.check.Load(); c != nil && c.awaited.Load() {
		err = h.await(in, c)
	}
	return !s.Ended(), err
}

// await waits for a check. Checks wait for each other: one that has not begun says
// nothing about the provider. The provider is away only if it has answered nothing
// for 5 s, since the check began or was queued.
func (h *Handler) await(in *incoming, c *check) error {
	g := h.config.Gate
	for !c.isDone() {
		asked := c.asked()
		wait := pauseWait - time.Duration(monotonic.Nanoseconds(h.now())-asked)
		if wait <= 0 {
			switch {
			case c.allowed.Load(): // the rest waits for the application
			case g.answeredAt.Load() >= asked:
				return problem.CheckPending
			default:
				g.away(h.now())
			}
			c.awaited.Store(false)
			return nil
		}
		timer := time.NewTimer(wait)
		select {
		case <-c.done:
		case <-timer.C: // it may have begun meanwhile
		case <-in.r.Context().Done():
			timer.Stop()
			return problem.CheckPending
		}
		timer.Stop()
	}
	if c.dropped.Load() {
		return problem.CheckPending
	}
	return nil
}

// inUse reports whether a session that was last used then is in use without a
// pause. A suspended machine was a pause for all sessions, which the monotonic
// clock has not noticed.
func (h *Handler) inUse(used, now int64) bool {
	return used != 0 && now-used <= int64(h.config.Recheck) && used >= h.config.Paused()
}

// endPause notes that the session is in use again. The check comes first: a
// request that finds the session in use must find the check, too.
func (h *Handler) endPause(in *incoming, clock time.Time) {
	s, v, now := in.session, in.runtime, monotonic.Nanoseconds(clock)
	v.pausing.Lock()
	defer v.pausing.Unlock()
	if h.inUse(v.usedAt.Load(), now) {
		return // another request came first
	}
	h.recheckIfDue(in.r.Context(), s, v, clock)
	c := v.check.Load()
	if c != nil && now >= h.config.Gate.awayUntil.Load() {
		c.awaited.Store(true)
	}
	if c == nil || !c.dropped.Load() {
		v.usedAt.Store(now)
	}
}

// away notes that the provider does not answer.
func (g *Gate) away(now time.Time) { g.awayUntil.Store(monotonic.Nanoseconds(now.Add(awayFor))) }

// providerAnswered notes whether the provider answered, by the error of a request.
func (g *Gate) providerAnswered(now time.Time, err error) {
	if errors.Is(err, flow.ErrProviderUnavailable) {
		g.away(now)
		return
	}
	g.answeredAt.Store(monotonic.Nanoseconds(now))
	g.awayUntil.Store(0)
}
