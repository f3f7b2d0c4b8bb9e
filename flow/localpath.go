// LocalPath: where a sign-in may return to.

package flow

import (
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"
)

// returnToLimit bounds a return path, in bytes: it has to fit into a cookie.
const returnToLimit = 1 << 10

// LocalPath reports whether target is a path on this site, with or without a
// query, that no browser reads as another site: one leading slash, printable
// ASCII, no backslash, dot segment or fragment, at most 1 KiB. Browsers drop
// tabs and line breaks and read a backslash as a slash
// (https://url.spec.whatwg.org/#url-parsing), so what looks local to one parser
// may not be local to another.
func LocalPath(target string) bool {
	if len(target) > returnToLimit || !strings.HasPrefix(target, "/") || strings.HasPrefix(target, "//") {
		return false
	}
	for i := range len(target) {
		if c := target[i]; c <= ' ' || c >= utf8.RuneSelf || c == 0x7f || c == '\\' || c == '#' {
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
