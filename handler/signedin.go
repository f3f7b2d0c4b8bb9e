// Requests with a session: checked, stamped and passed on.

package handler

import (
	"context"
	"net/http"
	"net/url"

	"github.com/romm-oidc/caddy-romm-oidc/flow"
	"github.com/romm-oidc/caddy-romm-oidc/handler/application"
	"github.com/romm-oidc/caddy-romm-oidc/handler/problem"
	"github.com/romm-oidc/caddy-romm-oidc/handler/request"
)

// serveSession answers a request of a signed-in user.
func (h *Handler) serveSession(in *incoming) error {
	h.recheckIfDue(in.session, in.runtime)
	socket := in.socket()
	if request.CrossOrigin(in.r, h.origin, socket) || request.CrossOriginFrame(in.r) ||
		request.CrossOriginEmbed(in.r) && in.access() != application.Open {
		return h.refuseAs(in, request.Script, problem.CrossOrigin)
	}
	switch h.config.Application.Intent(in.r, in.path) {
	case application.SignIn:
		if in.class() == request.Navigation {
			return h.alreadySignedIn(in)
		}
	case application.SignOut:
		if in.r.Method == http.MethodPost {
			return h.signOutByScript(in)
		}
	case application.LogIn:
		return h.serveExchange(in)
	case application.None:
	}
	if answered, err := h.proveByNavigation(in); answered {
		return err
	}
	record := in.session.Record()
	if err := h.config.Application.Guard(in.r.Context(), in.forwarded(record.Upstream.Session), record.Identity); err != nil {
		return h.refuse(in, err)
	}
	if socket || !request.IsSafe(in.r.Method) {
		// A request that cannot be repeated must not meet a dead session.
		if err := h.ensureConfirmed(in); err != nil {
			return h.refuse(in, err)
		}
	}
	return h.passStamped(in)
}

// alreadySignedIn answers a signed-in user who comes to sign in. The
// application's page comes here when it was told that its user is signed out;
// sent back without a check, it would come again and again.
func (h *Handler) alreadySignedIn(in *incoming) error {
	if err := h.ensureConfirmed(in); err != nil {
		return h.refuse(in, err)
	}
	problem.Redirect(in.w, http.StatusFound, h.localTarget(h.config.Application.SignInTarget(in.r, in.path, h.config.Origin)))
	return nil
}

// passStamped stamps the request and passes it on. If the application turns
// out to have forgotten the session, a request that may be repeated is
// repeated once.
func (h *Handler) passStamped(in *incoming) error {
	answer := &answerWriter{ResponseWriter: in.w, handler: h, runtime: in.runtime}
	h.watch(answer, in.r, in.path)
	if mayRepeat(in.r) {
		answer.repeats = answer.before.remember(in.w, in.r)
	}
	record := in.session.Record()
	in.runtime.stampOf(record, h.appCookies.Session).put(in.r, h.appCookies, h.config.IdentityHeaders)

	r := in.r
	if request.IsSocket(r) {
		ctx, cancel := context.WithCancel(r.Context())
		defer cancel()
		upgrade := &socketHold{cancel}
		defer in.session.Hold(upgrade).Release(upgrade)
		r = r.WithContext(ctx)
	} else {
		if r.ProtoMajor >= 3 { // there a deadline ends no request that waits for the application
			var ctx context.Context
			ctx, answer.cancel = context.WithCancel(r.Context())
			defer answer.cancel()
			r = r.WithContext(ctx)
		}
		defer in.session.Hold(answer).Release(answer)
	}
	defer func() { // the chain panics where the browser goes away
		if !answer.mute {
			h.answered(r.Context(), in.forwarded(record.Upstream.Session), answer)
		}
	}()
	if err := h.serve(in.chain, answer, r); err != nil || !answer.mute {
		return err
	}
	return h.repeat(in, answer.before.request(r))
}

// repeat passes again, which is the request as it first came, with a new
// session of the application.
func (h *Handler) repeat(in *incoming, again *http.Request) error {
	err := h.rebroker(in)
	if err != nil && in.access() != application.Open {
		return h.refuse(in, err)
	}
	again = in.chain.Fresh(in.w, again, in.r)
	if err != nil {
		// What is open to anonymous requests is not refused: the application's
		// page would ask its heartbeat again at once, and never stop.
		request.Strip(again)
		return h.passUnstamped(in, again)
	}
	in.runtime.stampOf(in.session.Record(), h.appCookies.Session).put(again, h.appCookies, h.config.IdentityHeaders)
	return h.serve(in.chain, &answerWriter{ResponseWriter: in.w, handler: h, runtime: in.runtime}, again)
}

// mayRepeat reports whether r can be sent a second time without an effect: a
// GET or HEAD without body that is no upgrade.
func mayRepeat(r *http.Request) bool {
	return (r.Method == http.MethodGet || r.Method == http.MethodHead) &&
		(r.Body == nil || r.Body == http.NoBody || r.ContentLength == 0) && !request.IsSocket(r)
}

// socketHold ends an upgraded connection by its context; reverse_proxy then
// closes both of its sides.
type socketHold struct{ cancel context.CancelFunc }

// Abort implements session.Holder.
func (h *socketHold) Abort() { h.cancel() }

// localTarget returns target if it is a path of this site to come back to, else "/".
func (h *Handler) localTarget(target string) string {
	if !flow.LocalPath(target) {
		return "/"
	}
	u, err := url.Parse(target)
	if err != nil || request.Under(request.Normal(u.Path), request.Base) && target != sessionsPath {
		return "/"
	}
	return target
}
