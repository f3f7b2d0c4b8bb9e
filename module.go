// Package rommoidc is a Caddy HTTP handler that puts RomM behind an OpenID
// Connect provider such as Authelia. Users that the provider signs in arrive in
// RomM signed in, as native RomM users.
//
// This package connects the parts to Caddy: configuration, life cycle, wiring.
// Package handler decides what each request gets, package handler/romm knows
// RomM, package flow is the protocol, and package handler/settings defines the
// settings.
package rommoidc

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync/atomic"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/romm-oidc/caddy-romm-oidc/flow/op"
	"github.com/romm-oidc/caddy-romm-oidc/handler"
	_ "github.com/romm-oidc/caddy-romm-oidc/handler/command" // caddy romm-oidc
	"github.com/romm-oidc/caddy-romm-oidc/handler/problem"
	"github.com/romm-oidc/caddy-romm-oidc/handler/romm"
	"github.com/romm-oidc/caddy-romm-oidc/handler/settings"
)

func init() { caddy.RegisterModule(Middleware{}) }

const handlerID = "http.handlers.romm_oidc"

// Middleware puts RomM behind an OpenID Connect provider. It signs users in
// with the authorization code flow, keeps their sessions in Caddy's storage,
// signs them in to RomM through RomM's own OpenID Connect client, and stamps
// each of their requests with their RomM session. Put a reverse_proxy to RomM
// behind it.
//
// Every string may contain placeholders. Settings that RomM has an environment
// variable for fall back to it.
//
// # Placeholders
//
// The handler sets these for signed-in users:
//
// Placeholder | Description
// ------------|------------
// `{http.auth.user.id}` | the user name, which the access log shows too
// `{http.auth.user.email}` | the e-mail address
// `{http.auth.user.name}` | the display name
// `{http.auth.user.groups}` | the groups, separated by commas
// `{http.auth.user.sub}` | the subject at the provider
// `{http.romm_oidc.session}` | the ID of the session, which opens nothing
//
// If the handler refuses a request, it sets these, for the access log and, with
// `errors pass`, for the error routes:
//
// Placeholder | Description
// ------------|------------
// `{http.romm_oidc.code}` | the code of the refusal
// `{http.romm_oidc.status}` | its status
// `{http.romm_oidc.reference}` | the reference on its page
type Middleware struct {
	settings.Settings

	resolved *settings.Settings // holds the secrets; nil until Provision
	handler  *handler.Handler
	gate     *pooledGate                 // nil if none is held
	former   *atomic.Pointer[pooledGate] // that was held until Cleanup
	client   *http.Client

	clientKeys *op.Keys // nil if the client has a secret
	events     *emitter
	where      string           // the addresses of the block's site, for errors
	places     map[string]place // of the settings in the Caddyfile; nil if they come from elsewhere
	logger     *zap.Logger
}

// CaddyModule returns the Caddy module information.
func (Middleware) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: handlerID, New: func() caddy.Module { return new(Middleware) }}
}

// Provision replaces placeholders, fills in defaults and builds the handler. It
// sends no request to the provider or to RomM: both often start after Caddy.
func (m *Middleware) Provision(ctx caddy.Context) error {
	m.places = lastAdapted.placesOf(m)
	if err := m.provision(ctx); err != nil {
		return m.locateAtLoad(err)
	}
	return nil
}

func (m *Middleware) provision(ctx caddy.Context) error {
	m.logger = ctx.Logger()
	repl := caddy.NewReplacer()
	resolved, err := m.Resolve(func(text string) (string, error) {
		value, err := repl.ReplaceOrErr(text, true, true)
		if err != nil {
			err = settings.Unresolved(text, err)
		}
		return value, err
	})
	if err != nil {
		return err
	}
	m.resolved = resolved
	if err := m.Validate(); err != nil { // Caddy calls it after Provision, which relies on it
		return err
	}
	around := siteOf(ctx)
	m.where = around.where()
	if err := around.check(); err != nil {
		return fmt.Errorf("the site %s: %w", m.where, err)
	}
	if m.client, err = newClient(resolved); err != nil {
		return err
	}
	if m.clientKeys, err = readClientKey(resolved); err != nil {
		return err
	}
	if err := register(ctx.GetMetricsRegistry()); err != nil {
		return err
	}
	if m.events, err = newEmitter(ctx); err != nil {
		return fmt.Errorf("loading the events app: %w", err)
	}
	m.former = new(atomic.Pointer[pooledGate])
	if m.gate, err = loadGate(resolved.Issuer, resolved.ClientID, resolved.Origin()); err != nil {
		return err
	}
	if resolved.MakesClientKeys() {
		m.clientKeys = m.gate.client
	}
	gen := &generation{registry: ctx.GetMetricsRegistry(), settings: resolved, storage: ctx.Storage(), relyingParty: m.gate.relyingPartyOf(ctx.GetMetricsRegistry())}
	if gen.relyingParty == nil { // this is the first block
		gen.relyingParty = m.relyingParty()
	}
	gen.handler = m.build(gen)
	m.handler = gen.handler
	first, err := m.gate.join(m, gen)
	if first {
		m.warn(around)
		m.warnOfProxies(ctx)
	}
	return err
}

