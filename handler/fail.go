package handler

import (
	"crypto/rand"
	"net/http"
	"net/url"
	"strings"

	"go.uber.org/zap"
)

// problemJSON is a problem as scripts get it.
type problemJSON struct {
	Detail    string `json:"detail"`
	Code      string `json:"code"`
	Reference string `json:"reference,omitempty"`
}

// fail answers r with the problem that err is, in the form that its kind
// needs. Where problems are passed it returns the *Problem instead.
func (g *Gate) fail(w http.ResponseWriter, r *http.Request, chain Chain, k kind, err error) error {
	problem := new(*problemOf(err))
	problem.Reference = rand.Text()[:10]
	g.log(r, chain, problem)
	g.Observe("refused", problem.Code)
	if r.ProtoMajor == 1 && r.Header.Get("Expect") != "" {
		// Who asks before it uploads is not to upload; a connection that goes
		// on would have to read all of that first.
		w.Header().Set("Connection", "close")
	}
	if g.PassErrors {
		return problem
	}
	switch {
	case !k.wantsJSON():
		g.pageOf(problem, r, chain).write(w, r)
	case k == kindScript:
		if problem.Status == http.StatusUnauthorized {
			w.Header().Set("WWW-Authenticate", "Bearer") // never Basic: browsers would ask for a password
		}
		detail := named(problem.Title, g.ProviderLabel)
		if problem.Code == errNotSignedIn.Code {
			detail = "Not authenticated" // the application's own word for it
		}
		writeJSON(w, r, problem.Status, problemJSON{Detail: detail, Code: problem.Code, Reference: problem.Reference}, problem.Retry)
	default:
		ownHeader(w, "", problem.Retry)
		send(w, r, problem.Status, nil)
	}
	return nil
}

// log writes the line of a refusal. What every visitor causes all day, being
// signed out, is for debugging.
func (g *Gate) log(r *http.Request, chain Chain, problem *Problem) {
	write := g.Logger.Info
	switch {
	case problem.Code == errNotSignedIn.Code || problem.Code == errPrefetch.Code:
		write = g.Logger.Debug
	case problem.Status >= http.StatusInternalServerError:
		write = g.Logger.Warn
	}
	write("request refused", zap.String("code", problem.Code), zap.Int("status", problem.Status),
		zap.String("reference", problem.Reference), zap.String("method", r.Method), zap.String("path", r.URL.Path),
		zap.String("client_ip", chain.ClientIP()), zap.NamedError("cause", problem.Cause))
}

// pageOf returns the page of problem, with its way forward.
func (g *Gate) pageOf(problem *Problem, r *http.Request, chain Chain) *page {
	p := &page{
		Status: problem.Status, Code: problem.Code, Retry: problem.Retry,
		Title: named(problem.Title, g.ProviderLabel), Text: named(problem.Text, g.ProviderLabel),
		Hint: named(problem.Hint, g.ProviderLabel), Reference: problem.Reference,
	}
	home := link{ID: "home", Label: "Open the site", Href: g.origin + "/"}
	switch problem.Way {
	case WayRetry:
		p.Links = []link{{ID: "retry", Label: "Try again", Href: g.retryHref(problem, r, chain)}}
	case WayProvider:
		p.Button = &link{ID: "sign-out", Label: named("Sign out at {provider}", g.ProviderLabel), Href: Base + "/logout"}
		p.Links = []link{home}
	case WayHome:
		p.Links = []link{home}
	}
	return p
}

// retryHref starts a new sign-in to where the failed one was to end.
func (g *Gate) retryHref(problem *Problem, r *http.Request, chain Chain) string {
	target := problem.returnTo
	if target == "" && r.Method == http.MethodGet && !under(r.URL.Path, Base) {
		target = chain.OriginalURI()
	}
	href := Base + "/login"
	if target != "" && target != "/" && !strings.HasPrefix(target, Base) {
		href += "?next=" + url.QueryEscape(target)
	}
	return href
}
