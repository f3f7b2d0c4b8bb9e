// Package rommoidc is a Caddy handler that puts RomM behind an OpenID Connect
// provider such as Authelia. Whoever passes it arrives in RomM already signed
// in, as a native RomM user.
//
// This package is Caddy's face of it: configuration, life cycle, wiring. What
// a request gets is decided in package handler, what RomM understands in
// package handler/romm, and the protocol is in package flow.
package rommoidc

import (
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/romm-oidc/caddy-romm-oidc/flow"
	"github.com/romm-oidc/caddy-romm-oidc/flow/keyring"
	"github.com/romm-oidc/caddy-romm-oidc/flow/op"
	"github.com/romm-oidc/caddy-romm-oidc/flow/session"
	"github.com/romm-oidc/caddy-romm-oidc/handler"
	"github.com/romm-oidc/caddy-romm-oidc/handler/admin"
	"github.com/romm-oidc/caddy-romm-oidc/handler/application"
	_ "github.com/romm-oidc/caddy-romm-oidc/handler/command" // caddy romm-oidc
	"github.com/romm-oidc/caddy-romm-oidc/handler/problem"
	"github.com/romm-oidc/caddy-romm-oidc/handler/request"
	"github.com/romm-oidc/caddy-romm-oidc/handler/romm"
	"github.com/romm-oidc/caddy-romm-oidc/handler/settings"
)

func init() {
	caddy.RegisterModule(Middleware{})
	admin.Gates = func() (all []admin.Gate) {
		gates.Range(func(_, value any) bool {
			if gate, ok := value.(*pooledGate); ok && gate.relyingParty.Load() != nil { // else it is only being provisioned
				all = append(all, gate)
			}
			return true
		})
		return all
	}
}

// Middleware puts RomM behind an OpenID Connect provider. It signs visitors in
// with the authorization code flow, keeps their sessions in Caddy's storage,
// signs them in to RomM through RomM's own OpenID Connect client, and stamps
// each of their requests with RomM's session. Put a reverse_proxy to RomM
// behind it.
//
// Every string may hold placeholders. A setting that RomM has an environment
// variable for falls back to it.
//
// # It sets the placeholders
//
// Placeholder | Meaning
// ------------|--------
// `{http.auth.user.id}` | the user name, also in the access log
// `{http.auth.user.email}` | the e-mail address
// `{http.auth.user.name}` | the display name
// `{http.auth.user.groups}` | the groups, with commas between them
// `{http.auth.user.sub}` | the subject at the provider
//
// and, with `errors pass`, `{http.romm_oidc.code}`, `{http.romm_oidc.status}`
// and `{http.romm_oidc.reference}` of its own errors for the error routes.
type Middleware struct {
	// The provider's issuer URL, exactly as it names itself. https, or http on
	// a loopback name. Default: `OIDC_SERVER_APPLICATION_URL`.
	Issuer string `json:"issuer,omitempty"`

	// Where to reach the provider, if not at its public name: for instance
	// `http://authelia:9091` in a container network. Requests still carry the
	// public name. Default: the issuer.
	IssuerAddress string `json:"issuer_address,omitempty"`

	// The client id at the provider. Default: `OIDC_CLIENT_ID`.
	ClientID string `json:"client_id,omitempty"`

	// The client secret at the provider; `{file./run/secrets/name}` reads it
	// from a file. Default: `OIDC_CLIENT_SECRET`.
	ClientSecret string `json:"client_secret,omitempty"`

	// The secret by which RomM proves to this handler that it is RomM: its
	// own OIDC_CLIENT_SECRET. Letters and digits. Default: client_secret.
	RommClientSecret string `json:"romm_client_secret,omitempty"`

	// The algorithm of the ID tokens that RomM gets: ES256 or RS256. Default: ES256.
	RommIDTokenAlg string `json:"romm_id_token_alg,omitempty"`

	// How to authenticate at the provider's token endpoint: `basic` or `post`.
	// Default: basic.
	ClientAuth string `json:"client_auth,omitempty"`

	// The public URL of the callback, registered at the provider. Its path is
	// /api/oauth/openid; its scheme and host are the only ones under which the
	// site answers. Default: `OIDC_REDIRECT_URI`.
	RedirectURI string `json:"redirect_uri,omitempty"`

	// The scopes to ask for. The client must be allowed all of them: one too
	// many fails every sign-in. Default: openid profile email.
	Scopes []string `json:"scopes,omitempty"`

	// The claim that holds the user name. Default: preferred_username.
	UsernameClaim string `json:"username_claim,omitempty"`

	// The claim that holds the groups. Default: groups.
	GroupsClaim string `json:"groups_claim,omitempty"`

	// Who may use the site. Default: whoever the provider lets through.
	Allow *settings.Allow `json:"allow,omitempty"`

	// Who is what in RomM (4.8 or later). Default: RomM's own roles stay as they are.
	Roles *settings.Roles `json:"roles,omitempty"`

	// Clients without a browser to let in, beside those with a client token:
	// `password`, `bearer`, `feeds`, `downloads`, `covers`. Default: none.
	Clients []string `json:"clients,omitempty"`

	// How long a session lasts.
	Session *Session `json:"session,omitempty"`

	// How old the keys get that seal what is stored and sign RomM's ID tokens;
	// at least 1d. Each stays in use beside its follower for as long as it is
	// needed. Default: 90d.
	Rotate caddy.Duration `json:"rotate,omitempty"`

	// Stamp Remote-User, Remote-Email, Remote-Name and Remote-Groups too, for
	// something else behind this handler; RomM ignores them. Default: off.
	IdentityHeaders bool `json:"identity_headers,omitempty"`

	// `pass` hands errors to the site's own error routes. Default: pages of our own.
	Errors string `json:"errors,omitempty"`

	// A PEM file of the certificate authorities to trust at the issuer, in
	// place of the system's.
	TLSCA string `json:"tls_ca,omitempty"`

	// What the pages call the provider. Default: `OIDC_PROVIDER`, else the issuer's host.
	Provider string `json:"provider,omitempty"`

	gate    *handler.Handler
	poolKey string
	logger  *zap.Logger
}

