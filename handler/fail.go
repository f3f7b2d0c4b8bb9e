package handler

import (
	"crypto/rand"
	"net/http"
	"net/url"
	"strings"

	"go.uber.org/zap"
)

// problemJSON is a refusal as scripts get it.
type problemJSON struct {
	Detail    string `json:"detail"`
	Code      string `json:"code"`
	Reference string `json:"reference,omitempty"`
}

// fail answers r with the refusal that err is, in the form that its kind
// needs. Where problems are passed it returns the *Problem instead.
func (g *Gate) fail(w http.ResponseWriter, r *http.Request, chain Chain, k kind, err error) error {
	refusal := new(*problemOf(err))
	refusal.Reference = rand.Text()[:10]
	g.log(r, chain, refusal)
	g.Observe("refused", refusal.Code)
	if r.ProtoMajor == 1 && r.Header.Get("Expect") != "" {
		// Who asks before it uploads is not to upload; a connection that goes
		// on would have to read all of that first.
		w.Header().Set("Connection", "close")
	}
	if g.PassErrors {
		return refusal
	}
	switch {
	case !k.wantsJSON():
		g.pageOf(refusal, r, chain).write(w, r)
	case k == kindScript:
		if refusal.Status == http.StatusUnauthorized {
			w.Header().Set("WWW-Authenticate", "Bearer") // never Basic: browsers would ask for a password
		}
		detail := named(refusal.Title, g.ProviderLabel)
		if refusal.Code == errNotSignedIn.Code {
			detail = "Not authenticated" // the application's own word for it
		}
		writeJSON(w, r, refusal.Status, problemJSON{Detail: detail, Code: refusal.Code, Reference: refusal.Reference}, refusal.Retry)
	default:
		ownHeader(w, "", refusal.Retry)
		send(w, r, refusal.Status, nil)
	}
	return nil
}

// log writes the line of a refusal. What every visitor causes all day, being
// signed out, is for debugging.
func (g *Gate) log(r *http.Request, chain Chain, refusal *Problem) {
	write := g.Logger.Info
	switch {
	case refusal.Code == errNotSignedIn.Code || refusal.Code == errPrefetch.Code:
		write = g.Logger.Debug
	case refusal.Status >= http.StatusInternalServerError:
		write = g.Logger.Warn
	}
	write("request refused", zap.String("code", refusal.Code), zap.Int("status", refusal.Status),
		zap.String("reference", refusal.Reference), zap.String("method", r.Method), zap.String("path", r.URL.Path),
		zap.String("client_ip", chain.ClientIP()), zap.NamedError("cause", refusal.Cause))
}

// pageOf returns the page of refusal, with its way forward.
func (g *Gate) pageOf(refusal *Problem, r *http.Request, chain Chain) *page {
	p := &page{
		Status: refusal.Status, Code: refusal.Code, Retry: refusal.Retry,
		Title: named(refusal.Title, g.ProviderLabel), Text: named(refusal.Text, g.ProviderLabel),
		Hint: named(refusal.Hint, g.ProviderLabel), Reference: refusal.Reference,
	}
	home := link{ID: "home", Label: "Open the site", Href: g.origin + "/"}
	switch refusal.Way {
	case WayRetry:
		p.Links = []link{{ID: "retry", Label: "Try again", Href: g.retryHref(refusal, r, chain)}}
	case WayProvider:
		p.Button = &link{ID: "sign-out", Label: named("Sign out at {provider}", g.ProviderLabel), Href: Base + "/logout"}
		p.Links = []link{home}
	case WayHome:
		p.Links = []link{home}
	}
	return p
}

// retryHref starts a new sign-in to where the failed one was to end.
func (g *Gate) retryHref(refusal *Problem, r *http.Request, chain Chain) string {
	target := refusal.returnTo
	if target == "" && r.Method == http.MethodGet && !under(r.URL.Path, Base) {
		target = chain.OriginalURI()
	}
	href := Base + "/login"
	if target != "" && target != "/" && !strings.HasPrefix(target, Base) {
		href += "?next=" + url.QueryEscape(target)
	}
	return href
}
