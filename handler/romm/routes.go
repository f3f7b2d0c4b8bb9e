// The routes of RomM that need no session, and the releases that have them.

package romm

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/romm-oidc/caddy-romm-oidc/handler/request"
)

// route is a request that RomM answers without a session, and that the gate can
// let through.
type route struct {
	clients string // the clients that need it, by the word of the setting; empty: all
	methods []string
	// pattern is a normal path. "*" is any segment, "#" a number, "a|b" either.
	pattern string
	// file says that the last segment is the name of a file; see namesIn.
	file bool
	// password says that a user name and a password may be sent. Without the
	// setting for passwords they may be sent nowhere else.
	password bool
	// from is the first release that has the route, until the first that no
	// longer has it; zero: no bound.
	from, until version

	fixed string // what every path of the pattern begins with; set by routesOf
}

// spelledOut returns the route without alternatives: one for each of them.
func (r route) spelledOut() []route {
	end := strings.IndexByte(r.pattern, '|')
	if end < 0 {
		return []route{r}
	}
	begin := strings.LastIndexByte(r.pattern[:end], '/') + 1
	alternatives, rest, more := strings.Cut(r.pattern[begin:], "/")
	if more {
		rest = "/" + rest
	}
	var all []route
	for one := range strings.SplitSeq(alternatives, "|") {
		r.pattern = r.pattern[:begin] + one + rest
		all = append(all, r.spelledOut()...)
	}
	return all
}

var (
	get     = []string{http.MethodGet}
	getHead = []string{http.MethodGet, http.MethodHead}
	post    = []string{http.MethodPost}
)

// routes are all routes. A request that matches none needs a session or a token.
var routes = []route{
	{methods: getHead, pattern: "/api/heartbeat"},
	// Manifests and icons. Browsers fetch a manifest, and the installer fetches
	// its icons, without cookies (Web Application Manifest, "processing the
	// manifest"). If they were refused, RomM could not be installed on a home
	// screen. They are the same in every RomM.
	{methods: getHead, pattern: "/site.webmanifest|manifest.webmanifest"},
	{methods: getHead, pattern: "/favicon.ico|favicon-16x16.png|favicon-32x32.png|apple-touch-icon.png|safari-pinned-tab.svg"},
	{methods: getHead, pattern: "/android-chrome-192x192.png|android-chrome-512x512.png"},
	// Enrolling a handheld.
	{methods: post, pattern: "/api/client-tokens/exchange", from: v48},
	{methods: get, pattern: "/api/client-tokens/pair/*/status", from: v48},
	{methods: post, pattern: "/api/auth/device/init", from: v50},
	{methods: post, pattern: "/api/auth/device/token", from: v50},

	{clients: ClientsFeeds, methods: get, pattern: "/api/feeds/tinfoil", password: true, from: v44},
	{clients: ClientsFeeds, methods: get, pattern: "/api/feeds/webrcade", password: true, from: v44},
	{clients: ClientsFeeds, methods: get, pattern: "/api/feeds/pkgi/ps3|psvita|psp/*", password: true, from: v44},
	{clients: ClientsFeeds, methods: get, pattern: "/api/feeds/fpkgi/*", password: true, from: v44},
	{clients: ClientsFeeds, methods: get, pattern: "/api/feeds/kekatsu/*", password: true, from: v44},
	{clients: ClientsFeeds, methods: get, pattern: "/api/feeds/pkgj/psp|psvita/games|dlc", password: true, from: v44},
	{clients: ClientsFeeds, methods: get, pattern: "/api/feeds/pkgj/psx/games", password: true, from: v44},
	{clients: ClientsFeeds, methods: get, pattern: "/api/tinfoil/feed", password: true, until: v44},
	{clients: ClientsFeeds, methods: get, pattern: "/api/webrcade/feed", password: true, until: v44},

	{clients: ClientsDownloads, methods: getHead, pattern: "/api/roms/#/content/*", file: true},
	{clients: ClientsDownloads, methods: get, pattern: "/api/roms/#/files/content/*", file: true},
	{clients: ClientsDownloads, methods: get, pattern: "/api/romsfiles/#/content/*", file: true, until: v40},
	{clients: ClientsDownloads, methods: getHead, pattern: "/api/firmware/#/content/*", file: true},
}

// resources is the path of RomM's images and manuals.
const resources = "/assets/romm/resources/"

// routesOf returns the routes that all clients need, and those for clients.
func routesOf(clients Clients) []route {
	var open []route
	for _, r := range routes {
		if r.clients == "" || clients[r.clients] {
			open = append(open, r.spelledOut()...)
		}
	}
	for i := range open {
		open[i].fixed = open[i].pattern
		if end := strings.IndexAny(open[i].pattern, "*#"); end >= 0 {
			open[i].fixed = open[i].pattern[:end]
		}
	}
	return open
}

// routeOf returns the route of r, nil if it has none. path is the normal path
// of r. The route of a preflight is that of the request that it is about.
func (a *App) routeOf(r *http.Request, path string, plain bool) *route {
	method := r.Method
	if method == http.MethodOptions {
		method = r.Header.Get("Access-Control-Request-Method")
	}
	for i := range a.open {
		known := &a.open[i]
		if strings.HasPrefix(path, known.fixed) && slices.Contains(known.methods, method) && matches(known.pattern, path) && a.isWithin(known.from, known.until) &&
			(plain || known.file && isAsWritten(r.URL, path) && !request.Ambiguous(r.URL, 1)) {
			return known
		}
	}
	return nil
}

// isWithin reports whether RomM's release is from or later, and before until;
// zero is no bound. It returns true while the release is not certain.
func (a *App) isWithin(from, until version) bool {
	beat := a.config.Release.heartbeat.Load()
	if !a.certain(beat) {
		return true
	}
	release := beat.release
	return !release.known() || !release.before(from) && (until == version{} || release.before(until))
}

// matches reports whether path matches pattern, segment by segment.
func matches(pattern, path string) bool {
	for {
		want, morePattern, ok := strings.Cut(pattern, "/")
		got, morePath, alsoOK := strings.Cut(path, "/")
		if ok != alsoOK || !matchesSegment(want, got) {
			return false
		}
		if !ok {
			return true
		}
		pattern, path = morePattern, morePath
	}
}

func matchesSegment(want, got string) bool {
	switch want {
	case "*":
		return got != ""
	case "#":
		return got != "" && strings.Trim(got, "0123456789") == ""
	}
	return got == want
}

// isAsWritten reports whether path, the normal path of u, has the segments that
// the client wrote.
func isAsWritten(u *url.URL, path string) bool {
	return u.Path == path || strings.TrimSuffix(u.Path, "/") == path
}

// namesIn returns how many of the last segments of path are names of files. These
// may be spelled in any way, because RomM finds a download by its number, and nginx
// decodes the path of an image or a manual once.
func namesIn(path string) int {
	if matches("/api/*/#/content/*", path) || matches("/api/*/#/files/content/*", path) {
		return 1
	}
	for _, files := range []string{resources, "/api/raw/assets/"} {
		if below, ok := strings.CutPrefix(path, files); ok {
			return 1 + strings.Count(below, "/")
		}
	}
	return 0
}
