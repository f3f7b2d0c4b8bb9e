// What is removed from every request before it can speak for a user.

package request

import (
	"net/http"
	"strings"
)

// identityFields are the request header fields by which proxies tell an
// application who the user is. No client may send one through the gate, in any
// spelling: some servers downstream treat "-", "_" and "." as the same
// (CVE-2025-64484, CVE-2026-39858, CVE-2026-30851).
var identityFields = fieldSet(
	"Remote-User", "Remote-Email", "Remote-Name", "Remote-Groups", "Remote-Username",
	"X-Remote-User", "X-Remote-Email", "X-Remote-Name", "X-Remote-Group", "X-Remote-Groups",
	"X-Forwarded-User", "X-Forwarded-Email", "X-Forwarded-Name", "X-Forwarded-Groups",
	"X-Forwarded-Preferred-Username", "X-Forwarded-Access-Token", "X-Forwarded-Id-Token",
	"X-Auth-Request-User", "X-Auth-Request-Email", "X-Auth-Request-Groups",
	"X-Auth-Request-Preferred-Username", "X-Auth-Request-Access-Token", "X-Auth-Request-Redirect",
	"X-Authenticated-User", "X-User", "X-Email", "X-Username", "X-Userinfo", "X-Id-Token", "X-Access-Token",
	"X-Webauth-User", "X-Webauth-Email", "X-Webauth-Name", "X-Token-User-Name", "X-Token-User-Email",
	"X-Token-User-Roles", "X-Token-Subject", "Auth-User", "Auth-Request-User", "User",
)

func fieldSet(names ...string) map[string]bool {
	set := make(map[string]bool, len(names))
	for _, name := range names {
		set[strings.ToLower(name)] = true
	}
	return set
}

// The lengths of the shortest and the longest identity field, in bytes.
const (
	shortestIdentityField = len("User")
	longestIdentityField  = len("X-Auth-Request-Preferred-Username")
)

// IsIdentityField reports whether name is an identity field in any spelling.
func IsIdentityField(name string) bool { return beginsLikeIdentity(name) && isSpelledIdentity(name) }

// beginsLikeIdentity reports whether name begins like an identity field: X, Rem but
// not Referer, Au but not Accept, or is as short as User. Strip asks about each field
// of each request, so this small check comes first, and the compiler inlines it.
func beginsLikeIdentity(name string) bool {
	if len(name) < shortestIdentityField {
		return false
	}
	c := name[0] | 0x20
	return c == 'x' || c == 'r' && name[2]|0x20 == 'm' || c == 'a' && name[1]|0x20 == 'u' || c == 'u' && len(name) == shortestIdentityField
}

func isSpelledIdentity(name string) bool {
	if len(name) > longestIdentityField {
		return false
	}
	var spelled [longestIdentityField]byte
	for i := range len(name) {
		c := name[i]
		switch {
		case c == '_' || c == '.':
			c = '-'
		case 'A' <= c && c <= 'Z':
			c |= 0x20
		}
		spelled[i] = c
	}
	return identityFields[string(spelled[:len(name)])]
}

// Strip removes from r everything that could name a user besides the gate's
// stamp, and everything that could remove the stamp again. It must run first, on
// every request.
func Strip(r *http.Request) {
	// If a client names "Cookie" in Connection, reverse_proxy deletes the stamp
	// as a hop-by-hop field (CVE-2024-45410, CVE-2026-29054).
	socket := isWebSocket(r)
	for name := range r.Header {
		if name == "" || IsIdentityField(name) || isHopField(name) && (!socket || name != "Upgrade") {
			delete(r.Header, name)
		}
	}
	if socket {
		r.Header["Connection"] = []string{"Upgrade"}
	}
	r.Trailer = nil
}

// isHopField reports whether the field is for the connection to the gate only.
func isHopField(name string) bool {
	return name == "Connection" || name == "Upgrade" || name == "Http2-Settings"
}

// isWebSocket reports whether r is the handshake of a WebSocket ([RFC 6455
// section 4.1]). The application speaks no other protocol, and one that it
// switched to by mistake, such as h2c, would carry requests past the gate.
//
// [RFC 6455 section 4.1]: https://www.rfc-editor.org/rfc/rfc6455#section-4.1
func isWebSocket(r *http.Request) bool {
	upgrade := r.Header["Upgrade"]
	if r.Method != http.MethodGet || len(upgrade) != 1 || !strings.EqualFold(strings.TrimSpace(upgrade[0]), "websocket") {
		return false
	}
	for _, line := range r.Header["Connection"] {
		for option := range strings.SplitSeq(line, ",") {
			if strings.EqualFold(strings.TrimSpace(option), "upgrade") {
				return true
			}
		}
	}
	return false
}

// IsSocket reports whether r opens a WebSocket: as an upgrade of HTTP/1.1
// ([RFC 6455]), or as an extended CONNECT of HTTP/2 ([RFC 8441]) or HTTP/3
// ([RFC 9220]). The servers of the latter two store the protocol in different
// places.
//
// [RFC 6455]: https://www.rfc-editor.org/rfc/rfc6455
// [RFC 8441]: https://www.rfc-editor.org/rfc/rfc8441
// [RFC 9220]: https://www.rfc-editor.org/rfc/rfc9220
func IsSocket(r *http.Request) bool {
	return isWebSocket(r) || r.Method == http.MethodConnect &&
		(r.Header.Get(":protocol") == "websocket" || r.ProtoMajor == 3 && r.Proto == "websocket")
}
