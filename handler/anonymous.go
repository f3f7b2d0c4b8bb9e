// Requests without a session.

package handler

import (
	"fmt"
	"net/http"
	"path"
	"strings"

	"github.com/romm-oidc/caddy-romm-oidc/handler/application"
	"github.com/romm-oidc/caddy-romm-oidc/handler/problem"
	"github.com/romm-oidc/caddy-romm-oidc/handler/request"
)

// serveAnonymous answers a request without a session.
func (h *Handler) serveAnonymous(in *incoming) error {
	switch h.config.Application.Intent(in.r, in.path) {
	case application.SignIn:
		if in.class() == request.Navigation {
			if request.CookieValue(in.r, h.cookies.SignedOut) != "" {
				// The application's page starts a sign-in by itself right
				// after its user signed out, which is not what the user meant.
				return h.leave(in)
			}
			return h.startLogin(in, h.config.Application.SignInTarget(in.r, in.path, h.config.Origin), false)
		}
	case application.SignOut:
		if in.r.Method == http.MethodPost {
			if request.CrossOrigin(in.r, h.origin, false) { // it comes without the ticket, and would take it away
				return h.refuse(in, problem.CrossOrigin)
			}
			return h.signOutByScript(in)
		}
	case application.LogIn, application.None:
	}
	switch access := in.access(); access {
	case application.Open:
		if _, err := request.ReadBody(in.w, in.r, exchangeLimit); err != nil {
			return h.refuse(in, bodyProblem(err))
		}
		delete(in.r.Header, "Authorization") // an application may answer 500 to a token that it cannot read, on public paths too
		return h.passUnstamped(in, in.r)
	case application.Credential, application.Vouched, application.CredentialClosed:
		return h.serveCredential(in, access)
	case application.Bearer, application.BearerClosed:
		return h.serveBearer(in, access)
	case application.Exchange:
		return h.serveExchange(in)
	case application.Protected:
	}
	return h.denyAnonymous(in)
}

// denyAnonymous sends a person to the provider, and tells everything else that
// it is not signed in, in the form that it understands.
func (h *Handler) denyAnonymous(in *incoming) error {
	class := in.class()
	switch class {
	case request.Navigation:
		target := in.chain.OriginalURI()
		if came, _, _ := strings.Cut(target, "?"); request.Under(path.Clean(came), request.Base) { // every sign-in would end in another
			return h.refuse(in, problem.Rewritten.Because(fmt.Errorf("%s became %s before it came here", came, in.path)))
		}
		return h.startLogin(in, target, false)
	case request.Prefetch:
		return h.refuseAs(in, class, problem.Prefetch)
	case request.Script:
		denied := *problem.NotSignedIn
		denied.Status = h.config.Application.DeniedStatus(in.r.Context(), in.Caller())
		return h.refuseAs(in, class, &denied)
	case request.Form, request.Socket, request.Embedded:
	}
	return h.refuseAs(in, class, problem.NotSignedIn)
}

// passUnstamped passes r on without a user.
func (h *Handler) passUnstamped(in *incoming, r *http.Request) error {
	delete(r.Header, "Connection") // what is open needs no socket
	delete(r.Header, "Upgrade")
	request.ForwardCookies(r, h.appCookies, "")
	// If the ticket may be valid, the client is a signed-in user's browser, and the
	// application's cookies for an anonymous client must not reach it.
	signedIn := in.unknown || in.session != nil
	_, err := h.serve(in.chain, &answerWriter{ResponseWriter: in.w, in: in, leavesCookies: signedIn}, r)
	return err
}
