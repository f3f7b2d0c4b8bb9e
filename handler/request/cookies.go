package request

import (
	"net/http"
	"strings"
	"time"
)

// cookieBase is the common beginning of the names of our cookies.
const cookieBase = "romm_oidc"

// CookieNames are the names of our cookies at one origin. On https they carry
// the __Host- prefix, so that no sibling domain can set one (RFC 6265bis section 4.1.3.2).
type CookieNames struct {
	Prefix    string // what every login cookie begins with
	Ticket    string
	SignedOut string
	Secure    bool
}

func CookieNamesFor(o Origin) CookieNames {
	base := cookieBase
	if o.Secure() {
		base = "__Host-" + cookieBase
	}
	return CookieNames{Prefix: base + "_", Ticket: base, SignedOut: base + "_signed_out", Secure: o.Secure()}
}

// Set returns a cookie of ours: for the whole origin, out of scripts' reach,
// and Lax, since a sign-in comes back from another site.
func (n CookieNames) Set(name, value string, maxAge time.Duration) *http.Cookie {
	return &http.Cookie{ //nolint:gosec // Secure wherever the origin is https
		Name: name, Value: value, Path: "/", MaxAge: max(int(maxAge.Seconds()), 1),
		Secure: n.Secure, HttpOnly: true, SameSite: http.SameSiteLaxMode,
	}
}

// Unset returns the cookie that removes name from the browser.
func (n CookieNames) Unset(name string) *http.Cookie {
	c := n.Set(name, "", 0) //nolint:gosec // as set makes it
	c.MaxAge = -1
	return c
}

// CookieValue returns the value of the first cookie called name, without
// parsing the others and without allocating.
func CookieValue(r *http.Request, name string) string {
	for _, line := range r.Header["Cookie"] {
		for len(line) > 0 {
			pair, rest, _ := strings.Cut(line, ";")
			line = rest
			pair = strings.Trim(pair, " \t")
			if len(pair) > len(name) && pair[len(name)] == '=' && pair[:len(name)] == name {
				return pair[len(name)+1:]
			}
		}
	}
	return ""
}

// ForwardCookies rewrites the Cookie header field for the application: our own
// cookies, the provider's portal session and any pair that contains one of
// private (the application's own session name) go; stamp, if any, is put last,
// all in one line, because engine.io joins several lines with a comma.
//
// Python's cookie parsers split and trim in other places than a browser does:
// at white space and commas, and around bytes that are no token. So a pair
// whose name is not a plain token goes, and one that contains a private name
// anywhere goes too.
func ForwardCookies(r *http.Request, private string, stamp string) {
	lines := r.Header["Cookie"]
	if len(lines) == 0 && stamp == "" {
		return
	}
	size := len(stamp) + 2
	for _, line := range lines {
		size += len(line) + 2
	}
	var b strings.Builder
	for _, line := range lines {
		for len(line) > 0 {
			pair, rest, _ := strings.Cut(line, ";")
			line = rest
			pair = strings.Trim(pair, " \t")
			if !forwardable(pair, private) {
				continue
			}
			if b.Len() == 0 {
				b.Grow(size)
			} else {
				b.WriteString("; ")
			}
			b.WriteString(pair)
		}
	}
	switch {
	case b.Len() == 0 && stamp == "":
		delete(r.Header, "Cookie")
		return
	case b.Len() == 0:
		b.Grow(len(stamp))
	case stamp != "":
		b.WriteString("; ")
	}
	b.WriteString(stamp)
	if len(lines) > 0 {
		lines[0] = b.String()
		r.Header["Cookie"] = lines[:1]
		return
	}
	r.Header["Cookie"] = []string{b.String()}
}

func forwardable(pair, private string) bool {
	name, _, ok := strings.Cut(pair, "=")
	if !ok || !isToken(name) {
		return false
	}
	return !strings.HasPrefix(strings.TrimPrefix(name, "__Host-"), cookieBase) &&
		!strings.HasPrefix(name, "authelia_session") &&
		!strings.Contains(pair, private)
}

// isToken reports whether s is a token of RFC 9110 section 5.6.2.
func isToken(s string) bool {
	if s == "" {
		return false
	}
	for i := range len(s) {
		c := s[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '_', c == '-', c == '.':
		case strings.IndexByte("!#$%&'*+^`|~", c) >= 0:
		default:
			return false
		}
	}
	return true
}
