package handler

import (
	"net/http"
)

// crossOrigin reports whether r, which carries a ticket, comes from a page of
// another origin that must not speak with it: the application itself reflects
// any Origin with credentials, and the browser sends our cookie for a sibling
// subdomain too.
//
// Reading, for every method: an Origin that is not ours is refused. Sockets
// and polling are not covered by CORS at all, so that one without an Origin
// but from elsewhere is refused too. Unsafe methods follow the algorithm of
// http.CrossOriginProtection, against the public origin in place of the
// request's Host.
func crossOrigin(r *http.Request, origin string, socket bool) bool {
	if lines, ok := r.Header["Origin"]; ok {
		return len(lines) != 1 || lines[0] != origin
	}
	if !socket && isSafe(r.Method) {
		return false
	}
	switch r.Header.Get("Sec-Fetch-Site") {
	case "same-origin", "none", "":
		// Neither Origin nor Sec-Fetch-Site: not a browser of this decade,
		// hence nobody's cookie jar but its own (net/http, CrossOriginProtection).
		return false
	}
	return true
}

// isSafe reports whether method is safe (RFC 9110 section 9.2.1).
func isSafe(method string) bool {
	return method == http.MethodGet || method == http.MethodHead || method == http.MethodOptions
}
