// Signing out, here and at the provider.

package handler

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/flow"
	"github.com/romm-oidc/caddy-romm-oidc/flow/session"
	"github.com/romm-oidc/caddy-romm-oidc/handler/problem"
	"github.com/romm-oidc/caddy-romm-oidc/handler/request"
)

// signedOutPath is the page after a sign-out.
const signedOutPath = request.Base + "/signed-out"

// signedOutFor is how long the application's page must not sign in again by
// itself. Only old versions try: they do not follow the address that a
// sign-out answers with.
const signedOutFor = time.Minute

// signOutByScript answers the application's own sign-out button: the session,
// if there is one, ends, and the page is told where to go next.
func (h *Handler) signOutByScript(in *incoming) error {
	idToken := h.forget(in, in.session)
	http.SetCookie(in.w, h.cookies.Set(h.cookies.SignedOut, "1", signedOutFor))
	problem.JSON{Status: http.StatusOK, Value: h.config.Application.SignOutAnswer(h.leaveURL(in, idToken))}.Write(in.w, in.r)
	return nil
}

// signOutByPost ends the session for a form on one of the gate's own pages.
func (h *Handler) signOutByPost(in *incoming) error {
	if request.CrossOrigin(in.r, h.origin, false) {
		return h.refuseAs(in, request.Navigation, problem.CrossOrigin)
	}
	return h.signOutByBrowser(in)
}

// signOutByLink ends the session for one of the gate's own links, or an address that was
// typed. A link of another site gets a button, so that it cannot end anything.
func (h *Handler) signOutByLink(in *incoming) error {
	s, err := in.lookup()
	switch {
	case err != nil:
		return h.refuseAs(in, request.Navigation, err)
	case s == nil:
		problem.Redirect(in.w, http.StatusSeeOther, signedOutPath)
		return nil
	case in.r.Header.Get("Sec-Fetch-Dest") == "document" && (in.r.Header.Get("Sec-Fetch-Site") == "same-origin" || request.IsTyped(in.r)):
		return h.signOutByBrowser(in)
	}
	h.show(in, &problem.Page{
		Status: http.StatusOK, Title: "Sign out?", Text: "You are about to sign out of this site.",
		Button: &problem.Link{ID: "sign-out", Label: "Sign out", Href: request.Base + "/logout"},
		Links:  []problem.Link{{ID: "home", Label: "Stay", Href: h.origin + "/"}},
	})
	return nil
}

func (h *Handler) signOutByBrowser(in *incoming) error {
	s, err := in.lookup()
	if err != nil {
		return h.refuseAs(in, request.Navigation, err)
	}
	hint := h.takeHint(in)
	if idToken := h.forget(in, s); idToken != "" {
		hint = idToken
	}
	problem.Redirect(in.w, http.StatusSeeOther, h.leaveURL(in, hint))
	return nil
}

// leave sends on a user who was signed out by an application that does not
// send them on itself.
func (h *Handler) leave(in *incoming) error {
	problem.Redirect(in.w, http.StatusFound, h.leaveURL(in, ""))
	return nil
}

// forget ends s, if any, and takes from the browser what belonged to it. It
// returns the ID token of the session, for the provider.
func (h *Handler) forget(in *incoming, s *session.Session) (idToken string) {
	if s != nil {
		idToken = s.Record().Tokens.ID
		h.end(in.acting(in.r.Context()), s, reasonSignedOut)
	}
	in.dropTicket(s)
	h.dropBrowserCookies(in.w)
	clearCache(in.w)
	return idToken
}

// dropBrowserCookies takes from the browser the application's own cookies,
// which are bound to the user who was signed in.
func (h *Handler) dropBrowserCookies(w http.ResponseWriter) {
	for _, name := range h.config.Application.BrowserCookies() {
		http.SetCookie(w, &http.Cookie{Name: name, Path: "/", MaxAge: -1, SameSite: http.SameSiteLaxMode, Secure: h.cookies.Secure}) //nolint:gosec // the application's scripts read it: it is a CSRF token
	}
}