// Session says how long a session lasts.
type Session struct {
	Idle     caddy.Duration `json:"idle,omitempty"`     // without use; default 14d
	Lifetime caddy.Duration `json:"lifetime,omitempty"` // at most; default 30d
	Recheck  caddy.Duration `json:"recheck,omitempty"`  // between questions to the provider about a session in use; default 5m
	Unproven caddy.Duration `json:"unproven,omitempty"` // after the provider's tokens ended, until the user opens a page again; default 24h
}

// CaddyModule returns the module's information.
func (Middleware) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.handlers.romm_oidc",
		New: func() caddy.Module { return new(Middleware) },
	}
}

// gates holds the state of every gate, across reloads.
var gates = caddy.NewUsagePool()

// pooledGate is what one gate keeps beside its configuration.
type pooledGate struct {
	id, issuer, clientID, origin string

	relyingParty atomic.Pointer[flow.RelyingParty]   // the last instance's
	warned       atomic.Pointer[prometheus.Registry] // of the configuration whose warnings were given

	storage  atomic.Pointer[keyring.Storage]
	links    *romm.Links
	sessions *session.Store
	gate     *handler.Gate
	romm     *romm.Known
	signing  *op.Keys
	codes    *op.Codes
	stop     context.CancelFunc // ends the work beside the requests
}

// store returns the storage that the last instance brought.
func (s *pooledGate) store() keyring.Storage { return *s.storage.Load() }

// ID implements admin.Gate.
func (s *pooledGate) ID() string { return s.id }

// Links implements admin.Gate.
func (s *pooledGate) Links() *romm.Links { return s.links }

// Rotate implements admin.Gate.
func (s *pooledGate) Rotate(ctx context.Context) error {
	return errors.Join(s.sessions.Rotate(ctx), s.signing.Rotate(ctx))
}

// Issuer implements admin.Gate.
func (s *pooledGate) Issuer() string { return s.issuer }

// Sessions implements admin.Gate.
func (s *pooledGate) Sessions() *session.Store { return s.sessions }

// Status implements admin.Gate. It asks the provider and uses storage as a
// sign-in would, so that who looks after a failure sees whether it is over.
func (s *pooledGate) Status(ctx context.Context) admin.Status {
	status := admin.Status{
		Gate: s.id, Issuer: s.issuer, ClientID: s.clientID, Origin: s.origin,
		StorageAway: s.sessions.Away(), SessionsInMemory: s.sessions.Len(),
	}
	rp := s.relyingParty.Load()
	if err := s.sessions.Probe(ctx); err != nil {
		status.StorageError = err.Error()
	}
	err := rp.Discover(ctx)
	read, failed := rp.Loaded()
	status.Provider.MetadataRead = read
	if err = cmp.Or(err, failed); err != nil {
		status.Provider.Error = err.Error()
	}
	status.RomM.Version, status.RomM.Seen = s.romm.Version()
	return status
}

