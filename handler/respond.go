package handler

import (
	"crypto/rand"
	"net/http"
	"net/url"
	"strings"

	"github.com/romm-oidc/caddy-romm-oidc/handler/application"
	"github.com/romm-oidc/caddy-romm-oidc/handler/problem"
	"github.com/romm-oidc/caddy-romm-oidc/handler/request"
	"go.uber.org/zap"
)

// problemJSON is a refusal as scripts get it.
type problemJSON struct {
	Detail    string `json:"detail"`
	Code      string `json:"code"`
	Reference string `json:"reference,omitempty"`
}

// refuse answers r with the refusal that err is, in the form that its kind
// needs. Where problems are passed it returns the *Problem instead.
func (h *Handler) refuse(w http.ResponseWriter, r *http.Request, chain application.Chain, k request.Class, err error) error {
	refusal := new(*problem.Of(err))
	refusal.Reference = rand.Text()[:10]
	h.log(r, chain, refusal)
	h.config.Observe("refused", refusal.Code)
	if r.ProtoMajor == 1 && r.Header.Get("Expect") != "" {
		// Who asks before it uploads is not to upload; a connection that goes
		// on would have to read all of that first.
		w.Header().Set("Connection", "close")
	}
	if h.config.PassErrors {
		return refusal
	}
	switch {
	case !k.WantsJSON():
		h.pageOf(refusal, r, chain).Write(w, r)
	case k == request.Script:
		if refusal.Status == http.StatusUnauthorized {
			w.Header().Set("WWW-Authenticate", "Bearer") // never Basic: browsers would ask for a password
		}
		detail := problem.Named(refusal.Title, h.config.ProviderLabel)
		if refusal.Code == problem.NotSignedIn.Code {
			detail = "Not authenticated" // the application's own word for it
		}
		problem.JSON{
			Status: refusal.Status, Retry: refusal.Retry,
			Value: problemJSON{Detail: detail, Code: refusal.Code, Reference: refusal.Reference},
		}.Write(w, r)
	default:
		problem.OwnHeader(w, "", refusal.Retry)
		problem.Send(w, r, refusal.Status, nil)
	}
	return nil
}

// log writes the line of a refusal. What every visitor causes all day, being
// signed out, is for debugging.
func (h *Handler) log(r *http.Request, chain application.Chain, refusal *problem.Problem) {
	write := h.config.Logger.Info
	switch {
	case refusal.Code == problem.NotSignedIn.Code || refusal.Code == problem.Prefetch.Code:
		write = h.config.Logger.Debug
	case refusal.Status >= http.StatusInternalServerError:
		write = h.config.Logger.Warn
	}
	write("request refused", zap.String("code", refusal.Code), zap.Int("status", refusal.Status),
		zap.String("reference", refusal.Reference), zap.String("method", r.Method), zap.String("path", r.URL.Path),
		zap.String("client_ip", chain.ClientIP()), zap.NamedError("cause", refusal.Cause))
}

// pageOf returns the page of refusal, with its way forward.
func (h *Handler) pageOf(refusal *problem.Problem, r *http.Request, chain application.Chain) *problem.Page {
	p := &problem.Page{
		Status: refusal.Status, Code: refusal.Code, Retry: refusal.Retry,
		Title: problem.Named(refusal.Title, h.config.ProviderLabel), Text: problem.Named(refusal.Text, h.config.ProviderLabel),
		Hint: problem.Named(refusal.Hint, h.config.ProviderLabel), Reference: refusal.Reference,
	}
	home := problem.Link{ID: "home", Label: "Open the site", Href: h.origin + "/"}
	switch refusal.Way {
	case problem.WayRetry:
		p.Links = []problem.Link{{ID: "retry", Label: "Try again", Href: h.retryHref(refusal, r, chain)}}
	case problem.WayProvider:
		p.Button = &problem.Link{ID: "sign-out", Label: problem.Named("Sign out at {provider}", h.config.ProviderLabel), Href: request.Base + "/logout"}
		p.Links = []problem.Link{home}
	case problem.WayHome:
		p.Links = []problem.Link{home}
	}
	return p
}

// retryHref starts a new sign-in to where the failed one was to end.
func (h *Handler) retryHref(refusal *problem.Problem, r *http.Request, chain application.Chain) string {
	target := refusal.ReturnTo
	if target == "" && r.Method == http.MethodGet && !request.Under(r.URL.Path, request.Base) {
		target = chain.OriginalURI()
	}
	href := request.Base + "/login"
	if target != "" && target != "/" && !strings.HasPrefix(target, request.Base) {
		href += "?next=" + url.QueryEscape(target)
	}
	return href
}
