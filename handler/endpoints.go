// The gate's own endpoints, below request.Base.

package handler

import (
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/romm-oidc/caddy-romm-oidc/handler/problem"
	"github.com/romm-oidc/caddy-romm-oidc/handler/request"
)

// endpointMethods are the methods that each of the gate's own endpoints
// answers, by its name below request.Base. The callback has no name.
var endpointMethods = map[string]string{
	"":                   "GET, HEAD",
	"login":              "GET, HEAD",
	"logout":             "GET, HEAD, POST",
	"signed-out":         "GET, HEAD",
	"failed":             "GET, HEAD",
	"session":            "GET, HEAD, POST",
	"backchannel-logout": "POST",
}

// errPosted refuses a response that the provider sent in a form and the gate did not
// ask for in that way. The browser sends no login cookie with it: they are not for
// requests of other sites, except links.
var errPosted = func() *problem.Problem {
	p := problem.MethodNotAllowed.Because(errors.New("the provider's response came in a form (response_mode form_post), not in the address"))
	p.Hint = "Set response_mode to query for this client at the provider, or, if it can answer in no other way, write `response_mode form_post` in the Caddyfile."
	return p
}()

// serveOwn answers the gate's own endpoint called name.
func (h *Handler) serveOwn(in *incoming, name string) error {
	allow, known := endpointMethods[name]
	if name == "" && h.config.FormPost {
		allow = "GET, HEAD, POST"
	}
	switch {
	case !known:
		return h.refuse(in, problem.NotFound)
	case !slices.Contains(strings.Split(allow, ", "), in.r.Method):
		in.w.Header().Set("Allow", allow) // RFC 9110 section 15.5.6
		if name == "" && in.r.Method == http.MethodPost {
			return h.refuseAs(in, request.Navigation, errPosted)
		}
		return h.refuse(in, problem.MethodNotAllowed)
	}
	// Nothing but a user's own request starts, ends or clears anything.
	class := in.class()
	switch {
	case class == request.Prefetch:
		return h.refuse(in, problem.Prefetch)
	case in.r.Method == http.MethodHead:
		problem.OwnHeader(in.w, "", 0)
		in.w.WriteHeader(http.StatusOK)
		return nil
	case (name == "" || name == "login") && in.r.Header.Get("Sec-Fetch-Mode") != "" && class != request.Navigation && (name != "" || class != request.Form):
		return h.refuse(in, problem.NotSignedIn) // an image, a frame or a script starts no sign-in
	}
	switch name {
	case "login":
		return h.login(in)
	case "logout":
		if in.r.Method == http.MethodPost {
			return h.signOutByPost(in)
		}
		return h.signOutByLink(in)
	case "signed-out":
		return h.signedOut(in)
	case "failed":
		return h.signInFailure(in)
	case "session":
		return h.serveSessions(in)
	case "backchannel-logout":
		return h.backchannelLogout(in)
	}
	if in.r.Method == http.MethodGet && in.r.URL.RawQuery == "" { // bookmarked, or typed
		return h.strayCallback(in, "", errNoResponse)
	}
	return h.callback(in)
}

// login starts a sign-in, also for a user who is signed in and wants to be
// another. A link of another site takes a signed-in user to their page
// instead: a sign-in would end their session, and they would not see it where
// the provider asks nothing.
func (h *Handler) login(in *incoming) error {
	next := in.r.URL.Query().Get("next")
	switch in.r.Header.Get("Sec-Fetch-Site") {
	case "same-site", "cross-site":
		s, err := in.lookup()
		if err != nil {
			return h.refuseAs(in, request.Navigation, err)
		}
		if s != nil {
			problem.Redirect(in.w, http.StatusFound, h.localTarget(next))
			return nil
		}
	}
	return h.startLogin(in, next, false)
}
