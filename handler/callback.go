// The callback: what the browser brings back from the provider.

package handler

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/flow"
	"github.com/romm-oidc/caddy-romm-oidc/handler/event"
	"github.com/romm-oidc/caddy-romm-oidc/handler/problem"
	"github.com/romm-oidc/caddy-romm-oidc/handler/request"
)

const (
	// responseLimit bounds the parameters of an authorization response, in bytes.
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
	query, err := authorizationResponse(in.r)
	if err != nil {
		return h.failSignIn(in, problem.ResponseInvalid.Because(err))
	}
	state := query.Get("state")
	login, cookie, err := h.config.RelyingParty.FindLogin(ctx, h.cookies.Prefix, in.r.Cookies(), state)
	switch {
	case errors.Is(err, flow.ErrLoginExpired):
		expired := *problem.LoginExpired.Because(err)
		expired.ReturnTo = login.ReturnTo
		return h.strayCallback(in, state, &expired)
	case errors.Is(err, flow.ErrLoginUnknown):
		return h.strayCallback(in, state, strayCause(query))
	case err != nil: // the code is not spent: the same address again may succeed
		return h.refuseAs(in, request.Navigation, problem.StorageUnavailable.Because(err))
	}
	begun := startedLogin{login, cookie}
	in.former = h.config.Gate.Sessions.InMemory(login.Session)
	in.r = in.r.WithContext(h.config.Gate.Followed.Came(ctx, state))
	code, err := h.config.RelyingParty.CheckResponse(ctx, login, query)
	if err != nil {
		return h.signInFailed(in, begun, err)
	}
	result, err := h.config.Gate.redeemed.Do(ctx, state, h.now(), func() outcome { return h.signIn(in, login, code) })
	if err != nil {
		return err // the client has gone; the server's own handling is right
	}
	if result.err != nil {
		h.keepHint(in, result.idToken, problem.Of(result.err))
		return h.signInFailed(in, begun, result.err)
	}
	h.config.Gate.Followed.Ended(state, nil)
	http.SetCookie(in.w, h.cookies.Unset(cookie))
	if request.CookieValue(in.r, h.cookies.Restarts) != "" {
		http.SetCookie(in.w, h.cookies.Unset(h.cookies.Restarts))
	}
	h.takeHint(in) // of an earlier refusal
	http.SetCookie(in.w, h.cookies.Set(h.cookies.Ticket, result.ticket, h.config.Lifetime))
	h.dropBrowserCookies(in.w)
	problem.Redirect(in.w, http.StatusSeeOther, h.localTarget(result.returnTo))
	return nil
}

// authorizationResponse returns the parameters of the provider's response: those in
// the form of a POST, else those in the address.
func authorizationResponse(r *http.Request) (url.Values, error) {
	if r.Method == http.MethodPost {
		if r.ContentLength > responseLimit {
			return nil, errResponseTooLong
		}
		err := r.ParseForm()
		return r.PostForm, err
	}
	if len(r.URL.RawQuery) > responseLimit {
		return nil, errResponseTooLong
	}
	return url.ParseQuery(r.URL.RawQuery)
}

var errResponseTooLong = fmt.Errorf("the provider's response has more than %d bytes", responseLimit)

// startedLogin is a login that the browser brought back, and its cookie's name.
type startedLogin struct {
	*flow.Login
	cookie string
}

// maxRestarts is how often the gate starts a sign-in by itself in place of one
// that is not found again, before it says so.
const maxRestarts = 2

// errNoResponse is the cause of a callback without a query: it was bookmarked or
// typed, or something on the way dropped the query.
var errNoResponse = errors.New("the callback came without a query")

// oauthError matches the codes of error responses, so that nothing else from
// the query reaches the page or the log.
var oauthError = regexp.MustCompile(`^[a-z_]{1,40}$`)

// strayCause says what is wrong with a response that fits no login of the browser.
func strayCause(query url.Values) error {
	cause := "its state is that of no sign-in of this browser"
	if query.Get("state") == "" {
		cause = "it has no state"
	}
	if code := query.Get("error"); oauthError.MatchString(code) {
		cause += ", and it is the error " + code
	}
	return fmt.Errorf("%w: %s", flow.ErrLoginUnknown, cause)
}

// strayCallback answers a callback that fits no login of this browser. A sign-in
// in its place leads to the page that the browser asked for last.
func (h *Handler) strayCallback(in *incoming, state string, cause error) error {
	s, err := in.lookup()
	switch {
	case err != nil:
		return h.refuseAs(in, request.Navigation, err)
	case s != nil:
		problem.Redirect(in.w, http.StatusSeeOther, "/")
		return nil
	case errors.Is(cause, problem.LoginExpired):
		h.followEnd(state, problem.Of(cause))
		return h.failSignIn(in, cause)
	}
	came := h.cookies.Came(in.r)
	restarts, _ := strconv.Atoi(request.CookieValue(in.r, h.cookies.Restarts))
	target := h.config.RelyingParty.LatestReturnTo(in.r.Context(), h.cookies.Prefix, in.r.Cookies())
	var refusal problem.Problem
	switch {
	case !came && (flow.Restarted(state) || state == "" && !errors.Is(cause, errNoResponse)):
		refusal = *problem.CookiesMissing.Because(cause)
	case restarts >= maxRestarts:
		refusal = *problem.StateLost.Because(cause)
		refusal.Hint += " The last response: " + cause.Error() + "."
	default:
		http.SetCookie(in.w, h.loginCookie(h.cookies.Restarts, strconv.Itoa(max(restarts, 0)+1), flow.LoginLifetime))
		return h.startLogin(in, target, true)
	}
	refusal.ReturnTo = target
	h.followEnd(state, &refusal)
	return h.failSignIn(in, &refusal)
}

// signInFailed ends a sign-in on a page that leads back to where it was to end.
func (h *Handler) signInFailed(in *incoming, login startedLogin, err error) error {
	refusal := *problem.Of(err)
	refusal.ReturnTo = login.ReturnTo
	h.followEnd(login.State, &refusal)
	http.SetCookie(in.w, h.cookies.Unset(login.cookie))
	if h.keepsSession(in, err) {
		h.config.Observe(event.SignIns, refusal.Code)
		problem.Redirect(in.w, http.StatusSeeOther, h.localTarget(login.ReturnTo))
		return nil
	}
	return h.failSignIn(in, &refusal)
}
