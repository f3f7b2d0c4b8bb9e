package romm

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/romm-oidc/caddy-romm-oidc/handler"
)

// tokenPrefix begins a RomM client token; 64 lower-case hex digits follow.
const tokenPrefix = "rmm_"

// Access says what r may do without a session. Everything that RomM itself
// leaves open is shut, but for what browsers and handhelds need before anybody
// can be signed in.
func (a *App) Access(r *http.Request, path string, plain bool) handler.Access {
	switch path {
	case "/login", "/api/login/openid":
		if r.Method == http.MethodGet || r.Method == http.MethodHead {
			return handler.SignIn
		}
		return handler.Protected
	case "/api/logout":
		return handler.SignOut
	}
	if !plain {
		return handler.Protected
	}
	if isOpen(r, path) {
		if hasToken(r) {
			return handler.Credential
		}
		return handler.Open
	}
	if strings.HasPrefix(path, "/api/") && hasToken(r) && !shut(path) {
		return handler.Credential
	}
	return handler.Protected
}

// isOpen reports whether RomM answers r for anybody: what its page asks at
// boot, and what enrols a handheld. A preflight has no credentials by
// definition (Fetch, CORS-preflight request) and does nothing.
func isOpen(r *http.Request, path string) bool {
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		if path == "/api/heartbeat" || isBrand(path) {
			return true
		}
		code, ok := strings.CutPrefix(path, "/api/client-tokens/pair/")
		if !ok || r.Method != http.MethodGet {
			return false
		}
		code, ok = strings.CutSuffix(code, "/status")
		return ok && code != "" && !strings.Contains(code, "/")
	case http.MethodPost:
		switch path {
		case "/api/client-tokens/exchange", "/api/auth/device/init", "/api/auth/device/token":
			return true
		}
	case http.MethodOptions:
		return strings.HasPrefix(path, "/api/") && r.Header.Get("Access-Control-Request-Method") != "" && !shut(path)
	}
	return false
}

// shut reports whether path is one that RomM answers for anybody, or opens
// while it has no administrator. A token of the right shape that RomM does not
// know makes its bearer anonymous, not refused, so that these stay shut beside
// a token too.
func shut(path string) bool {
	switch path {
	case "/api/login", "/api/token", "/api/forgot-password", "/api/reset-password",
		"/api/users", "/api/users/register", "/api/users/invite-link",
		"/api/stats", "/api/docs", "/api/redoc", "/api/feeds/tinfoil", "/api/tinfoil/feed":
		return true
	}
	return strings.HasPrefix(path, "/api/setup") || strings.HasPrefix(path, "/api/heartbeat/") ||
		strings.HasPrefix(path, "/api/oauth") || strings.HasPrefix(path, "/api/login/")
}

// hasToken reports whether r carries exactly one well-formed client token.
func hasToken(r *http.Request) bool {
	lines := r.Header["Authorization"]
	if len(lines) != 1 {
		return false
	}
	scheme, token, _ := strings.Cut(lines[0], " ")
	digits, ok := strings.CutPrefix(token, tokenPrefix)
	if !ok || len(digits) != 64 || !strings.EqualFold(scheme, "bearer") {
		return false
	}
	return strings.Trim(digits, "0123456789abcdef") == ""
}

// Document reports whether a GET of path may be answered with RomM's page.
func (a *App) Document(path string) bool {
	for _, prefix := range []string{"/api/", "/ws", "/netplay", "/assets/", "/openapi.json"} {
		if strings.HasPrefix(path, prefix) {
			return false
		}
	}
	return true
}

// Socket reports whether path belongs to RomM's socket.io servers, as the
// proxy inside RomM's image tells it.
func (a *App) Socket(path string) bool {
	return strings.HasPrefix(path, "/ws") || strings.HasPrefix(path, "/netplay")
}

// SignInTarget returns what stands in next: in the query of RomM's login
// route, or, since RomM does not pass it on to /api/login/openid, in that of
// the route that the browser came from.
func (a *App) SignInTarget(r *http.Request, path string, origin handler.Origin) string {
	from := r.URL
	if path != "/login" {
		referer, err := url.Parse(r.Header.Get("Referer"))
		if err != nil || referer.Scheme+"://"+referer.Host != origin.String() || strings.TrimSuffix(referer.Path, "/") != "/login" {
			return "/"
		}
		from = referer
	}
	next := from.Query().Get("next")
	if target, err := url.Parse(next); next == "" || err != nil || strings.TrimSuffix(target.Path, "/") == "/login" {
		return "/"
	}
	return next
}