// Destruct ends the workers of a gate that no configuration uses any more.
func (s *pooledGate) Destruct() error {
	s.stop()
	s.sessions.Close()
	return nil
}

// Provision fills in the placeholders and defaults and builds the gate. It
// neither asks the provider nor waits for RomM: both usually start later.
func (m *Middleware) Provision(ctx caddy.Context) error {
	m.logger = ctx.Logger()
	resolved, err := m.resolve(caddy.NewReplacer())
	if err != nil {
		return err
	}
	origin, err := resolved.Check()
	if err != nil {
		return err //nolint:wrapcheck // it names the word
	}
	client, err := newClient(resolved)
	if err != nil {
		return err
	}
	if err := register(ctx.GetMetricsRegistry()); err != nil {
		return err
	}

	id := gateID(resolved.Issuer, resolved.ClientID, origin)
	state, err := m.load(id, resolved, origin)
	if err != nil {
		return err
	}
	// A configuration has one registry, however many addresses its sites have.
	if registry := ctx.GetMetricsRegistry(); state.warned.Swap(registry) != registry {
		warn(m.logger, resolved, origin)
	}
	storage := keyring.Storage(ctx.Storage())
	state.storage.Store(&storage)
	limits := session.Limits{Idle: resolved.Idle, Lifetime: resolved.Lifetime, Rotate: resolved.Rotate}
	state.sessions.Configure(storage, limits)
	state.signing.Configure(limits.Rotate)

	relyingParty := flow.New(flow.Config{
		Issuer: resolved.Issuer, ClientID: resolved.ClientID, ClientSecret: resolved.ClientSecret,
		ClientAuth: settings.ClientAuths[resolved.ClientAuth], RedirectURI: resolved.RedirectURI, Scopes: resolved.Scopes,
		UsernameClaim: resolved.UsernameClaim, GroupsClaim: resolved.GroupsClaim,
		Client: client, Keyring: state.sessions.Keyring,
	})
	m.gate = handler.New(handler.Config{
		Origin:          origin,
		ProviderLabel:   resolved.Provider,
		RelyingParty:    relyingParty,
		Application:     newApplication(resolved, state, m.logger),
		Gate:            state.gate,
		Policy:          resolved.Policy(),
		Lifetime:        limits.Lifetime,
		Recheck:         resolved.Recheck,
		Unproven:        resolved.Unproven,
		IdentityHeaders: resolved.IdentityHeaders,
		PassErrors:      resolved.Errors == "pass",
		Logger:          m.logger,
		Observe:         observe,
	})
	state.relyingParty.Store(relyingParty)
	return nil
}

// warn says what is allowed and dangerous.
func warn(logger *zap.Logger, s *settings.Settings, origin request.Origin) {
	if !origin.Secure() {
		logger.Warn("redirect_uri is http: whoever listens on the network can take over sessions, and sites on sibling subdomains can set this site's cookies")
	}
	if slices.Contains(s.Clients, romm.ClientsPassword) {
		logger.Warn("clients password: whoever has a password of RomM's own gets past the provider and its second factor")
	}
}

// load takes this instance's share of the gate's state.
func (m *Middleware) load(id string, resolved *settings.Settings, origin request.Origin) (*pooledGate, error) {
	value, _, err := gates.LoadOrNew(id, func() (caddy.Destructor, error) {
		node, _ := os.Hostname() // only for lists; may be empty
		state := &pooledGate{id: id, issuer: resolved.Issuer, clientID: resolved.ClientID, origin: origin.String(), romm: romm.NewKnown()}
		state.links = romm.NewLinks(id, state.store)
		state.sessions = session.New(session.Options{Gate: id, Node: node, Logger: caddy.Log().Named(handlerID)})
		go state.sessions.Run(context.Background()) // until Destruct: a configuration's context ends at every reload
		state.gate = handler.NewGate(state.sessions)
		state.signing = op.NewKeys(id, state.sessions.Keyring, state.store, time.Now)
		state.codes = op.NewCodes(time.Now)
		var ctx context.Context
		ctx, state.stop = context.WithCancel(context.Background())
		go state.gate.Run(ctx)
		go state.signing.Run(ctx, func(event op.Event) {
			caddy.Log().Named(handlerID).Warn("refreshing the signing keys failed, will retry", zap.String("event", event.Name), zap.Error(event.Err))
		})
		return state, nil
	})
	if err != nil {
		return nil, fmt.Errorf("loading the state of the gate: %w", err)
	}
	m.poolKey = id
	state, ok := value.(*pooledGate)
	if !ok {
		return nil, errors.New("the state of the gate has another type")
	}
	return state, nil
}

