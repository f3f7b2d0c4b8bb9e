// The callback: what the browser brings back from the provider.

package handler

import (
	"errors"
	"net/http"
	"net/url"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/flow"
	"github.com/romm-oidc/caddy-romm-oidc/handler/problem"
	"github.com/romm-oidc/caddy-romm-oidc/handler/request"
)

const (
	// responseLimit bounds the query of an authorization response, in bytes.
	responseLimit = 8 << 10
	// redeemedFor is how long a redeemed state is remembered: as long as its cookie lives.
	redeemedFor = flow.LoginLifetime
	// signInTimeout bounds what happens between an authorization response and
	// the session: token request, userinfo, the application's own sign-in.
	signInTimeout = 90 * time.Second
)

// callback answers the authorization response (OpenID Connect Core 1.0 section
// 3.1.2.5). Late, reused, bookmarked or unknown responses redirect signed-in
// users home; other users get one new sign-in, and after that a page.
func (h *Handler) callback(in *incoming) error {
	ctx := in.r.Context()
	query, err := url.ParseQuery(in.r.URL.RawQuery)
	if err != nil || len(in.r.URL.RawQuery) > responseLimit {
		return h.refuseAs(in, request.Navigation, problem.ResponseInvalid.Because(err))
	}
	state := query.Get("state")
	login, cookie, err := h.config.RelyingParty.FindLogin(ctx, h.cookies.Prefix, in.r.Cookies(), state)
	switch {
	case errors.Is(err, flow.ErrLoginUnknown) || errors.Is(err, flow.ErrLoginExpired):
		return h.strayCallback(in, state, err)
	case err != nil:
		return h.refuseAs(in, request.Navigation, problem.StorageUnavailable.Because(err))
	}
	begun := startedLogin{login, cookie}
	code, err := h.config.RelyingParty.CheckResponse(ctx, login, query)
	if err != nil {
		return h.signInFailed(in, begun, err)
	}
	result, err := h.config.Gate.redeemed.Do(ctx, state, h.now(), func() outcome { return h.signIn(in, login, code) })
	if err != nil {
		return err // the client has gone; the server's own handling is right
	}
	if result.err != nil {
		return h.signInFailed(in, begun, result.err)
	}
	http.SetCookie(in.w, h.cookies.Unset(cookie))
	http.SetCookie(in.w, h.cookies.Set(h.cookies.Ticket, result.ticket, h.config.Lifetime))
	h.dropBrowserCookies(in.w)
	problem.Redirect(in.w, http.StatusSeeOther, h.localTarget(result.returnTo))
	return nil
}

// startedLogin is a login that the browser brought back, and its cookie's name.
type startedLogin struct {
	*flow.Login
	cookie string
}

// strayCallback answers a callback that fits no login of this browser.
func (h *Handler) strayCallback(in *incoming, state string, cause error) error {
	s, err := in.lookup()
	switch {
	case err != nil:
		return h.refuseAs(in, request.Navigation, err)
	case s != nil:
		problem.Redirect(in.w, http.StatusSeeOther, "/")
		return nil
	case errors.Is(cause, flow.ErrLoginExpired):
		return h.refuseAs(in, request.Navigation, cause)
	case flow.Restarted(state): // a second try whose cookie is missing as well
		return h.refuseAs(in, request.Navigation, problem.CookiesMissing.Because(cause))
	}
	return h.startLogin(in, "/", true)
}

// signInFailed ends a sign-in on a page that leads back to where it was to end.
func (h *Handler) signInFailed(in *incoming, login startedLogin, err error) error {
	refusal := *problem.Of(err)
	refusal.ReturnTo = login.ReturnTo
	http.SetCookie(in.w, h.cookies.Unset(login.cookie))
	h.config.Observe("signed_in", refusal.Code)
	if h.keepsSession(in, err) {
		problem.Redirect(in.w, http.StatusSeeOther, h.localTarget(login.ReturnTo))
		return nil
	}
	return h.refuseAs(in, request.Navigation, &refusal)
}
