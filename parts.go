// What a configuration is made of: the relying party, the handler, RomM, the HTTP client.

package rommoidc

import (
	"crypto/x509"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/flow"
	"github.com/romm-oidc/caddy-romm-oidc/flow/op"
	"github.com/romm-oidc/caddy-romm-oidc/handler"
	"github.com/romm-oidc/caddy-romm-oidc/handler/event"
	"github.com/romm-oidc/caddy-romm-oidc/handler/request"
	"github.com/romm-oidc/caddy-romm-oidc/handler/romm"
	"github.com/romm-oidc/caddy-romm-oidc/handler/settings"
)

// relyingParty returns the client at the provider as this configuration has it.
func (m *Middleware) relyingParty() *flow.RelyingParty {
	s := m.resolved
	return flow.New(flow.Config{
		Issuer:        s.Issuer,
		ClientID:      s.ClientID,
		ClientSecret:  s.ClientSecret,
		ClientAuth:    map[string]flow.ClientAuth{"basic": flow.ClientAuthBasic, "post": flow.ClientAuthPost, settings.ClientAuthKey: flow.ClientAuthKey}[s.ClientAuth],
		ClientKeys:    m.clientKeys,
		RedirectURI:   s.RedirectURI,
		IDTokenAlg:    s.IDTokenAlg,
		UserinfoAlg:   strings.TrimPrefix(s.UserinfoAlg, "none"), // empty: it is not signed
		Push:          s.PushAuthorization,
		FormPost:      s.ResponseMode == settings.FormPost,
		PinUnverified: s.UnverifiedEmail == "pin",
		Scopes:        s.Scopes,
		UsernameClaim: s.UsernameClaim,
		GroupsClaim:   s.GroupsClaim,
		RuleGroups:    s.RuleGroups(),
		Client:        m.client,
		Keyring:       m.gate.sessions.Keyring,
		Now:           m.gate.clock.Now,
		Compare:       m.gate.clock.Compare,
	})
}

// build returns the handler of this configuration.
func (m *Middleware) build(gen *generation) *handler.Handler {
	s, gate := m.resolved, m.gate
	var policy handler.Policy
	if s.Allow != nil {
		policy = *s.Allow
	}
	var clientKeys http.HandlerFunc
	if m.clientKeys != nil {
		clientKeys = m.clientKeys.ServeJWKS
	}
	return handler.New(handler.Config{
		Origin:          s.Origin(),
		Also:            s.AlsoOrigins(),
		ProviderLabel:   s.Provider,
		SiteName:        s.SiteName,
		RelyingParty:    gen.relyingParty,
		ClientKeys:      clientKeys,
		Application:     m.application(gate),
		Gate:            gate.gate,
		Policy:          policy,
		GroupRules:      len(policy.Groups) > 0 || s.Roles != nil && s.Roles.NameGroups(),
		Lifetime:        time.Duration(s.Session.Lifetime),
		Recheck:         time.Duration(s.Session.Recheck),
		Unproven:        time.Duration(s.Session.Unproven),
		IdentityHeaders: s.IdentityHeaders,
		PassErrors:      s.Errors == "pass",
		FormPost:        s.ResponseMode == settings.FormPost,
		Logger:          m.logger,
		Observe:         observe,
		Report:          func(e *event.Event) { gate.report(e, m.events) },
		Now:             gate.clock.Now,
		Paused:          gate.clock.Paused,
		InForce:         func() bool { return gate.inForce(gen.registry) },
	})
}

// application returns RomM as this configuration sees it.
func (m *Middleware) application(gate *pooledGate) *romm.App {
	s := m.resolved
	clients, _ := romm.ParseClients(s.Clients) // Validate has refused a wrong one
	return romm.New(romm.Config{
		Provider: op.New(gate.signing, gate.codes, op.Config{
			IssuerPath: request.Base, ClientID: s.ClientID, ClientSecret: s.RommClientSecret, RedirectURI: s.RedirectURI,
			Algorithm: s.RommIDTokenAlg, Report: func(event op.Event) { observeProvider(m.logger, event) },
			Limit: func(r *http.Request) time.Duration { return gate.gate.TokenRequest(clientIP(r)) },
		}),
		ClientID: s.ClientID, RedirectURI: s.RedirectURI, Roles: s.Roles, Clients: clients,
		Links: gate.links, Release: gate.romm, Logger: m.logger, Report: gate.gate.Report,
	})
}

// readClientKey returns the key that the client authenticates with, nil if it is in
// no file.
func readClientKey(s *settings.Settings) (*op.Keys, error) {
	if s.ClientKey == "" {
		return nil, nil //nolint:nilnil // the client has a secret, or the gate's keys
	}
	pem, err := os.ReadFile(s.ClientKey)
	if err != nil {
		return nil, fmt.Errorf("client_key: the file with the private key cannot be read: %w: name a PEM file that Caddy's user can read, or leave client_key out, so that the gate makes its keys itself", err)
	}
	keys, err := op.FixedKey(pem)
	if err != nil {
		return nil, fmt.Errorf("client_key: %s: %w", s.ClientKey, err)
	}
	return keys, nil
}

// newClient returns the HTTP client for requests to the provider.
func newClient(s *settings.Settings) (*http.Client, error) {
	var roots *x509.CertPool
	if s.TLSCA != "" {
		pem, err := os.ReadFile(s.TLSCA)
		if err != nil {
			return nil, fmt.Errorf("tls_ca: the file with the certificate authorities cannot be read: %w: name a PEM file that Caddy's user can read, such as the root.crt of the Caddy in front of Authelia", err)
		}
		roots = x509.NewCertPool()
		if !roots.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("tls_ca: %s holds no certificate in PEM form: it must begin with -----BEGIN CERTIFICATE-----", s.TLSCA)
		}
	}
	client, err := flow.NewClient(flow.ClientConfig{Issuer: s.Issuer, Address: s.IssuerAddress, RootCAs: roots})
	if err != nil {
		return nil, fmt.Errorf("issuer_address: %w", err)
	}
	return client, nil
}