const handlerID = "http.handlers.romm_oidc"

// Cleanup gives back this instance's share of the gate's state. Caddy calls it
// after a failed Provision too.
func (m *Middleware) Cleanup() error {
	if m.poolKey == "" {
		return nil
	}
	_, err := gates.Delete(m.poolKey)
	m.poolKey = ""
	if err != nil {
		return fmt.Errorf("releasing the state of the gate: %w", err)
	}
	return nil
}

// mark says, among a request's variables, that a gate has had it.
const mark = "romm_oidc"

var errTwice = errors.New("romm_oidc stands twice in the way of this request: leave one out. One before the site's other directives is enough, inside handle or outside")

// ServeHTTP hands the request to the gate.
func (m *Middleware) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	// What a first gate stamps, a second would strip. Its own calls have the
	// mark too: they begin behind it.
	if caddyhttp.GetVar(r.Context(), mark) != nil {
		return caddyhttp.Error(http.StatusInternalServerError, errTwice)
	}
	caddyhttp.SetVar(r.Context(), mark, true)
	err := m.gate.ServeHTTP(w, r, &chain{next: next, r: r})
	if problem, ok := errors.AsType[*problem.Problem](err); ok {
		if repl, ok := r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer); ok {
			repl.Set("http.romm_oidc.code", problem.Code)
			repl.Set("http.romm_oidc.status", problem.Status)
			repl.Set("http.romm_oidc.reference", problem.Reference)
		}
		return caddyhttp.HandlerError{Err: problem, StatusCode: problem.Status, ID: problem.Reference, Trace: handlerID}
	}
	return err //nolint:wrapcheck // the chain's own error
}

// chain is the rest of Caddy's handler chain as one request sees it.
type chain struct {
	next caddyhttp.Handler
	r    *http.Request // whose context Fresh falls back to
}

// Serve implements handler.Chain.
func (c *chain) Serve(w http.ResponseWriter, r *http.Request) error {
	return c.next.ServeHTTP(w, r) //nolint:wrapcheck // the chain's own error
}

// Fresh implements handler.Chain. The request gets a replacer of its own,
// which knows what the visitor's knows beside what it says of the request, and
// a copy of the visitor's variables: the matchers behind us may ask for either.
func (c *chain) Fresh(w http.ResponseWriter, r, visitor *http.Request) *http.Request {
	if visitor.Context().Value(caddyhttp.ServerCtxKey) == nil { // of our own making
		visitor = c.r
	}
	server, _ := visitor.Context().Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server)
	repl := caddy.NewReplacer()
	r = caddyhttp.PrepareRequest(r, repl, w, server)
	if known, ok := visitor.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer); ok {
		repl.Map(known.Get)
	}
	known, _ := visitor.Context().Value(caddyhttp.VarsCtxKey).(map[string]any)
	vars, _ := r.Context().Value(caddyhttp.VarsCtxKey).(map[string]any)
	for name, value := range known {
		if _, ok := vars[name]; !ok {
			vars[name] = value
		}
	}
	return r
}

// Keep implements handler.Chain. What is kept of the request is its server,
// and its variables and the placeholders of handlers before us as they are now:
// the request goes on and adds others, of its user too.
func (c *chain) Keep() application.Chain {
	ctx := c.r.Context()
	known, _ := ctx.Value(caddyhttp.VarsCtxKey).(map[string]any)
	kept := context.WithValue(context.Background(), caddyhttp.VarsCtxKey, maps.Clone(known))
	kept = context.WithValue(kept, caddyhttp.ServerCtxKey, ctx.Value(caddyhttp.ServerCtxKey))
	if known, ok := ctx.Value(caddy.ReplacerCtxKey).(*caddy.Replacer); ok {
		asNow := *known // its list of providers is a copy; the rest has a lock
		kept = context.WithValue(kept, caddy.ReplacerCtxKey, &asNow)
	}
	return &chain{next: c.next, r: (&http.Request{}).WithContext(kept)}
}

