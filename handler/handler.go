// The gate's front door: every request comes in here and is sent on its way.

package handler

import (
	"errors"
	"net/http"
	"time"

	"go.uber.org/zap"

	"github.com/romm-oidc/caddy-romm-oidc/flow"
	"github.com/romm-oidc/caddy-romm-oidc/handler/application"
	"github.com/romm-oidc/caddy-romm-oidc/handler/event"
	"github.com/romm-oidc/caddy-romm-oidc/handler/problem"
	"github.com/romm-oidc/caddy-romm-oidc/handler/request"
)

// Config is what one handler instance knows.
type Config struct {
	Origin          request.Origin
	Also            []request.Origin // further addresses, for clients without a browser
	ProviderLabel   string           // what the pages call the provider
	SiteName        string           // what they call the site
	RelyingParty    *flow.RelyingParty
	ClientKeys      http.HandlerFunc // answers with the client's public keys; nil: it has none
	Application     application.Application
	Gate            *Gate // shared by all instances of the gate
	Policy          Policy
	GroupRules      bool          // the operator's rules name groups
	Lifetime        time.Duration // of a ticket in the browser
	Recheck         time.Duration // between two re-checks of a session in use; positive
	Unproven        time.Duration // how long a session continues after its tokens expired
	IdentityHeaders bool          // stamp Remote-User and its kin too
	PassErrors      bool          // return problems instead of writing pages
	FormPost        bool          // the provider's response comes in a form
	Logger          *zap.Logger
	Observe         func(counter event.Counter, label string) // counts; the label comes from a fixed list; nil: no counting
	Report          func(*event.Event)                        // gets every event, which it must not keep waiting; nil: only the log has them
	Now             func() time.Time                          // nil: time.Now
	Paused          func() int64                              // when the machine was last suspended until, by monotonic.Nanoseconds; nil: it never is
	InForce         func() bool                               // whether Caddy has started this configuration for good; nil: it has
}

// Handler answers every request of one site. It holds configuration only; what
// outlives a reload is in its Gate.
type Handler struct {
	config     Config
	origin     string
	cookies    request.CookieNames
	appCookies request.AppCookies
	number     int64 // of the configuration
}

// New returns the handler of cfg.
func New(cfg Config) *Handler {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Paused == nil {
		cfg.Paused = func() int64 { return 0 }
	}
	if cfg.InForce == nil {
		cfg.InForce = func() bool { return true }
	}
	if cfg.Observe == nil {
		cfg.Observe = func(event.Counter, string) {}
	}
	if cfg.Report == nil {
		cfg.Report = func(*event.Event) {}
	}
	return &Handler{
		config: cfg, origin: cfg.Origin.String(), cookies: request.CookieNamesFor(cfg.Origin),
		appCookies: request.AppCookies{Session: cfg.Application.SessionCookie(), Read: cfg.Application.ReadCookies()}, number: cfg.Gate.configurations.Add(1),
	}
}

func (h *Handler) now() time.Time { return h.config.Now() }

// ServeHTTP answers r, or passes it to chain. An error is the chain's own, or
// a *problem.Problem where the configuration asks to pass them.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request, chain application.Chain) error {
	return h.ServeIn(new(Space), w, r, chain)
}

// Space is the memory of one request. A caller that allocates something of its
// own for each request embeds it there, so that both are one allocation.
type Space struct{ in incoming }

// ServeIn is ServeHTTP in space, which is new and not used again.
func (h *Handler) ServeIn(space *Space, w http.ResponseWriter, r *http.Request, chain application.Chain) error {
	request.Strip(r)
	path, plain, ok := request.NormalPath(r)
	in := &space.in
	in.handler, in.w, in.r, in.chain, in.path, in.plain, in.upgrade = h, w, r, chain, path, plain, request.IsSocket(r)
	switch {
	case !ok:
		return h.refuse(in, problem.BadRequest)
	case !in.knownMethod():
		return h.refuse(in, problem.MethodNotAllowed)
	}
	name, own := in.own()
	if own && r.Method == http.MethodPost {
		if _, err := request.ReadBody(w, r, ownLimit); err != nil {
			return h.refuseAs(in, request.Script, bodyProblem(err))
		}
	}
	if own && h.config.Application.ServeProvider(w, r, path[len(request.Base):]) {
		return nil
	}
	if own && h.config.ClientKeys != nil && path == request.Base+flow.ClientKeysPath {
		h.config.ClientKeys(w, r)
		return nil
	}
	if !h.reached(in, h.config.Origin) {
		return h.serveElsewhere(in, own)
	}
	if in.early() {
		return h.refuse(in, problem.TooEarly)
	}
	h.keep(chain)
	if own {
		return h.serveOwn(in, name)
	}
	switch err := in.findSession(); {
	case errors.Is(err, problem.StorageUnavailable) && in.access() == application.Open:
		return h.serveAnonymous(in) // storage is not needed for that
	case err != nil:
		return h.refuse(in, err)
	case in.session != nil:
		return h.serveSession(in)
	default:
		return h.serveAnonymous(in)
	}
}

// ownLimit bounds the body of a request to the gate's own endpoints, in bytes.
// Each has a smaller limit of its own.
const ownLimit = 32 << 10

// bodyProblem returns the problem of an error of request.ReadBody.
func bodyProblem(err error) error {
	refusal := *problem.BodyRefused
	if errors.Is(err, request.ErrBodyTooSlow) {
		refusal.Status = http.StatusRequestTimeout
	}
	return refusal.Because(err)
}

// knownMethod refuses methods that no client of the application sends (CVE-2026-71324).
func (in *incoming) knownMethod() bool {
	switch in.r.Method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return true
	case http.MethodConnect:
		return in.upgrade
	}
	return false
}

// applicationFailed notes that the application failed: its sessions have to
// be confirmed again, and it may be another release when it returns.
func (h *Handler) applicationFailed() {
	h.config.Gate.doubt()
	h.config.Application.Failed()
}
