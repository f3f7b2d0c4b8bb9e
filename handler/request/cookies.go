// The gate's cookies, and what it removes from the Cookie header field.

package request

import (
	"net/http"
	"slices"
	"strings"
	"time"
)

// cookieBase is the common prefix of the gate's cookie names.
const cookieBase = "romm_oidc"

// CookieNames are the names of the gate's cookies at one origin. On https they
// have the __Host- prefix, so that no sibling domain can set one ([RFC 6265bis
// section 4.1.3.2]). Cookies do not know ports, so a port other than the
// scheme's own is part of the names: two gates at one host must not sign each
// other's users out.
//
// [RFC 6265bis section 4.1.3.2]: https://datatracker.ietf.org/doc/html/draft-ietf-httpbis-rfc6265bis#section-4.1.3.2
type CookieNames struct {
	Prefix    string // of all cookies but the ticket
	Ticket    string
	SignedOut string // set for a short time after a sign-out
	Logout    string // the state of a logout at the provider that is under way
	Restarts  string // how often a sign-in was restarted because its response fit none
	Former    string // the ticket's name before the port was part of it; empty: it is the same
	Secure    bool   // whether the cookies are sent over https only
}

// CookieNamesFor returns the names at o.
func CookieNamesFor(o Origin) CookieNames {
	base := cookieBase
	if o.Secure() {
		base = "__Host-" + cookieBase
	}
	names := CookieNames{Secure: o.Secure()}
	if port := o.port(); port != "" {
		names.Former = base
		base += "_" + port
	}
	names.Prefix, names.Ticket, names.SignedOut, names.Restarts = base+"_", base, base+"_signed_out", base+"_restarts"
	names.Logout = base + "_logout"
	return names
}

// TicketOf returns the ticket of r, and the name of its cookie. Both are empty
// if there is none.
func (n CookieNames) TicketOf(r *http.Request) (ticket, name string) {
	for _, name := range [...]string{n.Ticket, n.Former} {
		if ticket := CookieValue(r, name); name != "" && ticket != "" {
			return ticket, name
		}
	}
	return "", ""
}

// Came reports whether r carries one of the cookies. A browser that keeps no
// cookies never sends one.
func (n CookieNames) Came(r *http.Request) bool {
	for _, c := range r.Cookies() {
		if c.Name == n.Ticket || strings.HasPrefix(c.Name, n.Prefix) {
			return true
		}
	}
	return false
}

// Set returns a cookie for the whole origin that scripts cannot read. It is Lax,
// because the callback of a sign-in is a navigation from another site. maxAge is
// at least a second.
func (n CookieNames) Set(name, value string, maxAge time.Duration) *http.Cookie {
	return &http.Cookie{ //nolint:gosec // Secure wherever the origin is https
		Name: name, Value: value, Path: "/", MaxAge: max(int(maxAge.Seconds()), 1),
		Secure: n.Secure, HttpOnly: true, SameSite: http.SameSiteLaxMode,
	}
}

// SetForForms is Set for a cookie that the browser also sends with forms of other
// sites. It needs an https origin.
func (n CookieNames) SetForForms(name, value string, maxAge time.Duration) *http.Cookie {
	c := n.Set(name, value, maxAge) //nolint:gosec // Secure as in Set
	c.SameSite = http.SameSiteNoneMode
	return c
}

// Unset returns a cookie that makes the browser delete name.
func (n CookieNames) Unset(name string) *http.Cookie {
	c := n.Set(name, "", 0) //nolint:gosec // Secure as in Set
	c.MaxAge = -1
	return c
}

// CookieValue returns the value of the first cookie called name, empty if there
// is none. It does not parse the others and does not allocate.
func CookieValue(r *http.Request, name string) string {
	if name == "" {
		return ""
	}
	for _, line := range r.Header["Cookie"] {
		for line != "" {
			var pair string
			pair, line, _ = strings.Cut(line, ";")
			for pair != "" && (pair[0] == ' ' || pair[0] == '\t') {
				pair = pair[1:]
			}
			if strings.HasPrefix(pair, name) && strings.HasPrefix(pair[len(name):], "=") {
				return strings.TrimRight(pair[len(name)+1:], " \t")
			}
		}
	}
	return ""
}

// AppCookies are the cookies that the application reads.
type AppCookies struct {
	Session string   // its own session, which never comes from the browser
	Read    []string // what does come from there
}

// forwardLimit bounds the cookies that are forwarded, in bytes: many servers
// take 8 to 16 KiB a line.
const forwardLimit = 6 << 10

// ForwardCookies rewrites the Cookie header field for the application. It keeps
// only what app reads: other applications of the parent domain have cookies of
// their own there, the gate's ticket is among them, and together they outgrow a
// line. It appends stamp unless that is empty, and writes one line, because
// engine.io joins several lines with a comma.
//
// An attacker could hide a session cookie from the gate: Python's cookie parsers
// split and trim where browsers do not, at white space and commas and inside
// quotes. So ForwardCookies also removes every pair with such a byte.
func ForwardCookies(r *http.Request, app AppCookies, stamp string) {
	lines := r.Header["Cookie"]
	if len(lines) == 0 && stamp == "" {
		return
	}
	size := len(stamp) + 2
	for _, line := range lines {
		size += len(line) + 2
	}
	size = min(size, len(stamp)+2+forwardLimit)
	var b strings.Builder
	for _, line := range lines {
		for len(line) > 0 {
			pair, rest, _ := strings.Cut(line, ";")
			line = rest
			pair = strings.Trim(pair, " \t")
			if !app.reads(pair) || b.Len()+len(pair)+2 > forwardLimit {
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

// reads reports whether pair is a cookie that the application reads, and one to
// every parser.
func (a AppCookies) reads(pair string) bool {
	name, value, ok := strings.Cut(pair, "=")
	return ok && slices.Contains(a.Read, name) && isCookieValue(value) && !strings.Contains(value, a.Session)
}

// isCookieValue reports whether s is a cookie-value without quotes ([RFC 6265
// section 4.1.1]).
//
// [RFC 6265 section 4.1.1]: https://www.rfc-editor.org/rfc/rfc6265#section-4.1.1
func isCookieValue(s string) bool {
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c >= 0x7f || c == '"' || c == ',' || c == '\\' {
			return false
		}
	}
	return true
}
