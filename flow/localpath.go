// LocalPath: where a sign-in may return to.

package flow

import (
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"
)

// returnToLimit bounds a return path, in bytes. Browsers keep cookies of up to
// 4096 bytes, and a login has to fit into one, sealed and encoded.
const returnToLimit = 2700

// LocalPath reports whether target is a path on this site, with or without a
// query, that no browser reads as another site: one leading slash, printable
// ASCII, no backslash in the path, dot segment or fragment, at most 2,700 bytes.
// Browsers drop tabs and line breaks and, before the query, read a backslash as a
// slash (https://url.spec.whatwg.org/#url-parsing), so what looks local to one
// parser may not be local to another.
func LocalPath(target string) bool {
	if len(target) > returnToLimit || !strings.HasPrefix(target, "/") || strings.HasPrefix(target, "//") {
		return false
	}
	query := false
	for i := range len(target) {
		c := target[i]
		query = query || c == '?'
		if c <= ' ' || c >= utf8.RuneSelf || c == 0x7f || c == '\\' && !query || c == '#' {
			return false
		}
	}
	u, err := url.ParseRequestURI(target)
	if err != nil || u.Scheme != "" || u.Host != "" || u.User != nil {
		return false
	}
	// The path must stay local if something on the way decodes it once more or
	// removes its dot segments. Browsers send none.
	return !strings.HasPrefix(u.Path, "//") && !strings.ContainsFunc(u.Path, func(c rune) bool { return c < ' ' || c == 0x7f || c == '\\' }) &&
		!slices.ContainsFunc(strings.Split(u.Path, "/"), func(segment string) bool { return segment == "." || segment == ".." })
}
