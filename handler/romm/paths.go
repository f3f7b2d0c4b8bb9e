// What a request to RomM means, and whether it needs a session, by its path.

package romm

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/romm-oidc/caddy-romm-oidc/handler/application"
	"github.com/romm-oidc/caddy-romm-oidc/handler/request"
)

// Intent recognizes RomM's login route, its start of a sign-in at a provider,
// its logout, and where it takes a password in the body.
func (a *App) Intent(r *http.Request, path string) application.Intent {
	switch path {
	case "/login", "/api/login/openid":
		if r.Method == http.MethodGet || r.Method == http.MethodHead {
			return application.SignIn
		}
	case "/api/logout":
		return application.SignOut
	case "/api/token":
		if r.Method == http.MethodPost {
			return application.LogIn
		}
	}
	return application.None
}

// Access says what r may do without a session. The gate closes everything that
// RomM leaves open, except what browsers and handhelds need before a user can
// sign in, and what the operator opens to clients without a browser. With a
// credential of a kind that is let in, a request passes wherever RomM would let
// the credential's user do it.
func (a *App) Access(r *http.Request, path string, plain bool) application.Access {
	if path == "/api/token" && plain && r.Method == http.MethodPost && a.config.Clients[ClientsPassword] {
		return application.Exchange
	}
	known := a.routeOf(r, path, plain)
	switch {
	case known != nil && known.clients == "":
		return application.Open
	case a.accepts(r, known):
		switch {
		case closed(r, path):
			return application.CredentialClosed
		case known == nil && isUnchecked(path):
			return application.Vouched
		}
		return application.Credential
	case a.config.Clients[ClientsBearer] && credentialOf(r) == accessToken:
		if closed(r, path) {
			return application.BearerClosed
		}
		return application.Bearer
	case known != nil || isPreflight(r, path, plain) || a.isCover(r, path):
		return application.Open
	}
	return application.Protected
}

// isPreflight reports whether r is a CORS preflight, which has no credentials
// and no effect ([Fetch, CORS-preflight request]).
//
// [Fetch, CORS-preflight request]: https://fetch.spec.whatwg.org/#cors-preflight-request
func isPreflight(r *http.Request, path string, plain bool) bool {
	return r.Method == http.MethodOptions && r.Header.Get("Access-Control-Request-Method") != "" &&
		strings.HasPrefix(path, "/api/") && (plain || isAsWritten(r.URL, path)) && !closed(r, path)
}

// isCover reports whether r fetches an image or a manual, and the operator opens
// those.
func (a *App) isCover(r *http.Request, path string) bool {
	return a.config.Clients[ClientsCovers] && (r.Method == http.MethodGet || r.Method == http.MethodHead) &&
		strings.HasPrefix(path, resources) && isAsWritten(r.URL, path) && !request.Ambiguous(r.URL, 0)
}

// closed reports whether r is closed to credentials: RomM could read its path
// differently than the gate does, or it is for a socket, for which RomM looks at
// sessions only, or for a path that shut names.
func closed(r *http.Request, path string) bool {
	return shut(r.Method, path) || isSocket(path) || request.Ambiguous(r.URL, namesIn(path))
}

// shut reports whether path is one that RomM opens to anonymous requests to sign
// in, or until it has an administrator. RomM handles a request with an unknown
// token as an anonymous one, and these requests must not be made in that way.
func shut(method, path string) bool {
	switch path {
	case "/api/users": // reading takes an administrator's credential
		return method != http.MethodGet && method != http.MethodHead
	case "/login", "/api/login", "/api/logout", "/api/token", "/api/forgot-password", "/api/reset-password",
		"/api/users/register", "/api/users/invite-link":
		return true
	}
	return strings.HasPrefix(path, "/api/setup") || strings.HasPrefix(path, "/api/oauth") || strings.HasPrefix(path, "/api/login/")
}

// isUnchecked reports whether RomM answers requests for path without looking at
// their credential.
func isUnchecked(path string) bool {
	switch path {
	case "/api/config", "/api/stats", "/api/docs", "/api/redoc", "/api/feeds/tinfoil", "/api/tinfoil/feed":
		return true
	}
	return !strings.HasPrefix(path, "/api/") || request.Under(path, "/api/heartbeat")
}

// Socket reports whether path belongs to RomM's socket.io servers, by the same
// prefixes as the proxy inside RomM's image.
func (a *App) Socket(path string) bool { return isSocket(path) }

// KeepsRole is false for RomM's netplay server, which knows no users: a poll of it
// is never refused because of a role.
func (a *App) KeepsRole(path string) bool { return strings.HasPrefix(path, "/ws") }

func isSocket(path string) bool {
	return strings.HasPrefix(path, "/ws") || strings.HasPrefix(path, "/netplay")
}

// Page reports whether RomM answers path with its page.
func (a *App) Page(path string) bool {
	return !strings.HasPrefix(path, "/api/") && !strings.HasPrefix(path, "/assets/") && !isSocket(path)
}

// SignInTarget returns the value of next in the query of RomM's login route.
// RomM does not pass next on to /api/login/openid, so there it comes from the
// Referer.
func (a *App) SignInTarget(r *http.Request, path string, origin request.Origin) string {
	from := r.URL
	if path != "/login" {
		referer, err := url.Parse(r.Header.Get("Referer"))
		if err != nil || referer.Scheme+"://"+referer.Host != origin.String() || request.Normal(referer.Path) != "/login" {
			return "/"
		}
		from = referer
	}
	next := from.Query().Get("next")
	if target, err := url.Parse(next); next == "" || err != nil || request.Normal(target.Path) == "/login" {
		return "/"
	}
	return next
}
