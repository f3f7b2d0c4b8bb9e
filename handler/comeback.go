// Coming back after a pause: a user who lost access during the pause sees and
// changes nothing.

package handler

import (
	"errors"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/flow"
	"github.com/romm-oidc/caddy-romm-oidc/flow/monotonic"
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
// provider is known to be away. It reports whether the session still lives.
func (h *Handler) comeBack(in *incoming) bool {
	s, v := in.session, in.runtime
	now := monotonic.Nanoseconds(h.now())
	if used := v.usedAt.Load(); used != 0 && now-used <= int64(h.config.Recheck) {
		h.recheckIfDue(in.r.Context(), s, v)
		if now-used > int64(time.Second) { // at most one write a second, however many requests there are
			v.usedAt.Store(now)
		}
	} else {
		h.endPause(in, now)
	}
	c := v.check.Load()
	if c == nil || !c.awaited.Load() {
		return !s.Ended()
	}
	timer := time.NewTimer(pauseWait - h.now().Sub(c.began))
	defer timer.Stop()
	select {
	case <-c.done:
	case <-timer.C:
		h.config.Gate.away(h.now())
		c.awaited.Store(false)
	case <-in.r.Context().Done():
	}
	return !s.Ended()
}

// endPause notes that the session is in use again. The check comes first: a
// request that finds the session in use must find the check, too.
func (h *Handler) endPause(in *incoming, now int64) {
	s, v := in.session, in.runtime
	v.pausing.Lock()
	defer v.pausing.Unlock()
	if used := v.usedAt.Load(); used != 0 && now-used <= int64(h.config.Recheck) {
		return // another request came first
	}
	h.recheckIfDue(in.r.Context(), s, v)
	if c := v.check.Load(); c != nil && now >= h.config.Gate.awayUntil.Load() {
		c.awaited.Store(true)
	}
	v.usedAt.Store(now)
}

// away notes that the provider does not answer.
func (g *Gate) away(now time.Time) { g.awayUntil.Store(monotonic.Nanoseconds(now.Add(awayFor))) }

// providerAnswered notes whether the provider answered, by the error of a request.
func (g *Gate) providerAnswered(now time.Time, err error) {
	if errors.Is(err, flow.ErrProviderUnavailable) {
		g.away(now)
		return
	}
	g.awayUntil.Store(0)
}
