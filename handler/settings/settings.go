// Package settings is what an operator wrote, with its placeholders replaced
// and its defaults filled in, and says what is wrong with it. The words are
// those of the Caddyfile.
package settings

import (
	"net/url"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/flow"
	"github.com/romm-oidc/caddy-romm-oidc/flow/keyring"
	"github.com/romm-oidc/caddy-romm-oidc/flow/op"
	"github.com/romm-oidc/caddy-romm-oidc/flow/session"
	"github.com/romm-oidc/caddy-romm-oidc/handler"
)

const (
	// defaultRecheck is how often the provider is asked about a session in use.
	defaultRecheck = 5 * time.Minute
	// defaultUnproven is how long a session goes on whose tokens have ended.
	defaultUnproven = 24 * time.Hour
)

// Settings are all of them. Where a string or list is empty and a duration
// zero, Fill sets the default.
type Settings struct {
	Issuer, IssuerAddress      string
	ClientID, ClientSecret     string
	ClientAuth                 string // a key of ClientAuths
	RommClientSecret           string
	RommIDTokenAlg             string
	RedirectURI                string
	Scopes                     []string
	UsernameClaim, GroupsClaim string
	Allow                      *Allow // nil: whoever the provider lets through
	Roles                      *Roles // nil: RomM's own
	Clients                    []string
	Idle, Lifetime             time.Duration // of a session
	Recheck, Unproven          time.Duration // of a session
	Rotate                     time.Duration
	IdentityHeaders            bool
	Errors                     string
	TLSCA                      string
	Provider                   string
}

// Allow says who may use the site: whoever one of the entries fits.
type Allow struct {
	Groups  []string `json:"groups,omitempty"`  // names of groups
	Emails  []string `json:"emails,omitempty"`  // e-mail addresses
	Domains []string `json:"domains,omitempty"` // what stands after the "@"
}

// Roles says who is what in RomM. An entry is a group, an e-mail address, or
// "*" for everybody. Who fits no entry is not let in.
type Roles struct {
	Admin []string `json:"admin,omitempty"`
	User  []string `json:"user,omitempty"`
}

// ClientAuths are the ways to authenticate at the provider's token endpoint.
var ClientAuths = map[string]flow.ClientAuth{"basic": flow.ClientAuthBasic, "post": flow.ClientAuthPost}

// Fill sets the defaults.
func (s *Settings) Fill() {
	for _, text := range []struct {
		setting *string
		missing string
	}{
		{&s.ClientAuth, "basic"},
		{&s.RommClientSecret, s.ClientSecret},
		{&s.RommIDTokenAlg, op.ES256},
		{&s.UsernameClaim, "preferred_username"},
		{&s.GroupsClaim, "groups"},
		{&s.Provider, hostOf(s.Issuer)},
	} {
		if *text.setting == "" {
			*text.setting = text.missing
		}
	}
	for _, duration := range []struct {
		setting *time.Duration
		missing time.Duration
	}{
		{&s.Idle, session.DefaultIdle},
		{&s.Lifetime, session.DefaultLifetime},
		{&s.Recheck, defaultRecheck},
		{&s.Unproven, defaultUnproven},
		{&s.Rotate, keyring.DefaultRotate},
	} {
		if *duration.setting == 0 {
			*duration.setting = duration.missing
		}
	}
	if len(s.Scopes) == 0 {
		s.Scopes = []string{"openid", "profile", "email"}
	}
}

func hostOf(issuer string) string {
	u, err := url.Parse(issuer)
	if err != nil {
		return ""
	}
	return u.Hostname()
}

// Policy says who may use the site.
func (s *Settings) Policy() handler.Policy {
	if s.Allow == nil {
		return handler.Policy{}
	}
	return handler.Policy{Groups: s.Allow.Groups, Emails: s.Allow.Emails, Domains: s.Allow.Domains}
}
