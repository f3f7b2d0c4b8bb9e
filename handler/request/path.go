// The normal path, on which every decision is made.

package request

import (
	"net/http"
	"net/url"
	"path"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Base is the path of the gate's endpoints. Base itself is the callback.
const Base = "/api/oauth/openid"

// NormalPath returns the path of r in the one form on which all decisions are
// made: decoded once, slashes merged, dot segments resolved, backslashes read as
// slashes, no trailing slash.
//
// plain is false if the path was spelled in any other way. Such a path is never
// open to anonymous requests, except for the name of a file; [Ambiguous] tells
// whether another server could read it differently. ok is false for a path that
// no browser sends: one with control bytes or a raw "#", or without a leading
// slash.
func NormalPath(r *http.Request) (normal string, plain, ok bool) {
	p := r.URL.Path
	if p == "" || p[0] != '/' || strings.IndexByte(r.RequestURI, '#') >= 0 {
		return "", false, false
	}
	plain, dirty := true, false
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
		p = path.Clean(strings.ReplaceAll(p, `\`, "/"))
	}
	if len(p) > 1 {
		p = strings.TrimSuffix(p, "/")
	}
	written := r.URL.EscapedPath()
	return p, plain && (written == p || strings.TrimSuffix(written, "/") == p), true
}

// decodings is how often [Ambiguous] decodes the name of a file.
const decodings = 8

// Ambiguous reports whether two servers could read the path of u, as the gate
// passes it on, as two different paths (CVE-2026-41059, CVE-2026-40912,
// CVE-2023-47106). That is the case if it contains a dot segment, a backslash or
// an encoded slash, an encoded character that needs no encoding ([RFC 3986
// section 6.2.2.2]), an encoded "%", or something other than UTF-8. A run of
// slashes is one slash.
//
// The last names segments are names, which may be spelled in any way as long as
// each stays one name, even to a server that decodes it again.
//
// [RFC 3986 section 6.2.2.2]: https://www.rfc-editor.org/rfc/rfc3986#section-6.2.2.2
func Ambiguous(u *url.URL, names int) bool {
	if u.RawPath == "" && isPlainPath(u.Path) {
		return false
	}
	segments := strings.FieldsFunc(u.EscapedPath(), func(c rune) bool { return c == '/' })
	for i, segment := range segments {
		if i < len(segments)-names && !isPlainSegment(segment) || !isOneName(segment) {
			return true
		}
	}
	return false
}

// isPlainPath reports whether path has nothing that any server could read in
// another way. It says so of nearly every path at once.
func isPlainPath(path string) bool {
	for i := range len(path) {
		switch c := path[i]; {
		case c == '/':
		case c == '.' && (i == 0 || path[i-1] == '/'), c == '~', !isUnreserved(c):
			return false
		}
	}
	return true
}

// isPlainSegment reports whether the encoded segment has a single spelling.
func isPlainSegment(segment string) bool {
	for i := 0; i < len(segment); i++ {
		if segment[i] != '%' {
			continue
		}
		c, ok := encodedByte(segment[i:])
		if !ok || c == '%' || isUnreserved(c) {
			return false
		}
		i += 2
	}
	name, _, _ := strings.Cut(segment, ";") // some servers cut a parameter off
	return name != "." && name != ".." && utf8.ValidString(decodeOnce(segment))
}

// isOneName reports whether the encoded segment is one segment however often a
// server decodes it.
func isOneName(segment string) bool {
	for range decodings {
		decoded := decodeOnce(segment)
		if decoded == "." || decoded == ".." || strings.ContainsFunc(decoded, func(c rune) bool {
			return c == '/' || c == '\\' || c < 0x20 || c == 0x7f
		}) {
			return false
		}
		if decoded == segment {
			return true
		}
		segment = decoded
	}
	return false
}

// decodeOnce decodes what is percent-encoded in s and leaves alone what is not.
func decodeOnce(s string) string {
	if !strings.Contains(s, "%") {
		return s
	}
	var decoded strings.Builder
	for i := 0; i < len(s); i++ {
		c := s[i]
		if encoded, ok := encodedByte(s[i:]); ok {
			c = encoded
			i += 2
		}
		decoded.WriteByte(c)
	}
	return decoded.String()
}

// encodedByte returns the byte that s begins with in percent-encoding.
func encodedByte(s string) (byte, bool) {
	if len(s) < 3 || s[0] != '%' {
		return 0, false
	}
	c, err := strconv.ParseUint(s[1:3], 16, 8)
	return byte(c), err == nil
}

func isUnreserved(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("-._~", c) >= 0
}

// MergeSlashes makes each run of slashes in the path of r one slash, so that the
// application reads the path that the gate decided on.
func MergeSlashes(r *http.Request) {
	if !strings.Contains(r.URL.Path, "//") {
		return
	}
	merged := *r.URL
	merged.Path, merged.RawPath = mergeSlashes(merged.Path), mergeSlashes(merged.RawPath)
	r.URL = &merged
}

func mergeSlashes(p string) string {
	var merged strings.Builder
	for i := range len(p) {
		if p[i] != '/' || i == 0 || p[i-1] != '/' {
			merged.WriteByte(p[i])
		}
	}
	return merged.String()
}

// Under reports whether p is dir or lies below it.
func Under(p, dir string) bool {
	return strings.HasPrefix(p, dir) && (len(p) == len(dir) || p[len(dir)] == '/')
}

// Normal returns the decoded path p in the form of NormalPath. It is for paths
// that are not those of the request: where a sign-in leads, what came before a
// rewrite.
func Normal(p string) string { return path.Clean("/" + strings.ReplaceAll(p, `\`, "/")) }
