package request

import (
	"net/http"
	"path"
	"strings"
)

// Base is the path below which the gate's own endpoints lie; Base itself is the callback.
const Base = "/api/oauth/openid"

// NormalPath is a request's path in the one form on which everything here
// decides: decoded once, slashes merged, dot segments resolved, backslashes
// read as slashes, no trailing slash. plain is false where the path was
// written in any other way; such a request still reaches the application with
// a session, but never without one, because the two might read it differently
// (CVE-2026-41059, CVE-2026-40912 and their kin).
// ok is false for a path that no browser sends: control bytes, a raw "#", not
// starting with a slash.
func NormalPath(r *http.Request) (normal string, plain, ok bool) {
	p := r.URL.Path
	if p == "" || p[0] != '/' || strings.IndexByte(r.RequestURI, '#') >= 0 {
		return "", false, false
	}
	plain = r.URL.RawPath == ""
	dirty := false
	for i := range len(p) {
		switch c := p[i]; {
		case c < 0x20 || c == 0x7f:
			return "", false, false
		case c == '/' && i+1 < len(p) && (p[i+1] == '/' || p[i+1] == '.'), c == '\\':
			dirty = true
		case c == '%' || c == ';' || c == '?' || c == '#' || c >= 0x80:
			plain = false
		}
	}
	if dirty {
		cleaned := path.Clean(strings.ReplaceAll(p, `\`, "/"))
		plain = plain && cleaned == strings.TrimSuffix(p, "/")
		p = cleaned
	}
	if len(p) > 1 {
		p = strings.TrimSuffix(p, "/")
	}
	return p, plain, true
}

// Under reports whether p is dir or lies below it.
func Under(p, dir string) bool {
	return strings.HasPrefix(p, dir) && (len(p) == len(dir) || p[len(dir)] == '/')
}
