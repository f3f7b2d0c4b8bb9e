// The stand-in and its dispatch: nginx's locations, then RomM's middleware.

package romm

import (
	"fmt"
	"net/http"
	"path"
	"strings"
	"sync/atomic"
)

// Server is one RomM: nginx, API, Redis and database. It is safe for
// concurrent use.
type Server struct {
	options  Options
	version  version
	secret   atomic.Pointer[string]
	routes   []route
	accounts accounts
	sessions sessions
	tokens   tokens
	pairing  pairing
	resets   oneTime
	invites  oneTime
	provider provider
	sockets  hub
	faults   faults
	journal  journal
	saves    shelf
	states   shelf
	uploaded atomic.Int64
}

// New returns a RomM without users.
func New(opts Options) *Server {
	opts = opts.withDefaults()
	s := &Server{options: opts}
	s.sessions.byID = map[string]storedSession{}
	s.faults.answers = map[string]http.HandlerFunc{}
	s.faults.holds = map[string]*hold{}
	s.sockets.open = map[string]*socket{}
	s.provider.oidc = opts.OIDC
	s.install(opts.Version)
	s.begin()
	return s
}

// install makes this RomM the release.
func (s *Server) install(release string) {
	s.options.Version, s.version = release, parseVersion(release)
	s.provider.url = s.options.OIDC.metadataURL(s.version)
	s.provider.userAgent = "Authlib/" + s.version.authlib() + " (+https://authlib.org)"
	s.routes = s.allRoutes()
}

// begin starts the container. Without a secret key in the options it generates
// one.
func (s *Server) begin() {
	key := s.options.SecretKey
	if key == "" {
		key = randomHex(32)
	}
	s.secret.Store(&key)
}

func (s *Server) secretKey() []byte { return []byte(*s.secret.Load()) }

// ServeHTTP is nginx: it picks the location by the normalised path and passes the
// path on as it arrived.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if s.faults.isDown() {
		panic(http.ErrAbortHandler)
	}
	entry := s.journal.add(r)
	if refusal := tooLong(r); refusal != 0 {
		http.Error(w, fmt.Sprintf("%d %s", refusal, http.StatusText(refusal)), refusal)
		return
	}
	if answer := s.faults.answer(r.URL.Path); answer != nil {
		answer(w, r)
		return
	}
	switch location := path.Clean("/" + r.URL.Path); {
	case strings.HasPrefix(location, "/api"), location == "/openapi.json":
		s.serve(w, r, entry, (*exchange).route)
	case strings.HasPrefix(location, mainSockets), strings.HasPrefix(location, netplaySockets):
		s.serveSocket(w, r, entry)
	case strings.HasPrefix(location, "/assets/"):
		serveAsset(w, r)
	default:
		s.servePage(w, r)
	}
}

// lineLimit is the size of one of nginx's header buffers, in bytes.
const lineLimit = 16 << 10

// tooLong returns the status with which nginx refuses a request line or a header
// field that does not fit into one buffer (large_client_header_buffers), or 0.
func tooLong(r *http.Request) int {
	if len(r.Method)+len(" ")+len(r.URL.RequestURI())+len(" HTTP/1.1\r\n") > lineLimit {
		return http.StatusRequestURITooLong
	}
	for name, values := range r.Header {
		for _, value := range values {
			if len(name)+len(": ")+len(value)+len("\r\n") > lineLimit {
				return http.StatusBadRequest
			}
		}
	}
	return 0
}

// serve passes a request through RomM's middleware, outermost first: session,
// authentication, CSRF, CORS, endpoint.
func (s *Server) serve(w http.ResponseWriter, r *http.Request, entry *Request, next endpoint) {
	x := &exchange{Server: s, r: r}
	x.reply = &reply{ResponseWriter: w, x: x}
	err := x.readSession()
	if err == nil {
		err = x.authenticate()
	}
	if err != nil { // outside the middleware that turns exceptions into responses
		crash(w)
		return
	}
	if x.user != nil {
		s.journal.authenticated(entry, x.user.Username)
	}
	s.faults.wait(r)
	if !x.csrfAllows() {
		x.text(http.StatusForbidden, "CSRF token verification failed")
		return
	}
	x.issueCSRF = true
	if x.cors() {
		return
	}
	x.answer(next(x))
}

// crash sends the response to an unhandled exception: no cookie, no JSON.
func crash(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(http.StatusInternalServerError)
	_, _ = w.Write([]byte("Internal Server Error"))
}
