// Sessions with expired tokens, and how their users prove them again.

package handler

import (
	"context"
	"net/http"
	"time"

	"go.uber.org/zap"

	"github.com/romm-oidc/caddy-romm-oidc/flow/monotonic"
	"github.com/romm-oidc/caddy-romm-oidc/handler/problem"
	"github.com/romm-oidc/caddy-romm-oidc/handler/request"
)

const (
	// provenWait is how long a navigation waits to learn that the provider answers.
	provenWait = 2 * time.Second
	// renewPause is the least time between two navigations that are sent to the
	// provider to prove a session, so that no browser goes round in circles.
	renewPause = time.Minute
)

// proveByNavigation makes the user of an unproven session prove it, if the
// request is a navigation of theirs: it passes through the provider, which
// knows the browser in most cases and shows nothing. It returns false if the
// request is to be answered as usual; a user does not notice that the provider is away.
func (h *Handler) proveByNavigation(in *incoming) (bool, error) {
	s, v := in.session, in.runtime
	if unprovenSince(s.Record(), in.now()).IsZero() || in.r.Method != http.MethodGet || in.class() != request.Navigation {
		return false, nil
	}
	target := in.chain.OriginalURI()
	if h.localTarget(target) != target { // it must come back to exactly this page
		return false, nil
	}
	now, next := h.now(), v.renewAt.Load()
	if monotonic.Nanoseconds(now) < next || !v.renewAt.CompareAndSwap(next, monotonic.Nanoseconds(now.Add(renewPause))) {
		return false, nil
	}
	ctx, cancel := context.WithTimeout(in.r.Context(), provenWait)
	defer cancel()
	if !h.config.RelyingParty.Reachable(ctx) {
		return false, nil
	}
	return true, h.startLogin(in, target, false)
}

// keepsSession reports whether a sign-in that failed ends at the page that was
// asked for: it was only to prove a session, which is still there. The user must
// not be worse off than without it, whether the provider refused, or storage
// took no new session. What was learnt about the user is another matter: they
// may not use this site.
func (h *Handler) keepsSession(in *incoming, err error) bool {
	refusal := problem.Of(err)
	if refusal.Status == http.StatusForbidden && refusal.Code != problem.SignInDenied.Code {
		return false
	}
	s, _ := in.lookup()
	if s == nil || !h.unproven(s.Record()) || h.outlived(s.Record()) {
		return false
	}
	runtimeOf(s).renewAt.Store(monotonic.Nanoseconds(h.now().Add(renewPause)))
	h.config.Logger.Warn("could not re-verify session, keeping it unproven: the sign-in failed, will retry at the user's next page view",
		zap.String("code", refusal.Code), zap.String("user", s.Record().Identity.Username),
		zap.Stringer("session_id", s.ID()), zap.NamedError("cause", refusal.Cause))
	return true
}