// Validate explains what is wrong with the settings. It does no I/O.
func (m *Middleware) Validate() error {
	if m.resolved == nil {
		return errors.New("romm_oidc is not provisioned")
	}
	return m.resolved.Check()
}

// Cleanup releases the gate. Caddy calls it after a failed Provision too.
func (m *Middleware) Cleanup() error {
	if m.client != nil {
		m.client.CloseIdleConnections()
	}
	if m.gate == nil {
		return nil
	}
	gate := m.gate
	m.gate = nil
	m.former.Store(gate)
	gate.leave(m)
	return releaseGate(gate.id)
}

// warn logs a warning for each setting that is allowed but dangerous.
func (m *Middleware) warn(around *site) {
	logger := m.logger
	if block, known := m.places[""]; known {
		logger = logger.With(zap.Stringer("line", block))
	}
	if !m.resolved.Origin().Secure() {
		logger.Warn("insecure `redirect_uri`: over http, attackers on the network can take over sessions, and sites on sibling subdomains can set this site's cookies")
	}
	for _, origin := range m.resolved.AlsoOrigins() {
		if !origin.Secure() {
			logger.Warn("insecure origin in the `also` setting: any device on that network can read the tokens and passwords that clients send there", zap.Stringer("origin", origin))
		}
	}
	if slices.Contains(m.resolved.Clients, romm.ClientsPassword) {
		logger.Warn("`clients password` is set: RomM user names and passwords bypass the provider and its second factor")
	}
	if roles := m.resolved.Roles; roles != nil && slices.Contains(roles.Admin, romm.Everyone) {
		logger.Warn("`roles` has `admin *`: every user whom the provider lets in is an administrator of RomM. Name a group or e-mail addresses, and write `user *` for the others")
	}
	if !around.proxied() {
		logger.Warn("no reverse_proxy follows romm_oidc: sign-ins will fail, since the gate signs users in to RomM through it. Add \"reverse_proxy romm:8080\" after romm_oidc",
			zap.String("site", m.where))
	}
	if host, ok := around.overTLS(); ok {
		logger.Warn("the address is served over TLS with a certificate that RomM does not trust, so that RomM cannot reach its provider there: write http:// before it",
			zap.String("address", host), zap.String("site", m.where))
	}
}

// seenVar is the request variable that marks a request as seen by a gate.
const seenVar = "romm_oidc"

var errTwice = errors.New("two romm_oidc directives handle this request: remove one. One before the site's other directives is enough, inside handle or outside")

// passage is what a request allocates. Beyond 512 bytes that takes longer.
type passage struct {
	chain chain
	space handler.Space
}

// ServeHTTP implements caddyhttp.MiddlewareHandler.
func (m *Middleware) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	// A second gate would strip the stamp of the first. The gate's sub-requests
	// carry the variable too, but they begin behind the gate.
	vars, _ := r.Context().Value(caddyhttp.VarsCtxKey).(map[string]any)
	if _, seen := vars[seenVar]; seen {
		return caddyhttp.Error(http.StatusInternalServerError, errTwice)
	}
	if vars != nil {
		vars[seenVar] = true
	}
	passing := &passage{chain: chain{next: next, r: r}}
	forwardClientIP(r, &passing.chain)
	current := m.handler
	if former := m.former.Load(); former != nil {
		if current = former.takesOver(w, r); current == nil {
			return caddyhttp.Error(http.StatusMisdirectedRequest, errOutlived)
		}
		passing.chain.outlived = true
	}
	err := current.ServeIn(&passing.space, w, r, &passing.chain) //nolint:contextcheck // the request carries it
	problem, ok := errors.AsType[*problem.Problem](err)
	if !ok {
		return err
	}
	return caddyhttp.HandlerError{Err: problem, StatusCode: problem.Status, ID: problem.Reference, Trace: handlerID}
}

var (
	_ caddy.Provisioner           = (*Middleware)(nil)
	_ caddy.Validator             = (*Middleware)(nil)
	_ caddy.CleanerUpper          = (*Middleware)(nil)
	_ caddyhttp.MiddlewareHandler = (*Middleware)(nil)
)