// Identify implements handler.Chain.
func (c *chain) Identify(identity *flow.Identity) {
	repl, ok := c.r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
	if !ok {
		return
	}
	repl.Map(func(key string) (any, bool) {
		name, ok := strings.CutPrefix(key, "http.auth.user.")
		if !ok {
			return nil, false
		}
		switch name {
		case "id":
			return identity.Username, true
		case "email":
			return identity.Email, true
		case "name":
			return identity.Name, true
		case "groups":
			return strings.Join(identity.Groups, ","), true
		case "sub":
			return identity.Subject, true
		}
		return nil, false
	})
}

// OriginalURI implements handler.Chain.
func (c *chain) OriginalURI() string {
	if original, ok := c.r.Context().Value(caddyhttp.OriginalRequestCtxKey).(http.Request); ok {
		return original.URL.RequestURI()
	}
	return c.r.URL.RequestURI()
}

// ClientIP implements handler.Chain.
func (c *chain) ClientIP() string {
	ip, _ := caddyhttp.GetVar(c.r.Context(), caddyhttp.ClientIPVarKey).(string)
	return ip
}

// TrustedProxy implements handler.Chain.
func (c *chain) TrustedProxy() bool {
	trusted, _ := caddyhttp.GetVar(c.r.Context(), caddyhttp.TrustedProxyVarKey).(bool)
	return trusted
}

// The metrics of all gates of this process.
var (
	events = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "caddy_romm_oidc_events_total",
		Help: "Sign-ins, brokered RomM sign-ins, refreshes, sign-outs, ends of sessions and refusals, by their stable code.",
	}, []string{"event", "code"})
	inMemory = prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "caddy_romm_oidc_sessions_in_memory",
		Help: "Sessions that this process has at hand.",
	}, func() float64 { return sum((*session.Store).Len) })
	storageAway = prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "caddy_romm_oidc_storage_away",
		Help: "Gates whose storage does not answer; who is signed in stays so.",
	}, func() float64 {
		return sum(func(s *session.Store) int {
			if s.Away() {
				return 1
			}
			return 0
		})
	})
)

// sum adds up what of says of each gate's sessions.
func sum(of func(*session.Store) int) float64 {
	total := 0
	gates.Range(func(_, value any) bool {
		if state, ok := value.(*pooledGate); ok {
			total += of(state.sessions)
		}
		return true
	})
	return float64(total)
}

func observe(event, code string) { events.WithLabelValues(event, code).Inc() }

// register registers our metrics with the registry of this configuration.
func register(registry *prometheus.Registry) error {
	for _, collector := range []prometheus.Collector{events, inMemory, storageAway} {
		err := registry.Register(collector)
		if _, already := errors.AsType[prometheus.AlreadyRegisteredError](err); err != nil && !already {
			return fmt.Errorf("registering metrics: %w", err)
		}
	}
	return nil
}

// gateID names a gate: its folder in storage, and part of everything it seals.
func gateID(issuer, clientID string, origin request.Origin) string {
	sum := sha256.Sum256([]byte(issuer + "\x00" + clientID + "\x00" + origin.String()))
	return hex.EncodeToString(sum[:8])
}

