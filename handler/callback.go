package handler

import (
	"errors"
	"net/http"
	"net/url"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/flow"
	"github.com/romm-oidc/caddy-romm-oidc/handler/application"
	"github.com/romm-oidc/caddy-romm-oidc/handler/problem"
	"github.com/romm-oidc/caddy-romm-oidc/handler/request"
)

// responseLimit bounds the query of an authorization response, in bytes.
const responseLimit = 8 << 10

// redemptionAge is how long a spent state is remembered: as long as its cookie lives.
const redemptionAge = flow.LoginLifetime

// redemptionTimeout bounds what happens between an authorization response and
// the session: token request, userinfo, the application's own sign-in.
const redemptionTimeout = 90 * time.Second

// callback answers the authorization response (OpenID Connect Core 1.0 section
// 3.1.2.5). Whatever is late, spent, bookmarked or foreign ends at home for
// who is signed in, else in one new sign-in, else on a page.
func (h *Handler) callback(w http.ResponseWriter, r *http.Request, chain application.Chain) error {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil || len(r.URL.RawQuery) > responseLimit {
		return h.refuse(w, r, chain, request.Navigation, problem.ResponseInvalid.Because(err))
	}
	state := query.Get("state")
	login, cookie, err := h.config.RelyingParty.FindLogin(r.Context(), h.cookies.Prefix, r.Cookies(), state)
	switch {
	case errors.Is(err, flow.ErrLoginUnknown) || errors.Is(err, flow.ErrLoginExpired):
		return h.strayCallback(w, r, chain, state, err)
	case err != nil:
		return h.refuse(w, r, chain, request.Navigation, problem.StorageUnavailable.Because(err))
	}
	code, err := h.config.RelyingParty.CheckResponse(r.Context(), login, query)
	if err != nil {
		return h.signInFailed(w, r, chain, cookie, login.ReturnTo, err)
	}
	result, err := h.config.Gate.redeemed.Do(r.Context(), state, h.now(), func() outcome {
		return h.signIn(r, chain, login, code)
	})
	if err != nil {
		return err //nolint:wrapcheck // the visitor has gone; the server's own handling is right
	}
	if result.err != nil {
		return h.signInFailed(w, r, chain, cookie, login.ReturnTo, result.err)
	}
	http.SetCookie(w, h.cookies.Unset(cookie))
	http.SetCookie(w, h.cookies.Set(h.cookies.Ticket, result.ticket, h.config.Lifetime))
	h.dropBrowserCookies(w)
	problem.Redirect(w, http.StatusSeeOther, h.localTarget(result.returnTo))
	return nil
}

// strayCallback answers a callback whose sign-in this browser knows nothing of.
func (h *Handler) strayCallback(w http.ResponseWriter, r *http.Request, chain application.Chain, state string, cause error) error {
	s, err := h.session(r)
	switch {
	case err != nil:
		return h.refuse(w, r, chain, request.Navigation, problem.StorageUnavailable.Because(err))
	case s != nil:
		problem.Redirect(w, http.StatusSeeOther, "/")
		return nil
	case errors.Is(cause, flow.ErrLoginExpired):
		return h.refuse(w, r, chain, request.Navigation, cause)
	case flow.Restarted(state):
		// A second try, and its cookie is missing as well.
		return h.refuse(w, r, chain, request.Navigation, problem.CookiesMissing.Because(cause))
	}
	return h.startLogin(w, r, chain, "/", true)
}

// signInFailed ends a sign-in on a page whose way forward leads to ReturnTo.
func (h *Handler) signInFailed(w http.ResponseWriter, r *http.Request, chain application.Chain, cookie, returnTo string, err error) error {
	refusal := *problem.Of(err)
	refusal.ReturnTo = returnTo
	http.SetCookie(w, h.cookies.Unset(cookie))
	h.config.Observe("signed_in", refusal.Code)
	if h.keepsSession(r, err) {
		problem.Redirect(w, http.StatusSeeOther, h.localTarget(returnTo))
		return nil
	}
	return h.refuse(w, r, chain, request.Navigation, &refusal)
}
