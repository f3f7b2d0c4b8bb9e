package romm

import (
	"net/http"
	"strings"

	"github.com/romm-oidc/caddy-romm-oidc/handler/application"
)

const (
	sessionCookie = "romm_session"
	csrfCookie    = "romm_csrftoken"
)

// SessionCookie is the name of RomM's session cookie.
func (a *App) SessionCookie() string { return sessionCookie }

// BrowserCookies are RomM's cookies that a browser must lose at sign-out, and
// at sign-in: RomM 4.4.1 to 4.8 refuses the first save with a token from before,
// and gives no other.
func (a *App) BrowserCookies() []string { return []string{csrfCookie} }

// SignOutAnswer is how RomM (4.8 and later) tells its page where to go after a
// sign-out. Earlier pages ignore it.
func (a *App) SignOutAnswer(url string) any {
	return map[string]string{"oidc_logout_url": url}
}

// Filter takes RomM's session cookie out of an answer and reads from it
// whether the session lives: RomM sends a live one again with every answer,
// and "null" for one that it does not know, whatever the status. It
// makes caching private, and takes away RomM's CORS, which reflects any
// origin with credentials.
func (a *App) Filter(header http.Header, stamped bool) application.Liveness {
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
	filterCaching(header)
	if stamped {
		for _, name := range corsFields {
			delete(header, name)
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

// filterCaching keeps shared caches out: every answer passed the gate for one
// visitor, and what another would be served from a cache did not (RFC 9111
// section 5.2.2.7). RomM before 5.1 names no caching for its page; a browser
// that guesses would show it without asking the gate.
func filterCaching(header http.Header) {
	private := false
	directives := make([]string, 1, 8)
	for _, line := range header["Cache-Control"] {
		for directive := range strings.SplitSeq(line, ",") {
			directive = strings.TrimSpace(directive)
			name, argument, _ := strings.Cut(strings.ToLower(directive), "=")
			switch name {
			case "", "public", "s-maxage":
				continue
			case "private", "no-store":
				private = private || argument == "" // else it is of some header fields only
			}
			directives = append(directives, directive)
		}
	}
	if content := header["Content-Type"]; len(directives) == 1 && len(content) > 0 && strings.HasPrefix(content[0], "text/html") {
		directives = append(directives, "no-cache")
	}
	directives[0] = "private"
	if private {
		directives = directives[1:]
	}
	header["Cache-Control"] = []string{strings.Join(directives, ", ")}
}