// resolve returns the settings with placeholders replaced and defaults filled
// in. Secrets stay in them.
func (m *Middleware) resolve(repl *caddy.Replacer) (*settings.Settings, error) {
	c := &settings.Settings{IdentityHeaders: m.IdentityHeaders, Rotate: time.Duration(m.Rotate)}
	if m.Session != nil {
		c.Idle, c.Lifetime = time.Duration(m.Session.Idle), time.Duration(m.Session.Lifetime)
		c.Recheck, c.Unproven = time.Duration(m.Session.Recheck), time.Duration(m.Session.Unproven)
	}
	for _, field := range []struct {
		word     string
		from     string
		to       *string
		variable string // RomM's, if it has one
	}{
		{"issuer", m.Issuer, &c.Issuer, "OIDC_SERVER_APPLICATION_URL"},
		{"issuer_address", m.IssuerAddress, &c.IssuerAddress, ""},
		{"client_id", m.ClientID, &c.ClientID, "OIDC_CLIENT_ID"},
		{"client_secret", m.ClientSecret, &c.ClientSecret, "OIDC_CLIENT_SECRET"},
		{"romm_client_secret", m.RommClientSecret, &c.RommClientSecret, ""},
		{"romm_id_token_alg", m.RommIDTokenAlg, &c.RommIDTokenAlg, ""},
		{"client_auth", m.ClientAuth, &c.ClientAuth, ""},
		{"redirect_uri", m.RedirectURI, &c.RedirectURI, "OIDC_REDIRECT_URI"},
		{"username_claim", m.UsernameClaim, &c.UsernameClaim, ""},
		{"groups_claim", m.GroupsClaim, &c.GroupsClaim, ""},
		{"errors", m.Errors, &c.Errors, ""},
		{"tls_ca", m.TLSCA, &c.TLSCA, ""},
		{"provider", m.Provider, &c.Provider, "OIDC_PROVIDER"},
	} {
		value, err := repl.ReplaceOrErr(field.from, field.from != "", true)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", field.word, err)
		}
		if value == "" && field.variable != "" {
			value = os.Getenv(field.variable)
		}
		*field.to = strings.TrimSpace(value)
	}
	list := func(word string, from []string) ([]string, error) {
		to := make([]string, len(from))
		for i, entry := range from {
			value, err := repl.ReplaceOrErr(entry, true, true)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", word, err)
			}
			to[i] = value
		}
		return to, nil
	}
	var errs [7]error
	c.Scopes, errs[0] = list("scopes", m.Scopes)
	if m.Allow != nil {
		c.Allow = new(settings.Allow)
		c.Allow.Groups, errs[1] = list("allow: groups", m.Allow.Groups)
		c.Allow.Emails, errs[2] = list("allow: emails", m.Allow.Emails)
		c.Allow.Domains, errs[3] = list("allow: domains", m.Allow.Domains)
	}
	if m.Roles != nil {
		c.Roles = new(settings.Roles)
		c.Roles.Admin, errs[4] = list("roles: admin", m.Roles.Admin)
		c.Roles.User, errs[5] = list("roles: user", m.Roles.User)
	}
	c.Clients, errs[6] = list("clients", m.Clients)
	if err := errors.Join(errs[:]...); err != nil {
		return nil, err
	}
	c.Fill()
	return c, nil
}

// newClient returns the HTTP client that speaks with the provider.
func newClient(s *settings.Settings) (*http.Client, error) {
	var roots *x509.CertPool
	if s.TLSCA != "" {
		pem, err := os.ReadFile(s.TLSCA)
		if err != nil {
			return nil, fmt.Errorf("tls_ca: %w", err)
		}
		roots = x509.NewCertPool()
		if !roots.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("tls_ca: %s holds no certificate in PEM form", s.TLSCA)
		}
	}
	client, err := flow.NewClient(flow.ClientConfig{Issuer: s.Issuer, Address: s.IssuerAddress, RootCAs: roots})
	if err != nil {
		return nil, fmt.Errorf("issuer_address: %w", err)
	}
	return client, nil
}

// newApplication returns RomM as this configuration sees it.
func newApplication(s *settings.Settings, state *pooledGate, logger *zap.Logger) *romm.App {
	var roles *romm.Roles
	if s.Roles != nil {
		roles = &romm.Roles{Admin: s.Roles.Admin, User: s.Roles.User}
	}
	clients, _ := romm.ParseClients(s.Clients) // checked before
	return romm.New(romm.Config{
		Provider: op.New(state.signing, state.codes, op.Config{
			IssuerPath: request.Base, ClientID: s.ClientID, ClientSecret: s.RommClientSecret, RedirectURI: s.RedirectURI,
			Algorithm: s.RommIDTokenAlg, Report: func(event op.Event) { answered(logger, event) },
		}),
		ClientID: s.ClientID, RedirectURI: s.RedirectURI, Roles: roles, Clients: clients,
		Links: state.links, Known: state.romm,
	})
}

// answered counts and logs what the endpoints for RomM did. Strangers, who can
// ask as often as they like, fill no log.
func answered(logger *zap.Logger, event op.Event) {
	observe("romm_"+event.Name, "")
	level := zap.WarnLevel
	if event.Anonymous() {
		level = zap.DebugLevel
	}
	if event.Err != nil {
		logger.Log(level, "answering RomM's provider request failed", zap.String("event", event.Name), zap.Error(event.Err))
	}
}

// Interface guards.
var (
	_ caddy.Provisioner           = (*Middleware)(nil)
	_ caddy.CleanerUpper          = (*Middleware)(nil)
	_ caddyhttp.MiddlewareHandler = (*Middleware)(nil)
	_ application.Chain           = (*chain)(nil)
	_ caddy.Destructor            = (*pooledGate)(nil)
)
