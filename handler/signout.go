package handler

import (
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/flow/session"
	"github.com/romm-oidc/caddy-romm-oidc/handler/application"
	"github.com/romm-oidc/caddy-romm-oidc/handler/problem"
	"github.com/romm-oidc/caddy-romm-oidc/handler/request"
)

// signedOutFor is how long the application's page must not sign in again by
// itself. Only old versions try: they do not follow the address that a
// sign-out answers with.
const signedOutFor = time.Minute

// signOutByScript answers the application's own sign-out button: the session
// ends, and the page is told where to go next. s is nil if there was none.
func (h *Handler) signOutByScript(w http.ResponseWriter, r *http.Request, s *session.Session) error {
	idToken := h.endSession(w, r, s)
	http.SetCookie(w, h.cookies.Set(h.cookies.SignedOut, "1", signedOutFor))
	problem.WriteJSON(w, r, http.StatusOK, h.config.Application.SignOutAnswer(h.leaveURL(r, idToken)), 0)
	return nil
}

// signOutByPost ends the session of a form on one of our own pages.
func (h *Handler) signOutByPost(w http.ResponseWriter, r *http.Request, chain application.Chain) error {
	if request.CrossOrigin(r, h.origin, false) {
		return h.refuse(w, r, chain, request.Navigation, problem.CrossOrigin)
	}
	return h.signOutByBrowser(w, r, chain)
}

// signOutByLink ends the session for a link of our own, or an address that was
// typed. A link of another site gets a button, so that it cannot end anything.
func (h *Handler) signOutByLink(w http.ResponseWriter, r *http.Request, chain application.Chain) error {
	switch r.Header.Get("Sec-Fetch-Site") {
	case "same-origin", "none":
		if r.Header.Get("Sec-Fetch-Dest") == "document" {
			return h.signOutByBrowser(w, r, chain)
		}
	}
	(&problem.Page{
		Status: http.StatusOK, Title: "Sign out?", Text: "You are about to sign out of this site.",
		Button: &problem.Link{ID: "sign-out", Label: "Sign out", Href: request.Base + "/logout"},
		Links:  []problem.Link{{ID: "home", Label: "Stay", Href: h.origin + "/"}},
	}).Write(w, r)
	return nil
}

func (h *Handler) signOutByBrowser(w http.ResponseWriter, r *http.Request, chain application.Chain) error {
	s, err := h.session(r)
	if err != nil {
		return h.refuse(w, r, chain, request.Navigation, problem.StorageUnavailable.Because(err))
	}
	problem.Redirect(w, http.StatusSeeOther, h.leaveURL(r, h.endSession(w, r, s)))
	return nil
}

// leave sends on who was signed out by an application that does not do it itself.
func (h *Handler) leave(w http.ResponseWriter, r *http.Request) error {
	problem.Redirect(w, http.StatusFound, h.leaveURL(r, ""))
	return nil
}

// endSession ends s, if any, and takes from the browser what belonged to it. It
// returns the ID token of the session, for the provider.
func (h *Handler) endSession(w http.ResponseWriter, r *http.Request, s *session.Session) (idToken string) {
	if s != nil {
		idToken = s.Record().Tokens.ID
		h.end(r.Context(), s, reasonSignedOut)
		h.config.Observe("signed_out", "ok")
	}
	http.SetCookie(w, h.cookies.Unset(h.cookies.Ticket))
	h.dropBrowserCookies(w)
	clearCache(w)
	return idToken
}

// dropBrowserCookies takes from the browser the application's own cookies,
// which are bound to who was signed in, or to nobody.
func (h *Handler) dropBrowserCookies(w http.ResponseWriter) {
	for _, name := range h.config.Application.BrowserCookies() {
		http.SetCookie(w, &http.Cookie{Name: name, Path: "/", MaxAge: -1, SameSite: http.SameSiteLaxMode, Secure: h.cookies.Secure}) //nolint:gosec // a script may read it as long as it lives: it is RomM's CSRF token
	}
}

// clearCache empties the browser's caches of the application, which was shown
// to its user only, the one behind the Back button too (W3C Clear Site Data).
// Never "storage": the emulator keeps saved games there.
func clearCache(w http.ResponseWriter) { w.Header().Set("Clear-Site-Data", `"cache"`) }

// leaveURL is where a browser goes to be signed out at the provider, too, and
// come back to our page: the provider's end-session endpoint (OpenID Connect
// RP-Initiated Logout 1.0), or Authelia's portal, or our page at once.
func (h *Handler) leaveURL(r *http.Request, idToken string) string {
	here := h.origin + request.Base + "/signed-out"
	authorization, err := h.config.RelyingParty.AuthorizationEndpoint(r.Context())
	if err != nil {
		return here
	}
	if location, ok := h.config.RelyingParty.EndSessionURL(r.Context(), idToken, here, ""); ok {
		return location
	}
	if issuer, ok := strings.CutSuffix(authorization, autheliaAuthorization); ok {
		return issuer + "/logout?rd=" + url.QueryEscape(here)
	}
	return here
}

// autheliaAuthorization is the path by which an Authelia is told from other
// providers: it has no end-session endpoint, but a portal with a logout page.
const autheliaAuthorization = "/api/oidc/authorization"

// SignedOut is the page after a sign-out. It starts nothing by itself, and
// takes nothing from a browser that was only made to load it as an image.
func (h *Handler) signedOut(w http.ResponseWriter, r *http.Request, k request.Class) error {
	if k == request.Navigation || r.Header.Get("Sec-Fetch-Mode") == "" {
		http.SetCookie(w, h.cookies.Unset(h.cookies.SignedOut))
		clearCache(w) // again: the page that signed out was still shown the first time
	}
	(&problem.Page{
		Status: http.StatusOK, Title: "You are signed out", Text: "See you soon.",
		Links: []problem.Link{{ID: "sign-in", Label: "Sign in again", Href: request.Base + "/login"}},
	}).Write(w, r)
	return nil
}
