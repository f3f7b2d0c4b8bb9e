package handler

import (
	"net/http"
	"slices"
	"strings"

	"github.com/romm-oidc/caddy-romm-oidc/handler/application"
	"github.com/romm-oidc/caddy-romm-oidc/handler/problem"
	"github.com/romm-oidc/caddy-romm-oidc/handler/request"
)

// ownMethods are the methods that each of the gate's own endpoints answers, by
// what stands behind Base.
var ownMethods = map[string]string{
	"":                   "GET, HEAD",
	"login":              "GET, HEAD",
	"logout":             "GET, HEAD, POST",
	"signed-out":         "GET, HEAD",
	"session":            "GET, HEAD, POST",
	"backchannel-logout": "POST",
}

// serveOwn answers the gate's own endpoints. name is what stands behind Base.
func (h *Handler) serveOwn(w http.ResponseWriter, r *http.Request, chain application.Chain, name string) error {
	k := h.class(r, request.Base)
	allow, known := ownMethods[name]
	switch {
	case !known:
		return h.refuse(w, r, chain, k, problem.NotFound)
	case !slices.Contains(strings.Split(allow, ", "), r.Method):
		w.Header().Set("Allow", allow) // RFC 9110 section 15.5.6
		return h.refuse(w, r, chain, k, problem.MethodNotAllowed)
	case (name == "" || name == "login") && r.Header.Get("Sec-Fetch-Mode") != "" && k != request.Navigation:
		return h.refuse(w, r, chain, k, problem.NotSignedIn) // an image, a frame or a script starts no sign-in
	}
	switch name {
	case "login":
		return h.login(w, r, chain, r.URL.Query().Get("next"))
	case "logout":
		if r.Method == http.MethodPost {
			return h.signOutByPost(w, r, chain)
		}
		return h.signOutByLink(w, r, chain)
	case "signed-out":
		return h.signedOut(w, r, k)
	case "session":
		return h.serveSessions(w, r, chain)
	case "backchannel-logout":
		return h.backchannelLogout(w, r, chain)
	}
	if r.URL.RawQuery == "" { // bookmarked, or typed
		return h.strayCallback(w, r, chain, "", nil)
	}
	return h.callback(w, r, chain)
}

// login starts a sign-in, also of who is signed in and wants to be somebody
// else. A link of another site takes them to their page instead: it would end
// their session, unseen where the provider asks nothing.
func (h *Handler) login(w http.ResponseWriter, r *http.Request, chain application.Chain, next string) error {
	switch r.Header.Get("Sec-Fetch-Site") {
	case "same-site", "cross-site":
		s, err := h.session(r)
		if err != nil {
			return h.refuse(w, r, chain, request.Navigation, problem.StorageUnavailable.Because(err))
		}
		if s != nil {
			problem.Redirect(w, http.StatusFound, h.localTarget(next))
			return nil
		}
	}
	return h.startLogin(w, r, chain, next, false)
}
