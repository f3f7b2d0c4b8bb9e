package settings

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/flow"
	"github.com/romm-oidc/caddy-romm-oidc/flow/keyring"
	"github.com/romm-oidc/caddy-romm-oidc/flow/op"
	"github.com/romm-oidc/caddy-romm-oidc/flow/session"
	"github.com/romm-oidc/caddy-romm-oidc/handler/request"
	"github.com/romm-oidc/caddy-romm-oidc/handler/romm"
)

// Check explains what is wrong, or returns the public origin. It asks nobody.
func (s *Settings) Check() (request.Origin, error) {
	for _, required := range []struct{ word, value, variable, example string }{
		{"issuer", s.Issuer, "OIDC_SERVER_APPLICATION_URL", "issuer https://auth.example.com"},
		{"client_id", s.ClientID, "OIDC_CLIENT_ID", "client_id romm"},
		{"client_secret", s.ClientSecret, "OIDC_CLIENT_SECRET", "client_secret {env.OIDC_CLIENT_SECRET}"},
		{"redirect_uri", s.RedirectURI, "OIDC_REDIRECT_URI", "redirect_uri https://romm.example.com" + request.Base},
	} {
		if required.value == "" {
			return request.Origin{}, fmt.Errorf("%s is missing: write %q, or set the environment variable %s",
				required.word, required.example, required.variable)
		}
	}
	if err := s.checkValues(); err != nil {
		return request.Origin{}, err
	}
	origin, err := checkOrigin(s.RedirectURI)
	if err != nil {
		return origin, err
	}
	return origin, errors.Join(s.checkIssuer(origin), s.checkWords(), s.checkEntries(), s.checkGroups(), s.checkSession())
}

func (s *Settings) checkIssuer(origin request.Origin) error {
	if strings.HasSuffix(strings.TrimSuffix(s.Issuer, "/"), request.Base) {
		return fmt.Errorf("issuer: %q is this handler's own endpoint. OIDC_SERVER_APPLICATION_URL is the provider, for instance "+
			"https://auth.example.com, in Caddy's environment, and Caddy in RomM's: set it for each, not in a file that both read", s.Issuer)
	}
	if issuer, ok := strings.CutSuffix(s.Issuer, "/.well-known/openid-configuration"); ok {
		return fmt.Errorf("issuer: write %q: the rest is added by itself", issuer)
	}
	if strings.EqualFold(strings.TrimSuffix(s.Issuer, "/"), origin.String()) {
		return fmt.Errorf("issuer: %q is this site itself, by its redirect_uri: write the provider's public URL, for instance https://auth.example.com", s.Issuer)
	}
	u, err := url.Parse(s.Issuer)
	if err == nil && u.Host != "" && u.Scheme != "https" && u.Scheme != "http" {
		return fmt.Errorf("issuer: %q must begin with https://", s.Issuer)
	}
	if err != nil || u.Host == "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil || strings.ContainsAny(s.Issuer, " \t,;<>") {
		return fmt.Errorf("issuer: %q is not a URL like https://auth.example.com", s.Issuer)
	}
	if u.Scheme != "https" && (u.Scheme != "http" || !flow.IsLoopback(u.Hostname())) {
		return fmt.Errorf("issuer: %q must be https; to reach it inside a network without TLS, keep the public https URL and add \"issuer_address http://%s\"", s.Issuer, u.Host)
	}
	if s.IssuerAddress != "" {
		a, err := url.Parse(s.IssuerAddress)
		if err != nil || a.Scheme != "http" && a.Scheme != "https" || a.Host == "" || strings.Trim(a.Path, "/") != "" || a.RawQuery != "" {
			return fmt.Errorf("issuer_address: %q is not like http://authelia:9091", s.IssuerAddress)
		}
	}
	return nil
}

