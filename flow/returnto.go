package flow

import (
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"
)

// returnToLimit bounds where a sign-in comes back to, in bytes: it travels in a cookie.
const returnToLimit = 1 << 10

// LocalPath reports whether target is a path of this site, with or without a
// query, that no browser takes for another site: one leading slash, no
// backslash, dot segment or fragment, nothing but printable ASCII. Browsers
// drop tabs and line breaks and read a backslash as a slash (WHATWG URL,
// section 4.4), so that what looks local to one parser is not to another.
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
	// What is decoded once more on the way must not become another site either,
	// nor what loses its dot segments: no browser sends any.
	return !strings.HasPrefix(u.Path, "//") && !strings.ContainsFunc(u.Path, func(c rune) bool { return c < ' ' || c == 0x7f || c == '\\' }) &&
		!slices.ContainsFunc(strings.Split(u.Path, "/"), func(segment string) bool { return segment == "." || segment == ".." })
}
