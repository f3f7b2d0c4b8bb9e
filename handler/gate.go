package handler

import (
	"fmt"
	"net/http"
	"path"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/romm-oidc/caddy-romm-oidc/flow"
	"github.com/romm-oidc/caddy-romm-oidc/flow/session"
)

// Config is what one handler instance knows.
type Config struct {
	Origin          Origin
	ProviderLabel   string // what the pages call the provider
	RelyingParty    *flow.RelyingParty
	Application     Application
	State           *State // shared by all instances of the gate
	Policy          Policy
	Lifetime        time.Duration // of a ticket in the browser
	Recheck         time.Duration // how often the provider is asked about a session in use; 0: never, and its tokens are not refreshed
	Unproven        time.Duration // how long a session goes on after its tokens ended
	IdentityHeaders bool          // stamp Remote-User and its kin too
	PassErrors      bool          // return problems instead of writing pages
	Logger          *zap.Logger
	Observe         func(event, code string) // counts what happens; both from fixed lists; nil: nobody counts
	Now             func() time.Time         // nil: time.Now
}

// Gate answers every request of one site. It holds configuration only; what
// outlives a reload is in its State.
type Gate struct {
	Config
	origin  string
	cookies cookieNames
	private string // the application's session cookie
	number  int64  // of the configuration
}

// New returns the gate of cfg.
func New(cfg Config) *Gate {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Observe == nil {
		cfg.Observe = func(string, string) {}
	}
	return &Gate{
		Config: cfg, origin: cfg.Origin.String(), cookies: cookieNamesFor(cfg.Origin),
		private: cfg.Application.SessionCookie(), number: cfg.State.gates.Add(1),
	}
}

func (g *Gate) now() time.Time { return g.Now() }

// ServeHTTP answers r, or passes it to chain. An error is the chain's own, or
// a *Problem where the configuration asks to pass them.
func (g *Gate) ServeHTTP(w http.ResponseWriter, r *http.Request, chain Chain) error {
	strip(r)
	p, plain, ok := normalPath(r)
	if !ok {
		return g.fail(w, r, chain, kindScript, errBadRequest)
	}
	if !knownMethod(r) {
		return g.fail(w, r, chain, kindScript, errMethod)
	}
	own := under(p, Base)
	if own && g.Application.ServeProvider(w, r, p[len(Base):]) {
		return nil
	}
	if !g.reached(r, chain) {
		return g.fail(w, r, chain, g.kindOf(r, p), g.misdirected(r))
	}
	if r.TLS != nil && !r.TLS.HandshakeComplete && (own || !isSafe(r.Method)) {
		// 0-RTT data can be replayed by whoever recorded it (RFC 8470 section 5.2).
		return g.fail(w, r, chain, kindScript, errTooEarly)
	}
	g.keep(chain)
	if own {
		return g.serveOwn(w, r, chain, strings.TrimPrefix(p[len(Base):], "/"))
	}
	s, err := g.session(r)
	switch {
	case s != nil:
		return g.serveSession(w, r, chain, s, p, plain)
	case err != nil && g.Application.Access(r, p, plain) != Open:
		return g.fail(w, r, chain, g.kindOf(r, p), errStorageUnavailable.Because(err))
	default:
		return g.serveAnonymous(w, r, chain, p, plain)
	}
}

// knownMethod keeps out what no client of the application sends (CVE-2026-71324).
func knownMethod(r *http.Request) bool {
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return true
	case http.MethodConnect:
		return isSocket(r)
	}
	return false
}

// kindOf tells the kind of r, whose normal path is p.
func (g *Gate) kindOf(r *http.Request, p string) kind {
	return kindOf(r, g.Application.Socket(p), g.Application.Document(p))
}

// reached reports whether r came to the public origin. The scheme is that of
// the connection, or what a trusted proxy says of its own.
func (g *Gate) reached(r *http.Request, chain Chain) bool {
	if !g.Origin.hasHost(r.Host) {
		return false
	}
	secure := r.TLS != nil
	if !secure && g.Origin.Secure() && chain.TrustedProxy() {
		secure = r.Header.Get("X-Forwarded-Proto") == "https"
	}
	return secure == g.Origin.Secure()
}

// misdirected is errMisdirected with both sides.
func (g *Gate) misdirected(r *http.Request) error {
	came := Origin{Scheme: "http", Host: r.Host}
	if r.TLS != nil {
		came.Scheme = "https"
	}
	return errMisdirected.Because(fmt.Errorf("the request came to %s, and redirect_uri is at %s", came, g.Origin))
}

// session returns the session that r's ticket opens, nil if none, and an error
// if storage could not tell.
func (g *Gate) session(r *http.Request) (*session.Session, error) {
	ticket := cookieValue(r, g.cookies.ticket)
	if ticket == "" {
		return nil, nil //nolint:nilnil // no ticket is no error, and no session
	}
	return g.State.Sessions.Lookup(r.Context(), ticket) //nolint:wrapcheck // errStorageUnavailable says what happened
}

// serveAnonymous answers a request without a session.
func (g *Gate) serveAnonymous(w http.ResponseWriter, r *http.Request, chain Chain, p string, plain bool) error {
	kind := g.kindOf(r, p)
	switch g.Application.Access(r, p, plain) {
	case Open:
		delete(r.Header, "Authorization") // RomM answers 500 to a token it cannot read, on public paths too
		return g.passUnstamped(w, r, chain)
	case Credential:
		return g.serveCredential(w, r, chain, p)
	case Bearer:
		return g.serveBearer(w, r, chain, p)
	case Exchange:
		return g.serveExchange(w, r, chain)
	case SignIn:
		if kind == kindNavigation {
			if cookieValue(r, g.cookies.signedOut) != "" {
				// The application's page starts a sign-in by itself right
				// after its user signed out; that is not what they meant.
				return g.leave(w, r)
			}
			return g.startLogin(w, r, chain, g.Application.SignInTarget(r, p, g.Origin), false)
		}
	case SignOut:
		if r.Method == http.MethodPost {
			if crossOrigin(r, g.origin, false) { // it comes without the ticket, and would take it away
				return g.fail(w, r, chain, kind, errCrossOrigin)
			}
			return g.signOutByScript(w, r, nil)
		}
	case Protected:
	}
	switch kind {
	case kindNavigation:
		target := chain.OriginalURI()
		if came, _, _ := strings.Cut(target, "?"); under(path.Clean(came), Base) { // every sign-in would end in another
			return g.fail(w, r, chain, kind, errRewritten.Because(fmt.Errorf("%s became %s before it came here", came, p)))
		}
		return g.startLogin(w, r, chain, target, false)
	case kindForm:
		return g.fail(w, r, chain, kind, errNotSignedIn)
	case kindPrefetch:
		return g.fail(w, r, chain, kind, errPrefetch)
	case kindScript:
		denied := *errNotSignedIn
		denied.Status = g.Application.DeniedStatus(r.Context(), callerFor(chain, r, g.Origin))
		return g.fail(w, r, chain, kind, &denied)
	case kindSocket, kindEmbedded:
	}
	return g.fail(w, r, chain, kind, errNotSignedIn)
}

// passUnstamped passes r on for nobody in particular.
func (g *Gate) passUnstamped(w http.ResponseWriter, r *http.Request, chain Chain) error {
	forwardCookies(r, g.private, "")
	return g.serve(chain, &answerWriter{ResponseWriter: w, gate: g}, r)
}

func (g *Gate) applicationFailed() {
	g.State.failedAt.Store(g.now().UnixNano())
	g.Application.Failed()
}
