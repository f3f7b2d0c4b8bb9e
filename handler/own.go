package handler

import (
	"net/http"
	"slices"
	"strings"
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
func (g *Gate) serveOwn(w http.ResponseWriter, r *http.Request, chain Chain, name string) error {
	k := g.kindOf(r, Base)
	allow, known := ownMethods[name]
	switch {
	case !known:
		return g.fail(w, r, chain, k, errNotFound)
	case !slices.Contains(strings.Split(allow, ", "), r.Method):
		w.Header().Set("Allow", allow) // RFC 9110 section 15.5.6
		return g.fail(w, r, chain, k, errMethod)
	case (name == "" || name == "login") && r.Header.Get("Sec-Fetch-Mode") != "" && k != kindNavigation:
		return g.fail(w, r, chain, k, errNotSignedIn) // an image, a frame or a script starts no sign-in
	}
	switch name {
	case "login":
		return g.login(w, r, chain, r.URL.Query().Get("next"))
	case "logout":
		if r.Method == http.MethodPost {
			return g.signOutByPost(w, r, chain)
		}
		return g.signOutByLink(w, r, chain)
	case "signed-out":
		return g.signedOut(w, r, k)
	case "session":
		return g.serveSessions(w, r, chain)
	case "backchannel-logout":
		return g.backchannelLogout(w, r, chain)
	}
	if r.URL.RawQuery == "" { // bookmarked, or typed
		return g.strayCallback(w, r, chain, "", nil)
	}
	return g.callback(w, r, chain)
}

// login starts a sign-in, also of who is signed in and wants to be somebody
// else. A link of another site takes them to their page instead: it would end
// their session, unseen where the provider asks nothing.
func (g *Gate) login(w http.ResponseWriter, r *http.Request, chain Chain, next string) error {
	switch r.Header.Get("Sec-Fetch-Site") {
	case "same-site", "cross-site":
		s, err := g.session(r)
		if err != nil {
			return g.fail(w, r, chain, kindNavigation, errStorageUnavailable.Because(err))
		}
		if s != nil {
			redirect(w, http.StatusFound, g.localTarget(next))
			return nil
		}
	}
	return g.startLogin(w, r, chain, next, false)
}
