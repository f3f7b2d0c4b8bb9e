// Package rommoidc is a Caddy handler that puts RomM behind an OpenID Connect
// provider such as Authelia. Whoever passes it arrives in RomM already signed
// in, as a native RomM user.
//
// This package is Caddy's face of it: configuration, life cycle, wiring. What
// a request gets is decided in package handler, what RomM understands in
// package handler/romm, and the protocol is in package flow.
package rommoidc

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/romm-oidc/caddy-romm-oidc/flow"
	"github.com/romm-oidc/caddy-romm-oidc/flow/op"
	"github.com/romm-oidc/caddy-romm-oidc/flow/session"
	"github.com/romm-oidc/caddy-romm-oidc/handler"
	_ "github.com/romm-oidc/caddy-romm-oidc/handler/command" // caddy romm-oidc
	"github.com/romm-oidc/caddy-romm-oidc/handler/problem"
	"github.com/romm-oidc/caddy-romm-oidc/handler/request"
	"github.com/romm-oidc/caddy-romm-oidc/handler/romm"
	"github.com/romm-oidc/caddy-romm-oidc/handler/settings"
)

func init() { caddy.RegisterModule(Middleware{}) }

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
		return err
	}
	client, err := newClient(resolved)
	if err != nil {
		return err
	}
	if err := register(ctx.GetMetricsRegistry()); err != nil {
		return err
	}

	gate, err := loadGate(resolved.Issuer, resolved.ClientID, origin)
	if err != nil {
		return err
	}
	m.poolKey = gate.id
	// A configuration has one registry, however many addresses its sites have.
	if registry := ctx.GetMetricsRegistry(); gate.warned.Swap(registry) != registry {
		warn(m.logger, resolved, origin)
	}
	limits := session.Limits{Idle: resolved.Idle, Lifetime: resolved.Lifetime, Rotate: resolved.Rotate}
	gate.configure(ctx.Storage(), limits)

	relyingParty := flow.New(flow.Config{
		Issuer: resolved.Issuer, ClientID: resolved.ClientID, ClientSecret: resolved.ClientSecret,
		ClientAuth: settings.ClientAuths[resolved.ClientAuth], RedirectURI: resolved.RedirectURI, Scopes: resolved.Scopes,
		UsernameClaim: resolved.UsernameClaim, GroupsClaim: resolved.GroupsClaim,
		Client: client, Keyring: gate.sessions.Keyring,
	})
	m.gate = handler.New(handler.Config{
		Origin:          origin,
		ProviderLabel:   resolved.Provider,
		RelyingParty:    relyingParty,
		Application:     newApplication(resolved, gate, m.logger),
		Gate:            gate.gate,
		Policy:          resolved.Policy(),
		Lifetime:        limits.Lifetime,
		Recheck:         resolved.Recheck,
		Unproven:        resolved.Unproven,
		IdentityHeaders: resolved.IdentityHeaders,
		PassErrors:      resolved.Errors == "pass",
		Logger:          m.logger,
		Observe:         observe,
	})
	gate.relyingParty.Store(relyingParty)
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

const handlerID = "http.handlers.romm_oidc"

// Cleanup gives back this instance's share of the gate's state. Caddy calls it
// after a failed Provision too.
func (m *Middleware) Cleanup() error {
	if m.poolKey == "" {
		return nil
	}
	err := releaseGate(m.poolKey)
	m.poolKey = ""
	return err
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
	return err // the chain's own
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
func newApplication(s *settings.Settings, gate *pooledGate, logger *zap.Logger) *romm.App {
	var roles *romm.Roles
	if s.Roles != nil {
		roles = &romm.Roles{Admin: s.Roles.Admin, User: s.Roles.User}
	}
	clients, _ := romm.ParseClients(s.Clients) // checked before
	return romm.New(romm.Config{
		Provider: op.New(gate.provider, op.Config{
			ClientID: s.ClientID, ClientSecret: s.RommClientSecret, RedirectURI: s.RedirectURI, Algorithm: s.RommIDTokenAlg,
			Report: func(event string, err error) { observeProvider(logger, event, err) },
		}),
		ClientID: s.ClientID, RedirectURI: s.RedirectURI, Roles: roles, Clients: clients,
		Links: gate.links, Known: gate.romm,
	})
}

// Interface guards.
var (
	_ caddy.Provisioner           = (*Middleware)(nil)
	_ caddy.CleanerUpper          = (*Middleware)(nil)
	_ caddyhttp.MiddlewareHandler = (*Middleware)(nil)
)
