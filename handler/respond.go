// How the gate refuses: a page, JSON or a status, by the class of the request.

package handler

import (
	"crypto/rand"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/romm-oidc/caddy-romm-oidc/handler/problem"
	"github.com/romm-oidc/caddy-romm-oidc/handler/request"
)

// problemJSON is a problem as scripts get it.
type problemJSON struct {
	Detail    string `json:"detail"`
	Code      string `json:"code"`
	Reference string `json:"reference,omitempty"`
}

// refuse answers the request with the problem that err is, in the form that
// its class needs. Where problems are passed it returns the *problem.Problem instead.
func (h *Handler) refuse(in *incoming, err error) error { return h.refuseAs(in, in.class(), err) }

// refuseAs is refuse for a request that is answered like one of another class.
func (h *Handler) refuseAs(in *incoming, class request.Class, err error) error {
	return h.writeRefusal(in, class, h.refusalOf(in, err, false))
}

// A reference is the beginning of a rand.Text.
const (
	referenceLength   = 10
	referenceAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
)

// refusalOf returns the problem that err is, with a reference, and reports it.
func (h *Handler) refusalOf(in *incoming, err error, signIn bool) *problem.Problem {
	refusal := new(*problem.Of(err))
	refusal.Reference = rand.Text()[:referenceLength]
	h.reportRefusal(in, refusal, signIn)
	in.chain.Identify(refusal.Placeholder)
	return refusal
}

// writeRefusal answers the request with refusal, or returns it where problems
// are passed.
func (h *Handler) writeRefusal(in *incoming, class request.Class, refusal *problem.Problem) error {
	if in.r.ProtoMajor == 1 && in.r.Header.Get("Expect") != "" {
		// A client that asks before it uploads is told not to; a connection
		// that stays open would have to read the upload first.
		in.w.Header().Set("Connection", "close")
	}
	if in.session == nil || !in.session.Ended() { // what was under way then ends at once
		request.DrainBody(in.w, in.r)
	}
	if h.config.PassErrors || errors.Is(refusal, problem.ApplicationAway) && in.chain.HandlesErrors() {
		return refusal
	}
	switch {
	case !class.WantsJSON():
		h.show(in, h.pageOf(in, refusal))
	case class == request.Script:
		if refusal.Status == http.StatusUnauthorized {
			in.w.Header().Set("Www-Authenticate", "Bearer") // never Basic: browsers would ask for a password
		}
		detail := problem.Named(refusal.Title, h.config.ProviderLabel)
		if refusal.Code == problem.NotSignedIn.Code {
			detail = "Not authenticated" // the application's own words
		}
		problem.JSON{
			Status: refusal.Status, Retry: refusal.Retry,
			Value: problemJSON{Detail: detail, Code: refusal.Code, Reference: refusal.Reference},
		}.Write(in.w, in.r)
	default:
		problem.OwnHeader(in.w, "", refusal.Retry)
		problem.Send(in.w, in.r, refusal.Status, nil)
	}
	return nil
}

// loggedPath returns the path of r, at most 300 bytes of it: a client can send
// 16 KiB.
func loggedPath(r *http.Request) string {
	if path := r.URL.Path; len(path) > 300 {
		return strings.ToValidUTF8(path[:300], "?") + "…"
	}
	return r.URL.Path
}

// show answers the request with p, in the name of the site.
func (h *Handler) show(in *incoming, p *problem.Page) {
	p.Site, p.Provider = h.config.SiteName, h.config.ProviderLabel
	p.Write(in.w, in.r)
}

// pageOf returns the page of refusal, with its way forward.
func (h *Handler) pageOf(in *incoming, refusal *problem.Problem) *problem.Page {
	p := &problem.Page{
		Status: refusal.Status, Code: refusal.Code, Retry: refusal.Retry,
		Title: refusal.Title, Text: refusal.Text, Hint: refusal.OperatorHint(), Reference: refusal.Reference,
		User: refusal.User, SeeAll: h.origin + sessionsPath,
	}
	home := problem.Link{ID: "home", Label: "Open the site", Href: h.origin + "/"}
	retry := problem.Link{ID: "retry", Label: "Try again", Href: h.retryHref(in, refusal)}
	another := &problem.Link{ID: "sign-out", Label: "Sign out at {provider}, use another account", Href: request.Base + "/logout"}
	switch refusal.Way {
	case problem.WayRetry:
		p.Links = []problem.Link{retry}
	case problem.WayReload:
		if in.r.Method == http.MethodGet || in.r.Method == http.MethodHead {
			p.Links = []problem.Link{{ID: "retry", Label: "Try again", Href: h.localTarget(in.chain.OriginalURI())}}
		} else { // what was sent is gone, and must not be asked for instead
			p.Links, p.Retry = []problem.Link{home}, 0
		}
	case problem.WayProvider:
		p.Button, p.Links = another, []problem.Link{home}
	case problem.WayEither:
		p.Button, p.Links = another, []problem.Link{retry}
	case problem.WayHome:
		p.Links = []problem.Link{home}
	}
	if refusal.User != "" && p.Button != nil {
		p.Also = "You are signed in at {provider} as {user}."
	}
	if name, own := in.own(); own && name == "failed" { // reloading that page retries no sign-in
		p.RetryAt = retry.Href
	}
	return p
}

// retryHref starts a new sign-in to where the failed one was to end. None ends
// at one of the gate's own endpoints, except the page of sessions.
func (h *Handler) retryHref(in *incoming, refusal *problem.Problem) string {
	target := refusal.ReturnTo
	if _, own := in.own(); target == "" && in.r.Method == http.MethodGet && !own {
		target = in.chain.OriginalURI()
	}
	href := request.Base + "/login"
	if target = h.localTarget(target); target != "/" {
		href += "?next=" + url.QueryEscape(target)
	}
	return href
}
