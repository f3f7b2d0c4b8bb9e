// The single-page application, as nginx serves it.

package romm

import (
	"bytes"
	_ "embed" // for index.html
	"html/template"
	"net/http"
	"regexp"
	"strings"
	"time"
)

//go:embed index.html
var pageSource string

var pageTemplate = template.Must(template.New("index.html").Parse(pageSource))

// pageTime is the page's Last-Modified. With it browsers cache heuristically
// where RomM sends no Cache-Control.
var pageTime = time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)

// isolated is nginx's pattern for $request_uri. With any query added, the player
// loses its SharedArrayBuffer.
var isolated = regexp.MustCompile(`^/rom/.*/ejs$|^/console/rom/[0-9]+/play$`)

// pageBuild says how this release's script behaves. The real application knows it
// from its build.
type pageBuild struct {
	Version string
	// ReactsTo is the status on which the interceptor signs the user out.
	ReactsTo int
	// ReadsForbidden: a 403 whose body mentions CSRF fetches a new token.
	ReadsForbidden bool
	// Autologin: the login route may start OpenID Connect by itself.
	Autologin bool
	// BypassAutologin: ?bypass_autologin=true is honored.
	BypassAutologin bool
	// LogoutURL: the response to a logout may have oidc_logout_url.
	LogoutURL bool
}

// brandFiles lie beside index.html. A browser shows them for an installed site.
var brandFiles = map[string]string{
	"/favicon.ico": "image/x-icon", "/favicon-16x16.png": "image/png", "/favicon-32x32.png": "image/png",
	"/apple-touch-icon.png": "image/png", "/safari-pinned-tab.svg": "image/svg+xml",
	"/android-chrome-192x192.png": "image/png", "/android-chrome-512x512.png": "image/png",
	"/site.webmanifest": "application/manifest+json", "/manifest.webmanifest": "application/manifest+json",
}

const manifest = `{"name":"RomM","short_name":"RomM","display":"standalone",` +
	`"icons":[{"src":"/android-chrome-192x192.png","sizes":"192x192","type":"image/png"}]}`

// servePage serves the single-page application at every path that belongs neither
// to the API nor to an asset, unless there is a file.
func (s *Server) servePage(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		http.Error(w, "405 Not Allowed", http.StatusMethodNotAllowed)
		return
	}
	if kind, found := brandFiles[r.URL.Path]; found {
		w.Header().Set("Content-Type", kind)
		w.Header().Set("Access-Control-Allow-Origin", "*")
		http.ServeContent(w, r, "", pageTime, strings.NewReader(manifest))
		return
	}
	var page bytes.Buffer
	err := pageTemplate.Execute(&page, pageBuild{
		Version:         s.options.Version,
		ReactsTo:        s.version.reactsTo(),
		ReadsForbidden:  s.version.unauthorized(),
		Autologin:       s.version.atLeast(4, 7, 0),
		BypassAutologin: s.version.atLeast(4, 9, 0) && !s.version.atLeast(5, 0, 0),
		LogoutURL:       s.version.atLeast(4, 8, 0),
	})
	if err != nil {
		crash(w)
		return
	}
	header := w.Header()
	header.Set("Content-Type", "text/html; charset=utf-8")
	header.Set("Access-Control-Allow-Origin", "*")
	if s.version.atLeast(5, 1, 0) {
		header.Set("Cache-Control", "no-cache")
	}
	requestURI := r.RequestURI
	if requestURI == "" {
		requestURI = r.URL.RequestURI()
	}
	if isolated.MatchString(requestURI) {
		header.Set("Cross-Origin-Embedder-Policy", "require-corp")
		header.Set("Cross-Origin-Opener-Policy", "same-origin")
	}
	http.ServeContent(w, r, "", pageTime, bytes.NewReader(page.Bytes()))
}
