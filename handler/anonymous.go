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
func (h *Handler) serveAnonymous(w http.ResponseWriter, r *http.Request, chain application.Chain, p string, plain bool) error {
	kind := h.class(r, p)
	switch h.config.Application.Intent(r, p) {
	case application.SignIn:
		if kind == request.Navigation {
			if request.CookieValue(r, h.cookies.SignedOut) != "" {
				// The application's page starts a sign-in by itself right
				// after its user signed out; that is not what they meant.
				return h.leave(w, r)
			}
			return h.startLogin(w, r, chain, h.config.Application.SignInTarget(r, p, h.config.Origin), false)
		}
	case application.SignOut:
		if r.Method == http.MethodPost {
			if request.CrossOrigin(r, h.origin, false) { // it comes without the ticket, and would take it away
				return h.refuse(w, r, chain, kind, problem.CrossOrigin)
			}
			return h.signOutByScript(w, r, nil)
		}
	case application.None:
	}
	switch h.config.Application.Access(r, p, plain) {
	case application.Open:
		delete(r.Header, "Authorization") // an application may answer 500 to a token it cannot read, on public paths too
		return h.passUnstamped(w, r, chain)
	case application.Credential:
		return h.serveCredential(w, r, chain, p)
	case application.Bearer:
		return h.serveBearer(w, r, chain, p)
	case application.Exchange:
		return h.serveExchange(w, r, chain)
	case application.Protected:
	}
	switch kind {
	case request.Navigation:
		target := chain.OriginalURI()
		if came, _, _ := strings.Cut(target, "?"); request.Under(path.Clean(came), request.Base) { // every sign-in would end in another
			return h.refuse(w, r, chain, kind, problem.Rewritten.Because(fmt.Errorf("%s became %s before it came here", came, p)))
		}
		return h.startLogin(w, r, chain, target, false)
	case request.Form:
		return h.refuse(w, r, chain, kind, problem.NotSignedIn)
	case request.Prefetch:
		return h.refuse(w, r, chain, kind, problem.Prefetch)
	case request.Script:
		denied := *problem.NotSignedIn
		denied.Status = h.config.Application.DeniedStatus(r.Context(), application.NewCaller(chain, r, h.config.Origin))
		return h.refuse(w, r, chain, kind, &denied)
	case request.Socket, request.Embedded:
	}
	return h.refuse(w, r, chain, kind, problem.NotSignedIn)
}

// passUnstamped passes r on for nobody in particular.
func (h *Handler) passUnstamped(w http.ResponseWriter, r *http.Request, chain application.Chain) error {
	request.ForwardCookies(r, h.private, "")
	return h.serve(chain, &answerWriter{ResponseWriter: w, handler: h}, r)
}
