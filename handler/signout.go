package handler

import (
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/flow/session"
)

// signedOutFor is how long the application's page must not sign in again by
// itself. Only old versions try: they do not follow the address that a
// sign-out answers with.
const signedOutFor = time.Minute

// signOutByScript answers the application's own sign-out button: the session
// ends, and the page is told where to go next. s is nil if there was none.
func (g *Gate) signOutByScript(w http.ResponseWriter, r *http.Request, s *session.Session) error {
	idToken := g.forget(w, r, s)
	http.SetCookie(w, g.cookies.set(g.cookies.signedOut, "1", signedOutFor))
	writeJSON(w, r, http.StatusOK, g.Application.SignOutAnswer(g.leaveURL(r, idToken)), 0)
	return nil
}

// signOutByPost ends the session of a form on one of our own pages.
func (g *Gate) signOutByPost(w http.ResponseWriter, r *http.Request, chain Chain) error {
	if crossOrigin(r, g.origin, false) {
		return g.fail(w, r, chain, kindNavigation, errCrossOrigin)
	}
	return g.signOutByBrowser(w, r, chain)
}

// signOutByLink ends the session for a link of our own, or an address that was
// typed. A link of another site gets a button, so that it cannot end anything.
func (g *Gate) signOutByLink(w http.ResponseWriter, r *http.Request, chain Chain) error {
	switch r.Header.Get("Sec-Fetch-Site") {
	case "same-origin", "none":
		if r.Header.Get("Sec-Fetch-Dest") == "document" {
			return g.signOutByBrowser(w, r, chain)
		}
	}
	(&page{
		Status: http.StatusOK, Title: "Sign out?", Text: "You are about to sign out of this site.",
		Button: &link{ID: "sign-out", Label: "Sign out", Href: Base + "/logout"},
		Links:  []link{{ID: "home", Label: "Stay", Href: g.origin + "/"}},
	}).write(w, r)
	return nil
}

func (g *Gate) signOutByBrowser(w http.ResponseWriter, r *http.Request, chain Chain) error {
	s, err := g.session(r)
	if err != nil {
		return g.fail(w, r, chain, kindNavigation, errStorageUnavailable.Because(err))
	}
	redirect(w, http.StatusSeeOther, g.leaveURL(r, g.forget(w, r, s)))
	return nil
}

// leave sends on who was signed out by an application that does not do it itself.
func (g *Gate) leave(w http.ResponseWriter, r *http.Request) error {
	redirect(w, http.StatusFound, g.leaveURL(r, ""))
	return nil
}

// forget ends s, if any, and takes from the browser what belonged to it. It
// returns the ID token of the session, for the provider.
func (g *Gate) forget(w http.ResponseWriter, r *http.Request, s *session.Session) (idToken string) {
	if s != nil {
		idToken = s.Record().Tokens.ID
		g.end(r.Context(), s, reasonSignedOut)
		g.Observe("signed_out", "ok")
	}
	http.SetCookie(w, g.cookies.unset(g.cookies.ticket))
	g.dropBrowserCookies(w)
	clearCache(w)
	return idToken
}

// dropBrowserCookies takes from the browser the application's own cookies,
// which are bound to who was signed in, or to nobody.
func (g *Gate) dropBrowserCookies(w http.ResponseWriter) {
	for _, name := range g.Application.BrowserCookies() {
		http.SetCookie(w, &http.Cookie{Name: name, Path: "/", MaxAge: -1, SameSite: http.SameSiteLaxMode, Secure: g.cookies.secure}) //nolint:gosec // a script may read it as long as it lives: it is RomM's CSRF token
	}
}

// clearCache empties the browser's caches of the application, which was shown
// to its user only, the one behind the Back button too (W3C Clear Site Data).
// Never "storage": the emulator keeps saved games there.
func clearCache(w http.ResponseWriter) { w.Header().Set("Clear-Site-Data", `"cache"`) }

// leaveURL is where a browser goes to be signed out at the provider, too, and
// come back to our page: the provider's end-session endpoint (OpenID Connect
// RP-Initiated Logout 1.0), or Authelia's portal, or our page at once.
func (g *Gate) leaveURL(r *http.Request, idToken string) string {
	here := g.origin + Base + "/signed-out"
	provider, err := g.RelyingParty.Provider(r.Context())
	if err != nil {
		return here
	}
	if location, ok := g.RelyingParty.EndSessionURL(r.Context(), idToken, here, ""); ok {
		return location
	}
	if issuer, ok := strings.CutSuffix(provider.AuthorizationEndpoint, autheliaAuthorization); ok {
		return issuer + "/logout?rd=" + url.QueryEscape(here)
	}
	return here
}

// autheliaAuthorization is the path by which an Authelia is told from other
// providers: it has no end-session endpoint, but a portal with a logout page.
const autheliaAuthorization = "/api/oidc/authorization"

// signedOut is the page after a sign-out. It starts nothing by itself, and
// takes nothing from a browser that was only made to load it as an image.
func (g *Gate) signedOut(w http.ResponseWriter, r *http.Request, k kind) error {
	if k == kindNavigation || r.Header.Get("Sec-Fetch-Mode") == "" {
		http.SetCookie(w, g.cookies.unset(g.cookies.signedOut))
		clearCache(w) // again: the page that signed out was still shown the first time
	}
	(&page{
		Status: http.StatusOK, Title: "You are signed out", Text: "See you soon.",
		Links: []link{{ID: "sign-in", Label: "Sign in again", Href: Base + "/login"}},
	}).write(w, r)
	return nil
}
