package request

import (
	"net/http"
)

// CrossOrigin reports whether r, which carries a ticket, comes from a page of
// another origin that must not speak with it: the application itself reflects
// any Origin with credentials, and the browser sends our cookie for a sibling
// subdomain too.
//
// Reading, for every method: an Origin that is not ours is refused. Sockets
// and polling are not covered by CORS at all, so that one without an Origin
// but from elsewhere is refused too. Unsafe methods follow the algorithm of
// http.CrossOriginProtection, against the public origin in place of the
// request's Host.
func CrossOrigin(r *http.Request, origin string, socket bool) bool {
	if lines, ok := r.Header["Origin"]; ok {
		return len(lines) != 1 || lines[0] != origin
	}
	if !socket && IsSafe(r.Method) {
		return false
	}
	return fromElsewhere(r)
}

// fromElsewhere reports whether a browser says that a page of another origin
// made it send r.
func fromElsewhere(r *http.Request) bool {
	switch r.Header.Get("Sec-Fetch-Site") {
	case "same-origin", "none", "":
		// Neither Origin nor Sec-Fetch-Site: not a browser of this decade,
		// hence nobody's cookie jar but its own (net/http, CrossOriginProtection).
		return false
	}
	return true
}

// CrossOriginFrame reports whether a page of another origin frames the response
// to r, where it could trick the user into clicking what they do not see.
func CrossOriginFrame(r *http.Request) bool {
	switch r.Header.Get("Sec-Fetch-Dest") {
	case "iframe", "frame", "fencedframe", "embed", "object":
		return fromElsewhere(r)
	}
	return false
}

// CrossOriginEmbed reports whether a page of another origin loads the response
// to r as an image, a script or the like. It cannot read the response, but
// sizes, errors and what a script leaves behind give away facts about the
// signed-in user.
func CrossOriginEmbed(r *http.Request) bool {
	return r.Header.Get("Sec-Fetch-Mode") == "no-cors" && fromElsewhere(r)
}

// FrameAncestors keeps an answer out of other origins' frames where the request
// did not say that it was for one: a cached page, a browser without Sec-Fetch-Dest.
const FrameAncestors = "frame-ancestors 'self'"

// IsSafe reports whether method is safe (RFC 9110 section 9.2.1).
func IsSafe(method string) bool {
	return method == http.MethodGet || method == http.MethodHead || method == http.MethodOptions
}
