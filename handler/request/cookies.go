// The gate's cookies, and what it removes from the Cookie header field.

package request

import (
	"net/http"
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
	Prefix    string // of every login cookie
	Ticket    string
	SignedOut string // set for a short time after a sign-out
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

// Unset returns a cookie that makes the browser delete name.
func (n CookieNames) Unset(name string) *http.Cookie {
	c := n.Set(name, "", 0) //nolint:gosec // Secure as in Set
	c.MaxAge = -1
	return c
}

// CookieValue returns the value of the first cookie called name, empty if there
// is none. It does not parse the others and does not allocate.
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

// ForwardCookies rewrites the Cookie header field for the application. It
// removes the gate's cookies, Authelia's session cookie and every pair that
// contains private, the name of the application's session cookie. It appends
// stamp unless that is empty, and writes one line, because engine.io joins
// several lines with a comma.
//
// An attacker could hide a session cookie from the gate: Python's cookie parsers
// split and trim where browsers do not, at white space and commas and around
// bytes that are not part of a token. So ForwardCookies also removes every pair
// with a name that is not a token.
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

// autheliaCookie is the default name of Authelia's session cookie, which the
// browser sends to every site below Authelia's domain. The application does not
// need it and could leak it.
const autheliaCookie = "authelia_session"

func forwardable(pair, private string) bool {
	name, _, ok := strings.Cut(pair, "=")
	if !ok || !isToken(name) {
		return false
	}
	return !strings.HasPrefix(strings.TrimPrefix(name, "__Host-"), cookieBase) &&
		!strings.HasPrefix(name, autheliaCookie) &&
		!strings.Contains(pair, private)
}

// isToken reports whether s is a token ([RFC 9110 section 5.6.2]).
//
// [RFC 9110 section 5.6.2]: https://www.rfc-editor.org/rfc/rfc9110#section-5.6.2
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
