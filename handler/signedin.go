// Requests with a session: checked, stamped and passed on.

package handler

import (
	"errors"
	"net/http"

	"github.com/romm-oidc/caddy-romm-oidc/flow/session"
	"github.com/romm-oidc/caddy-romm-oidc/handler/application"
	"github.com/romm-oidc/caddy-romm-oidc/handler/problem"
	"github.com/romm-oidc/caddy-romm-oidc/handler/request"
)

// serveSession answers a request of a signed-in user.
func (h *Handler) serveSession(in *incoming) error {
	switch alive, err := h.comeBack(in); {
	case !alive:
		in.forgetSession()
		return h.serveAnonymous(in)
	case err != nil:
		return h.unconfirmed(in, err)
	}
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
	if err := h.ensureConfirmed(in); err != nil {
		return h.unconfirmed(in, err)
	}
	if socket && h.config.Application.KeepsRole(in.path) && in.runtime.continuesClosed(in.r, in.now()) {
		return h.refuse(in, problem.SignedInAgain)
	}
	record := in.session.Record()
	if err := h.config.Application.Guard(in.r.Context(), in.forwarded(record.Upstream.ID), record.Identity); err != nil {
		return h.refuse(in, err)
	}
	return h.passStamped(in)
}

// alreadySignedIn answers a signed-in user who comes to sign in. The
// application's page comes here when it was told that its user is signed out;
// sent back without a check, it would come again and again.
func (h *Handler) alreadySignedIn(in *incoming) error {
	if err := h.ensureConfirmed(in); err != nil {
		return h.unconfirmed(in, err)
	}
	problem.Redirect(in.w, http.StatusFound, h.localTarget(h.config.Application.SignInTarget(in.r, in.path, h.config.Origin)))
	return nil
}

// unconfirmed answers a request of a session that the application did not
// confirm. What is open to anonymous requests is passed on without a user: the
// application's page would ask its heartbeat again at once, and never stop.
func (h *Handler) unconfirmed(in *incoming, err error) error {
	request.Strip(in.r) // it may be stamped
	if errors.Is(err, session.ErrEnded) {
		http.SetCookie(in.w, h.cookies.Unset(h.cookies.Ticket))
		in.session, in.runtime = nil, nil
		return h.serveAnonymous(in)
	}
	if in.access() == application.Open {
		delete(in.r.Header, "Authorization")
		return h.passUnstamped(in, in.r)
	}
	return h.refuseUnconfirmed(in, err)
}

// refuseUnconfirmed refuses a request of a session for which the application
// has no session of its own.
func (h *Handler) refuseUnconfirmed(in *incoming, err error) error {
	if errors.Is(err, session.ErrEnded) {
		err = problem.NotSignedIn.Because(err)
	}
	_, refused := errors.AsType[*problem.Problem](err)
	if !refused || errors.Is(err, problem.ApplicationAway) || in.chain.Unreachable(err) {
		return h.refuseAway(in, err)
	}
	return h.refuse(in, err)
}

// passStamped stamps the request and passes it on. If the application turns
// out to have forgotten the session, a request that may be repeated is
// repeated once.
func (h *Handler) passStamped(in *incoming) error {
	answer := &in.answer
	answer.ResponseWriter, answer.in, answer.runtime = in.w, in, in.runtime
	answer.mutes, answer.repeats, answer.held = true, in.mayRepeat(), true
	h.watch(answer, in.r, in.path)
	answer.before.remember(in.w, in.r)
	record := in.session.Record()
	in.stamped = record
	in.runtime.viewOf(h, record, in.session.ID()).stamp(in.r)

	in.stream.socket = in.socket()
	if in.upgrade {
		h.config.Gate.sockets.Add(1)
		defer h.config.Gate.sockets.Add(-1)
	}
	in.stream.Context = in.r.Context() //nolint:fatcontext // once a request
	defer in.endStream()
	defer in.session.Hold(&in.stream).Release(&in.stream)
	r := in.r.WithContext(&in.stream)
	defer func() { // the chain panics where the browser goes away
		if answer.mute == loud {
			h.answered(r.Context(), in.forwarded(record.Upstream.ID), answer)
		}
	}()
	if done, err := h.serveAnswered(in, answer, r); done {
		return err
	}
	answer.before.restore(in.w.Header()) // without the trailers of the mute response
	switch {
	case answer.mute == away:
		return h.refuseAway(in, errEmptyAnswer)
	case answer.repeats:
		return h.repeat(in, answer.before.request(r.Context(), in.r))
	}
	return h.sendAgain(in)
}

// repeat passes again, which is the request as it first came, with a new
// session of the application.
func (h *Handler) repeat(in *incoming, again *http.Request) error {
	if err := h.rebroker(in, in.stamped.Upstream.ID); err != nil {
		in.r = in.chain.Fresh(in.w, again, in.r)
		return h.unconfirmed(in, err)
	}
	again = in.chain.Fresh(in.w, again, in.r)
	answer := &answerWriter{ResponseWriter: in.w, in: in, runtime: in.runtime, mutes: true, held: true}
	answer.before.remember(in.w, again)
	in.stamped = in.session.Record()
	in.runtime.viewOf(h, in.stamped, in.session.ID()).stamp(again)
	if done, err := h.serveAnswered(in, answer, again); done {
		return err
	}
	return h.sendAgain(in)
}

// serveAnswered passes r to the chain. done says that the client got its response,
// or an error; otherwise the response was mute.
func (h *Handler) serveAnswered(in *incoming, answer *answerWriter, r *http.Request) (done bool, err error) {
	unreachable, err := h.serve(in.chain, answer, r)
	switch {
	case answer.cut || err != nil && in.stream.ended.Load():
		panic(http.ErrAbortHandler) // a response would look like one to the whole request
	case unreachable && answer.status == 0:
		return true, h.refuseAway(in, err)
	}
	return err != nil || answer.mute == loud, err
}

// sendAgain answers a request that the application refused because it had
// forgotten the session, and that the gate cannot repeat: its client can. On the
// gate's 503 the application's page stays open; on the application's own refusal
// it would leave for the sign-in page.
func (h *Handler) sendAgain(in *incoming) error {
	if err := h.rebroker(in, in.stamped.Upstream.ID); err != nil {
		return h.refuseUnconfirmed(in, err)
	}
	return h.refuse(in, problem.SignedInAgain)
}

// mayRepeat reports whether the request can be sent a second time without an
// effect: a GET or HEAD without body that is no upgrade.
func (in *incoming) mayRepeat() bool {
	r := in.r
	return (r.Method == http.MethodGet || r.Method == http.MethodHead) &&
		(r.Body == nil || r.Body == http.NoBody || r.ContentLength == 0) && !in.upgrade
}
