package handler

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/flow"
	"github.com/romm-oidc/caddy-romm-oidc/flow/session"
	"github.com/romm-oidc/caddy-romm-oidc/handler/application"
	"github.com/romm-oidc/caddy-romm-oidc/handler/problem"
	"github.com/romm-oidc/caddy-romm-oidc/handler/request"
)

const (
	// longIdle is after what time without a check the first navigation waits
	// for one: who was disabled in the night sees nothing in the morning.
	longIdle = time.Hour
	// provenWait is how long it waits at most.
	provenWait = 2 * time.Second
	// renewPause is the least time between two navigations that are sent to the
	// provider to prove a session, so that no browser goes round in circles.
	renewPause = time.Minute
)

// unproven reports whether the tokens of a session no longer speak for it.
func unproven(record *session.Record) bool { return !record.UnprovenSince.IsZero() }

// outlived reports whether a session was unproven for as long as it may be.
func (h *Handler) outlived(record *session.Record) bool {
	return unproven(record) && h.now().Sub(record.UnprovenSince) >= h.config.Unproven
}

// awaited returns the check that a navigation has to wait for, if any.
func (h *Handler) awaited(v *sessionRuntime) *check {
	c := v.check.Load()
	if c == nil || c.began.UnixNano()-v.checkedAt.Load() < int64(max(longIdle, h.config.Recheck)) {
		return nil
	}
	select {
	case <-c.done:
		return nil
	default:
		return c
	}
}

// proveByNavigation makes the user of an unproven session prove it, if r is a
// navigation of theirs: it passes through the provider, which knows them in
// most cases and shows them nothing. It returns false if r is to be answered
// all the same: whoever uses the site does not notice that the provider is away.
func (h *Handler) proveByNavigation(w http.ResponseWriter, r *http.Request, chain application.Chain, s *session.Session, p string) (bool, error) {
	v := runtimeOf(s)
	c := h.awaited(v)
	if c == nil && !unproven(s.Record()) || r.Method != http.MethodGet || h.class(r, p) != request.Navigation {
		return false, nil
	}
	if c != nil {
		timer := time.NewTimer(provenWait - h.now().Sub(c.began))
		defer timer.Stop()
		select {
		case <-c.done:
		case <-timer.C:
		case <-r.Context().Done():
		}
	}
	target := chain.OriginalURI()
	if s.Ended() {
		http.SetCookie(w, h.cookies.Unset(h.cookies.Ticket))
		return true, h.startLogin(w, r, chain, target, false)
	}
	if !unproven(s.Record()) || h.localTarget(target) != target { // it must come back to exactly this page
		return false, nil
	}
	now, next := h.now(), v.renewAt.Load()
	if now.UnixNano() < next || !v.renewAt.CompareAndSwap(next, now.Add(renewPause).UnixNano()) {
		return false, nil
	}
	ctx, cancel := context.WithTimeout(r.Context(), provenWait)
	defer cancel()
	if !h.config.RelyingParty.Reachable(ctx) {
		return false, nil
	}
	return true, h.startLogin(w, r, chain, target, false)
}

// keepsSession reports whether a sign-in that failed because the provider broke down,
// or was not asked for what others did, may end at the page that it was to
// prove all the same: there is a session still. What the provider said of its
// user is no breakdown.
func (h *Handler) keepsSession(r *http.Request, err error) bool {
	if !errors.Is(err, flow.ErrProviderUnavailable) && !errors.Is(err, problem.TooManySignIns) {
		return false
	}
	s, _ := h.session(r)
	if s == nil || !unproven(s.Record()) || h.outlived(s.Record()) {
		return false
	}
	runtimeOf(s).renewAt.Store(h.now().Add(renewPause).UnixNano())
	return true
}
