// Requests that pages of other origins cause with the user's cookies.

package request

import "net/http"

// CrossOrigin reports whether r, which carries a ticket, comes from a page of
// another origin that must not make requests as the user. The gate has to
// decide that: the application may reflect any Origin with credentials, and the
// browser sends the gate's cookie with requests from sibling subdomains.
//
// An Origin other than origin counts for every method, except "null" from a page
// of the same origin: browsers send that under Referrer-Policy: no-referrer. CORS
// does not cover WebSockets and their polling, so these also count if there is no
// Origin but Sec-Fetch-Site names another site. So do unsafe methods, as in
// [http.CrossOriginProtection], with the public origin in place of the request's
// Host.
func CrossOrigin(r *http.Request, origin string, socket bool) bool {
	if lines, ok := r.Header["Origin"]; ok {
		if len(lines) == 1 && lines[0] == "null" {
			return field(r, "Sec-Fetch-Site") != "same-origin"
		}
		return len(lines) != 1 || lines[0] != origin
	}
	if !socket && IsSafe(r.Method) {
		return false
	}
	return fromElsewhere(r)
}

// fromElsewhere reports whether the browser says that a page of another origin
// caused r.
func fromElsewhere(r *http.Request) bool {
	switch field(r, "Sec-Fetch-Site") {
	case "same-origin", "none", "":
		// A client that sends neither Origin nor Sec-Fetch-Site is not a current
		// browser, so no page can use a user's cookies through it
		// (http.CrossOriginProtection).
		return false
	}
	return true
}

// CrossOriginFrame reports whether a page of another origin frames the response
// to r, where it could trick the user into clicking what they do not see.
func CrossOriginFrame(r *http.Request) bool {
	switch field(r, "Sec-Fetch-Dest") {
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
	return field(r, "Sec-Fetch-Mode") == "no-cors" && fromElsewhere(r)
}

// FrameAncestors is a Content-Security-Policy that keeps a response out of other
// origins' frames where CrossOriginFrame cannot: cached pages, and browsers
// without Sec-Fetch-Dest.
const FrameAncestors = "frame-ancestors 'self'"

// IsSafe reports whether method is safe ([RFC 9110 section 9.2.1]).
//
// [RFC 9110 section 9.2.1]: https://www.rfc-editor.org/rfc/rfc9110#section-9.2.1
func IsSafe(method string) bool {
	return method == http.MethodGet || method == http.MethodHead || method == http.MethodOptions
}