func (s *Settings) checkWords() error {
	var errs []error
	if _, ok := ClientAuths[s.ClientAuth]; !ok {
		errs = append(errs, fmt.Errorf("client_auth: %q is neither basic nor post", s.ClientAuth))
	}
	if s.RommIDTokenAlg != op.ES256 && s.RommIDTokenAlg != op.RS256 {
		errs = append(errs, fmt.Errorf("romm_id_token_alg: %q is neither ES256 nor RS256", s.RommIDTokenAlg))
	}
	if s.Errors != "" && s.Errors != "pass" {
		errs = append(errs, fmt.Errorf("errors: %q is not known: write \"errors pass\", or leave it out", s.Errors))
	}
	if strings.Contains(s.ClientID, ":") {
		errs = append(errs, fmt.Errorf("client_id: %q holds a colon, which RomM cannot send (RFC 7617 section 2): register the client under another id", s.ClientID))
	}
	if _, err := romm.ParseClients(s.Clients); err != nil {
		errs = append(errs, fmt.Errorf("clients: %w", err))
	}
	if !slices.Contains(s.Scopes, "openid") {
		errs = append(errs, errors.New("scopes: openid is missing: without it there is no sign-in"))
	}
	return errors.Join(errs...)
}

// checkGroups refuses a rule that could never be applied (CVE-2021-21411).
func (s *Settings) checkGroups() error {
	if s.Allow != nil && len(s.Allow.Groups)+len(s.Allow.Emails)+len(s.Allow.Domains) == 0 {
		return errors.New("allow: it has no entries, so that nobody could sign in: name groups, emails or domains, or leave allow out")
	}
	if s.Roles != nil && len(s.Roles.Admin)+len(s.Roles.User) == 0 {
		return errors.New("roles: it has no entries, so that nobody could sign in: write \"user *\", or leave roles out")
	}
	if slices.Contains(s.Scopes, "groups") || s.GroupsClaim != "groups" {
		return nil
	}
	const fix = "%s names the group %q, but scopes lacks groups, so that the provider would not name any: write \"scopes openid profile email groups\", and allow the scope groups to the client at the provider; a single user is named by e-mail address"
	if s.Allow != nil && len(s.Allow.Groups) > 0 {
		return fmt.Errorf(fix, "allow", s.Allow.Groups[0])
	}
	if s.Roles != nil {
		for _, entry := range append(slices.Clone(s.Roles.Admin), s.Roles.User...) {
			if entry != "*" && !strings.Contains(entry, "@") {
				return fmt.Errorf(fix, "roles", entry)
			}
		}
	}
	return nil
}

func (s *Settings) checkSession() error {
	for _, d := range []struct {
		word  string
		value time.Duration
		least time.Duration
	}{
		{"session: idle", s.Idle, time.Minute},
		{"session: lifetime", s.Lifetime, time.Minute},
		{"session: recheck", s.Recheck, 10 * time.Millisecond}, // a bare number in JSON is nanoseconds
		{"session: unproven", s.Unproven, 10 * time.Millisecond},
		{"rotate", s.Rotate, keyring.MinRotate}, // as every key is kept for as long as a session lasts
	} {
		if d.value < d.least {
			return fmt.Errorf("%s: %s is too short: write %s or more, or leave it out", d.word, spelled(d.value), spelled(d.least))
		}
	}
	idle, lifetime := s.Idle, s.Lifetime
	switch {
	case lifetime >= idle:
		return nil
	case idle == session.DefaultIdle:
		return fmt.Errorf("session: lifetime (%s) is shorter than idle (%s, the default): set idle too", spelled(lifetime), spelled(idle))
	case lifetime == session.DefaultLifetime:
		return fmt.Errorf("session: lifetime (%s, the default) is shorter than idle (%s): set lifetime too", spelled(lifetime), spelled(idle))
	}
	return fmt.Errorf("session: lifetime (%s) is shorter than idle (%s): make it at least as long", spelled(lifetime), spelled(idle))
}