// clearCache empties the browser's caches of the application, which was shown
// to its user only, the one behind the Back button too (W3C Clear Site Data,
// https://www.w3.org/TR/clear-site-data/). Never "storage": the emulator keeps
// saved games there.
func clearCache(w http.ResponseWriter) { w.Header().Set("Clear-Site-Data", `"cache"`) }

// leaveURL is where a browser goes to be signed out at the provider, too, and
// come back to the signed-out page: the provider's end-session endpoint
// (OpenID Connect RP-Initiated Logout 1.0,
// https://openid.net/specs/openid-connect-rpinitiated-1_0.html), or Authelia's
// portal, or the signed-out page at once.
func (h *Handler) leaveURL(in *incoming, idToken string) string {
	here, ctx := h.origin+signedOutPath, in.r.Context()
	authorization, err := h.config.RelyingParty.AuthorizationEndpoint(ctx)
	if err != nil {
		return here
	}
	issuer, isAuthelia := strings.CutSuffix(authorization, autheliaAuthorization)
	state := rand.Text()
	location, ok := h.config.RelyingParty.EndSessionURL(ctx, idToken, here, state)
	if !ok && !isAuthelia { // it may have one since
		ctx, cancel := context.WithTimeout(ctx, rereadTimeout)
		defer cancel()
		h.config.RelyingParty.Reachable(ctx)
		location, ok = h.config.RelyingParty.EndSessionURL(ctx, idToken, here, state)
	}
	switch {
	case ok:
		http.SetCookie(in.w, h.cookies.Set(h.cookies.Logout, state, flow.LoginLifetime))
		return location
	case isAuthelia:
		return issuer + "/logout?rd=" + url.QueryEscape(here)
	}
	return here
}

// rereadTimeout bounds how long a sign-out waits for the provider's metadata.
const rereadTimeout = 2 * time.Second

// autheliaAuthorization is the path of Authelia's authorization endpoint. The
// gate recognizes Authelia by it, because Authelia has no end-session endpoint:
// its users sign out on a page of its portal.
const autheliaAuthorization = "/api/oidc/authorization"

// signedOut is the page after a sign-out. It starts nothing by itself, and
// takes nothing from a browser that another site made load it as an image. A
// provider that sends the browser back returns the state of the request (RP-Initiated
// Logout 1.0, sections 2 and 3); another one is from no sign-out of this browser.
func (h *Handler) signedOut(in *incoming) error {
	if state := in.r.URL.Query().Get("state"); state != "" {
		if subtle.ConstantTimeCompare([]byte(state), []byte(request.CookieValue(in.r, h.cookies.Logout))) != 1 {
			return h.refuseAs(in, request.Navigation, problem.LogoutUnknown)
		}
		http.SetCookie(in.w, h.cookies.Unset(h.cookies.Logout))
		problem.Redirect(in.w, http.StatusSeeOther, signedOutPath) // which can be reloaded
		return nil
	}
	s, err := in.lookup()
	switch {
	case err != nil:
		return h.refuseAs(in, request.Navigation, err)
	case s != nil:
		h.stillSignedIn(s).Write(in.w, in.r)
		return nil
	}
	if in.class() == request.Navigation || in.r.Header.Get("Sec-Fetch-Mode") == "" {
		http.SetCookie(in.w, h.cookies.Unset(h.cookies.SignedOut))
		clearCache(in.w) // again: the page that signed out was still shown the first time
	}
	h.show(in, &problem.Page{
		Status: http.StatusOK, Title: "You are signed out", Text: "See you soon.", SeeAll: sessionsPath,
		Links: []problem.Link{{ID: "sign-in", Label: "Sign in again", Href: request.Base + "/login"}},
	})
	return nil
}

// stillSignedIn is the signed-out page for a user who is signed in.
func (h *Handler) stillSignedIn(s *session.Session) *problem.Page {
	return &problem.Page{
		Status: http.StatusOK, Title: "You are signed in", Text: "You are signed in as {user}.", User: s.Record().Identity.Username, SeeAll: sessionsPath,
		Button: &problem.Link{ID: "sign-out", Label: "Sign out", Href: request.Base + "/logout"},
		Links:  []problem.Link{{ID: "home", Label: "Open the site", Href: h.origin + "/"}},
	}
}
