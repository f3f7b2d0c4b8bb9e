// The normal path, on which every decision is made.

package request

import (
	"net/http"
	"path"
	"strings"
)

// Base is the path of the gate's endpoints. Base itself is the callback.
const Base = "/api/oauth/openid"

// NormalPath returns the path of r in the one form on which all decisions are
// made: decoded once, slashes merged, dot segments resolved, backslashes read as
// slashes, no trailing slash.
//
// plain is false if the path was spelled in any other way. The application might
// read such a path differently (CVE-2026-41059, CVE-2026-40912), so a request
// for it needs a session. ok is false for a path that no browser sends: one with
// control bytes or a raw "#", or without a leading slash.
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

// Normal returns the decoded path p in the form of NormalPath. It is for paths
// that are not those of the request: where a sign-in leads, what came before a
// rewrite.
func Normal(p string) string { return path.Clean("/" + strings.ReplaceAll(p, `\`, "/")) }
