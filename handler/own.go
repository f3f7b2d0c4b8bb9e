package handler

import "net/http"

// serveOwn answers the gate's own endpoints. name is what stands behind Base.
func (g *Gate) serveOwn(w http.ResponseWriter, r *http.Request, chain Chain, name string) error {
	get := r.Method == http.MethodGet || r.Method == http.MethodHead
	if k := kindOf(r, Base, g.Application); get && (name == "" || name == "login") && r.Header.Get("Sec-Fetch-Mode") != "" && k != kindNavigation {
		return g.fail(w, r, chain, k, errNotSignedIn) // an image, a frame or a script starts no sign-in
	}
	switch name {
	case "":
		if !get {
			return g.notLikeThis(w, r, chain, "GET, HEAD")
		}
		if r.URL.RawQuery == "" { // bookmarked, or typed
			return g.strayCallback(w, r, chain, "", nil)
		}
		return g.callback(w, r, chain)
	case "login":
		if !get {
			return g.notLikeThis(w, r, chain, "GET, HEAD")
		}
		return g.startLogin(w, r, chain, r.URL.Query().Get("next"), false)
	case "logout":
		switch {
		case r.Method == http.MethodPost:
			return g.signOutByPost(w, r, chain)
		case get:
			return g.signOutByLink(w, r, chain)
		}
		return g.notLikeThis(w, r, chain, "GET, HEAD, POST")
	case "backchannel-logout":
		if r.Method != http.MethodPost {
			return g.notLikeThis(w, r, chain, "POST")
		}
		return g.backchannelLogout(w, r, chain)
	case "session":
		if !get && r.Method != http.MethodPost {
			return g.notLikeThis(w, r, chain, "GET, HEAD, POST")
		}
		return g.serveSessions(w, r, chain)
	case "signed-out":
		if !get {
			return g.notLikeThis(w, r, chain, "GET, HEAD")
		}
		return g.signedOut(w, r)
	}
	return g.fail(w, r, chain, kindOf(r, Base, g.Application), errNotFound)
}

// notLikeThis refuses a method (RFC 9110 section 15.5.6).
func (g *Gate) notLikeThis(w http.ResponseWriter, r *http.Request, chain Chain, allow string) error {
	w.Header().Set("Allow", allow)
	return g.fail(w, r, chain, kindOf(r, Base, g.Application), errMethod)
}
