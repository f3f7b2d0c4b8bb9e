// RomM's response headers and cookies on their way to the browser.

package romm

import (
	"net/http"
	"strings"

	"github.com/romm-oidc/caddy-romm-oidc/handler/application"
)

// The cookies that RomM sets.
const (
	sessionCookie = "romm_session"
	csrfCookie    = "romm_csrftoken"
)

// SessionCookie returns the name of RomM's session cookie.
func (a *App) SessionCookie() string { return sessionCookie }

// ReadCookies returns the name of RomM's CSRF cookie: its releases read no other
// cookie than that and their session.
func (a *App) ReadCookies() []string { return []string{csrfCookie} }

// BrowserCookies returns the name of RomM's CSRF cookie. RomM 4.4.1 to 4.8 refuses
// the first save after a sign-in with a CSRF token from before it, and does not
// issue another one.
func (a *App) BrowserCookies() []string { return []string{csrfCookie} }

// SignOutAnswer returns what RomM since 4.8 answers to tell its page where to go
// after a sign-out. Earlier pages ignore it.
func (a *App) SignOutAnswer(url string) any {
	return map[string]string{"oidc_logout_url": url}
}

// Filter removes RomM's session cookie from a response, and reads from it whether
// the session is alive: with every status, RomM sends an alive session again, and
// "null" for one that it does not know. Filter also makes caching private, and
// removes RomM's CORS fields, which allow any origin with credentials.
func (a *App) Filter(header http.Header, stamped bool, room *[1]string) application.Liveness {
	liveness := application.Unknown
	if lines := header["Set-Cookie"]; len(lines) > 0 {
		kept := lines[:0]
		for _, line := range lines {
			value, ok := strings.CutPrefix(line, sessionCookie+"=")
			switch {
			case !ok:
				kept = append(kept, line)
			case strings.HasPrefix(value, "null;") || strings.HasPrefix(value, ";") || value == "null" || value == "":
				liveness = application.Forgotten
			default:
				liveness = application.Alive
			}
		}
		if len(kept) == 0 {
			delete(header, "Set-Cookie")
		} else {
			header["Set-Cookie"] = kept
		}
	}
	room[0] = caching(header, stamped)
	header["Cache-Control"] = room[:1:1]
	if stamped {
		if len(header[corsFields[0]]) > 0 || len(header[corsFields[1]]) > 0 { // without these two, the others mean nothing
			for _, name := range corsFields {
				delete(header, name)
			}
		}
	} else {
		delete(header, "Access-Control-Allow-Credentials")
	}
	return liveness
}

var corsFields = []string{
	"Access-Control-Allow-Origin", "Access-Control-Allow-Credentials", "Access-Control-Allow-Headers",
	"Access-Control-Allow-Methods", "Access-Control-Expose-Headers", "Access-Control-Max-Age",
}

// caching returns the Cache-Control header field of a response. It keeps responses
// out of shared caches ([RFC 9111 section 5.2.2.7]): a cache would serve one user's
// response to other clients, past the gate. RomM before 5.1 sends no caching
// directives for its page, and a browser that guesses would show the page without
// asking the gate. Browsers also show a page that they have kept when the user goes
// back after a sign-out. So no document of a session may be stored, and other
// documents get at least no-cache.
//
// [RFC 9111 section 5.2.2.7]: https://www.rfc-editor.org/rfc/rfc9111#section-5.2.2.7
func caching(header http.Header, stamped bool) string {
	document, lines := isDocument(header), header["Cache-Control"]
	switch {
	case stamped && document:
		return "no-cache, no-store"
	case len(lines) == 0 && document:
		return "private, no-cache"
	case len(lines) == 0:
		return "private"
	}
	private := false
	directives := make([]string, 1, 8)
	for _, line := range lines {
		for directive := range strings.SplitSeq(line, ",") {
			directive = strings.TrimSpace(directive)
			name, argument, _ := strings.Cut(strings.ToLower(directive), "=")
			switch name {
			case "", "public", "s-maxage":
				continue
			case "private", "no-store":
				private = private || argument == "" // with an argument it covers some header fields only
			}
			directives = append(directives, directive)
		}
	}
	if len(directives) == 1 && document {
		directives = append(directives, "no-cache")
	}
	directives[0] = "private"
	if private {
		directives = directives[1:]
	}
	return strings.Join(directives, ", ")
}

// isDocument reports whether a response is a page that a browser shows.
func isDocument(header http.Header) bool {
	content := header["Content-Type"]
	if len(content) == 0 {
		return false
	}
	kind, _, _ := strings.Cut(content[0], ";")
	kind = strings.TrimSpace(kind)
	return strings.EqualFold(kind, "text/html") || strings.EqualFold(kind, "application/xhtml+xml")
}
