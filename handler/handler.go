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
	"github.com/romm-oidc/caddy-romm-oidc/handler/application"
	"github.com/romm-oidc/caddy-romm-oidc/handler/problem"
	"github.com/romm-oidc/caddy-romm-oidc/handler/request"
)

// Config is what one handler instance knows.
type Config struct {
	Origin          request.Origin
	ProviderLabel   string // what the pages call the provider
	RelyingParty    *flow.RelyingParty
	Application     application.Application
	Gate            *Gate // shared by all instances of the gate
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

// Handler answers every request of one site. It holds configuration only; what
// outlives a reload is in its State.
type Handler struct {
	config  Config
	origin  string
	cookies request.CookieNames
	private string // the application's session cookie
	number  int64  // of the configuration
}

// New returns the gate of cfg.
func New(cfg Config) *Handler {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Observe == nil {
		cfg.Observe = func(string, string) {}
	}
	return &Handler{
		config: cfg, origin: cfg.Origin.String(), cookies: request.CookieNamesFor(cfg.Origin),
		private: cfg.Application.SessionCookie(), number: cfg.Gate.configurations.Add(1),
	}
}

func (h *Handler) now() time.Time { return h.config.Now() }

// ServeHTTP answers r, or passes it to chain. An error is the chain's own, or
// a *Problem where the configuration asks to pass them.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request, chain application.Chain) error {
	request.Strip(r)
	p, plain, ok := request.NormalPath(r)
	if !ok {
		return h.refuse(w, r, chain, request.Script, problem.BadRequest)
	}
	if !knownMethod(r) {
		return h.refuse(w, r, chain, request.Script, problem.MethodNotAllowed)
	}
	own := request.Under(p, request.Base)
	if own && h.config.Application.ServeProvider(w, r, p[len(request.Base):]) {
		return nil
	}
	if !h.reached(r, chain) {
		return h.refuse(w, r, chain, h.class(r, p), h.misdirected(r))
	}
	if r.TLS != nil && !r.TLS.HandshakeComplete && (own || !request.IsSafe(r.Method)) {
		// 0-RTT data can be replayed by whoever recorded it (RFC 8470 section 5.2).
		return h.refuse(w, r, chain, request.Script, problem.TooEarly)
	}
	h.keep(chain)
	if own {
		return h.serveOwn(w, r, chain, strings.TrimPrefix(p[len(request.Base):], "/"))
	}
	s, err := h.session(r)
	switch {
	case s != nil:
		return h.serveSession(w, r, chain, s, p, plain)
	case err != nil && h.config.Application.Access(r, p, plain) != application.Open:
		return h.refuse(w, r, chain, h.class(r, p), problem.StorageUnavailable.Because(err))
	default:
		return h.serveAnonymous(w, r, chain, p, plain)
	}
}

// knownMethod keeps out what no client of the application sends (CVE-2026-71324).
func knownMethod(r *http.Request) bool {
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return true
	case http.MethodConnect:
		return request.IsSocket(r)
	}
	return false
}

// class tells the kind of r, whose normal path is p.
func (h *Handler) class(r *http.Request, p string) request.Class {
	return request.Classify(r, h.config.Application.Socket(p), h.config.Application.Document(p))
}

// reached reports whether r came to the public origin. The scheme is that of
// the connection, or what a trusted proxy says of its own.
func (h *Handler) reached(r *http.Request, chain application.Chain) bool {
	if !h.config.Origin.HasHost(r.Host) {
		return false
	}
	secure := r.TLS != nil
	if !secure && h.config.Origin.Secure() && chain.TrustedProxy() {
		secure = r.Header.Get("X-Forwarded-Proto") == "https"
	}
	return secure == h.config.Origin.Secure()
}

// misdirected is Misdirected with both sides.
func (h *Handler) misdirected(r *http.Request) error {
	came := request.Origin{Scheme: "http", Host: r.Host}
	if r.TLS != nil {
		came.Scheme = "https"
	}
	return problem.Misdirected.Because(fmt.Errorf("the request came to %s, and redirect_uri is at %s", came, h.config.Origin))
}

// session returns the session that r's ticket opens, nil if none, and an error
// if storage could not tell.
func (h *Handler) session(r *http.Request) (*session.Session, error) {
	ticket := request.CookieValue(r, h.cookies.Ticket)
	if ticket == "" {
		return nil, nil //nolint:nilnil // no ticket is no error, and no session
	}
	return h.config.Gate.Sessions.Lookup(r.Context(), ticket) //nolint:wrapcheck // StorageUnavailable says what happened
}

// serveAnonymous answers a request without a session.
func (h *Handler) serveAnonymous(w http.ResponseWriter, r *http.Request, chain application.Chain, p string, plain bool) error {
	kind := h.class(r, p)
	switch h.config.Application.Access(r, p, plain) {
	case application.Open:
		delete(r.Header, "Authorization") // RomM answers 500 to a token it cannot read, on public paths too
		return h.passUnstamped(w, r, chain)
	case application.Credential:
		return h.serveCredential(w, r, chain, p)
	case application.Bearer:
		return h.serveBearer(w, r, chain, p)
	case application.Exchange:
		return h.serveExchange(w, r, chain)
	case application.SignIn:
		if kind == request.Navigation {
			if request.CookieValue(r, h.cookies.SignedOut) != "" {
				// The application's page starts a sign-in by itself right
				// after its user signed out; that is not what they meant.
				return h.leave(w, r)
			}
			return h.startLogin(w, r, chain, h.config.Application.SignInTarget(r, p, h.config.Origin), false)
		}
	case application.SignOut:
		if r.Method == http.MethodPost {
			if request.CrossOrigin(r, h.origin, false) { // it comes without the ticket, and would take it away
				return h.refuse(w, r, chain, kind, problem.CrossOrigin)
			}
			return h.signOutByScript(w, r, nil)
		}
	case application.Protected:
	}
	switch kind {
	case request.Navigation:
		target := chain.OriginalURI()
		if came, _, _ := strings.Cut(target, "?"); request.Under(path.Clean(came), request.Base) { // every sign-in would end in another
			return h.refuse(w, r, chain, kind, problem.Rewritten.Because(fmt.Errorf("%s became %s before it came here", came, p)))
		}
		return h.startLogin(w, r, chain, target, false)
	case request.Form:
		return h.refuse(w, r, chain, kind, problem.NotSignedIn)
	case request.Prefetch:
		return h.refuse(w, r, chain, kind, problem.Prefetch)
	case request.Script:
		denied := *problem.NotSignedIn
		denied.Status = h.config.Application.DeniedStatus(r.Context(), application.NewCaller(chain, r, h.config.Origin))
		return h.refuse(w, r, chain, kind, &denied)
	case request.Socket, request.Embedded:
	}
	return h.refuse(w, r, chain, kind, problem.NotSignedIn)
}

// passUnstamped passes r on for nobody in particular.
func (h *Handler) passUnstamped(w http.ResponseWriter, r *http.Request, chain application.Chain) error {
	request.ForwardCookies(r, h.private, "")
	return h.serve(chain, &answerWriter{ResponseWriter: w, gate: h}, r)
}

func (h *Handler) applicationFailed() {
	h.config.Gate.failedAt.Store(h.now().UnixNano())
	h.config.Application.Failed()
}
