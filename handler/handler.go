package handler

import (
	"fmt"
	"net/http"
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

func (h *Handler) applicationFailed() {
	h.config.Gate.failedAt.Store(h.now().UnixNano())
	h.config.Application.Failed()
}
