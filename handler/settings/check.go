// The checks of resolved settings. An error names the setting, the mistake and
// what to write instead.

package settings

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"golang.org/x/net/idna"

	"github.com/romm-oidc/caddy-romm-oidc/flow"
	"github.com/romm-oidc/caddy-romm-oidc/flow/session"
	"github.com/romm-oidc/caddy-romm-oidc/handler/request"
	"github.com/romm-oidc/caddy-romm-oidc/handler/romm"
)

// Check explains what is wrong with resolved settings. It does no I/O.
func (s *Settings) Check() error {
	if err := s.checkTexts(); err != nil {
		return err
	}
	if err := s.checkOrigin(); err != nil {
		return err
	}
	return errors.Join(s.checkIssuer(), s.checkClient(), s.checkFormats(), s.checkLists(), s.checkGroups(), s.checkSpans())
}

// Origin returns the public origin, which redirect_uri names. It needs
// settings that passed Check.
func (s *Settings) Origin() request.Origin {
	origin, _ := request.OriginOf(s.RedirectURI)
	return origin
}

// checkTexts refuses missing values, and values that can only be a mistake.
func (s *Settings) checkTexts() error {
	for _, setting := range s.Texts() {
		if *setting.Value == "" && setting.example != "" {
			return fmt.Errorf("%s is missing: write %q, or set the environment variable %s", setting.Word, setting.example, setting.variable)
		}
	}
	var errs []error
	for _, setting := range s.Texts() {
		if setting.secret && setting.Value != &s.ClientSecret && *setting.Value == s.ClientSecret {
			continue // one secret has one mistake
		}
		explain := func(is string) error { return wrong(setting.Word, "%q: %s", *setting.Value, is) }
		if setting.secret {
			explain = func(is string) error { return wrong(setting.Word, "%s", is) }
		}
		errs = append(errs, find(*setting.Value, setting.mistakes, explain))
	}
	return errors.Join(errs...)
}

// checkFormats runs the checks of the table's texts.
func (s *Settings) checkFormats() error {
	var errs []error
	for _, setting := range s.Texts() {
		if setting.check == nil {
			continue
		}
		if err := setting.check(*setting.Value); err != nil {
			errs = append(errs, &SettingError{Setting: setting.Word, err: err})
		}
	}
	return errors.Join(errs...)
}

// checkLists runs the checks of the table's lists.
func (s *Settings) checkLists() error {
	var errs []error
	for _, setting := range s.Lists() {
		name := name(setting.Block, setting.Word)
		if setting.check != nil {
			if err := setting.check(*setting.Value); err != nil {
				errs = append(errs, &SettingError{Setting: name, err: err})
			}
		}
		if setting.mistakes == nil {
			continue
		}
		for _, entry := range *setting.Value {
			errs = append(errs, find(entry, setting.mistakes(entry), func(is string) error { return wrong(name, "%q: %s", entry, is) }))
		}
	}
	return errors.Join(errs...)
}

// checkClient refuses a client with a secret and a key.
func (s *Settings) checkClient() error {
	switch byKey := s.ClientAuth == ClientAuthKey; {
	case byKey && s.ClientSecret != "":
		return wrong("client_secret", "with `client_auth private_key_jwt` the client has a key in place of a secret: remove it. RomM's own secret is romm_client_secret")
	case !byKey && s.ClientKey != "":
		return wrong("client_key", "%q is used with `client_auth private_key_jwt` only: write that, and remove client_secret, or remove client_key", s.ClientKey)
	}
	return nil
}

func (s *Settings) checkIssuer() error {
	if strings.HasSuffix(strings.TrimSuffix(s.Issuer, "/"), request.Base) {
		return wrong("issuer", "%q is this handler's own endpoint. OIDC_SERVER_APPLICATION_URL is the provider, for instance "+
			"https://auth.example.com, in Caddy's environment, and Caddy in RomM's: set it for each, not in a file that both read", s.Issuer)
	}
	if issuer, _, ok := strings.Cut(s.Issuer, "/.well-known/"); ok {
		return wrong("issuer", "write %q: the rest is added automatically", issuer)
	}
	if strings.EqualFold(strings.TrimSuffix(s.Issuer, "/"), s.Origin().String()) {
		return wrong("issuer", "%q is this site itself, by its redirect_uri: write the provider's public URL, for instance https://auth.example.com", s.Issuer)
	}
	u, err := url.Parse(s.Issuer)
	if err == nil && u.Host != "" && u.Scheme != "https" && u.Scheme != "http" {
		return wrong("issuer", "%q must begin with https://", s.Issuer)
	}
	if err != nil || u.Host == "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil || strings.ContainsAny(s.Issuer, " \t,;<>") {
		return wrong("issuer", "%q is not a URL like https://auth.example.com", s.Issuer)
	}
	if u.Scheme != "https" && (u.Scheme != "http" || !flow.IsLoopback(u.Hostname())) {
		return wrong("issuer", "%q must be https; to reach it inside a network without TLS, keep the public https URL and add \"issuer_address http://%s\"", s.Issuer, u.Host)
	}
	if s.IssuerAddress != "" {
		a, err := url.Parse(s.IssuerAddress)
		if err != nil || a.Scheme != "http" && a.Scheme != "https" || a.Host == "" || strings.Trim(a.Path, "/") != "" || a.RawQuery != "" {
			return wrong("issuer_address", "%q is not like http://authelia:9091", s.IssuerAddress)
		}
	}
	return nil
}

// checkOrigin explains what is wrong with redirect_uri.
func (s *Settings) checkOrigin() error {
	const example = `write it like "https://romm.example.com` + request.Base + `"`
	u, err := url.Parse(s.RedirectURI)
	if err != nil { // not wrapped: it repeats the value, in Go's words
		return wrong("redirect_uri", "%q is no URL: %s", s.RedirectURI, example)
	}
	if ascii, err := idna.Lookup.ToASCII(u.Hostname()); err == nil && notASCII.looks.MatchString(u.Hostname()) {
		return wrong("redirect_uri", "browsers call the host %q: write that", ascii)
	}
	origin, err := request.OriginOf(s.RedirectURI)
	if err != nil {
		return wrong("redirect_uri", "%w: %s", err, example)
	}
	if want := origin.String() + request.Base; s.RedirectURI != want {
		return wrong("redirect_uri", "write %q: RomM's callback has exactly this path, and the host is in lower case", want)
	}
	if s.ResponseMode == FormPost && !origin.Secure() {
		return wrong("response_mode", "form_post needs a redirect_uri with https: browsers send no cookie with a form of another site over http. Write `response_mode query`, or leave it out")
	}
	return nil
}

// AlsoOrigins returns the further origins. It needs settings that passed Check.
func (s *Settings) AlsoOrigins() []request.Origin {
	origins := make([]request.Origin, len(s.Also))
	for i, text := range s.Also {
		origins[i], _ = request.OriginOf(text)
	}
	return origins
}

// otherOrigins explains what is wrong with the further origins.
func (s *Settings) otherOrigins(texts []string) error {
	for _, text := range texts {
		origin, err := request.OriginOf(text)
		if err != nil {
			return fmt.Errorf("%q is no origin: write it like http://192.168.1.5:9080", text)
		}
		if text != origin.String() {
			return fmt.Errorf("write %q: an origin has no path, and its host is in lower case", origin)
		}
		if origin == s.Origin() {
			return fmt.Errorf("%q is the public origin already, by redirect_uri: leave it out", text)
		}
	}
	return nil
}

// checkGroups refuses rules that can never apply (CVE-2021-21411).
func (s *Settings) checkGroups() error {
	if s.Allow != nil && s.Allow.Empty() {
		return wrong("allow", "it has no entries, so no user could sign in: name groups, emails or domains, or leave `allow` out")
	}
	if s.Roles != nil && len(s.Roles.Admin)+len(s.Roles.User) == 0 {
		return wrong("roles", "it has no entries, so no user could sign in: write \"user *\", or leave `roles` out")
	}
	if slices.Contains(s.Scopes, "groups") || s.GroupsClaim != groupsClaim {
		return nil
	}
	const fix = "%s names the group %q, but `scopes` lacks groups, so the provider would not send any: write \"scopes openid profile email groups\", and allow the scope groups to the client at the provider; a single user is named by e-mail address"
	if s.Allow != nil && len(s.Allow.Groups) > 0 {
		return &SettingError{blockAllow, fmt.Errorf(fix, blockAllow, s.Allow.Groups[0]), true}
	}
	if s.Roles != nil {
		for _, entry := range slices.Concat(s.Roles.Admin, s.Roles.User) {
			if entry != romm.Everyone && !romm.IsEmail(entry) {
				return &SettingError{blockRoles, fmt.Errorf(fix, blockRoles, entry), true}
			}
		}
	}
	return nil
}

func (s *Settings) checkSpans() error {
	for _, setting := range s.Spans() {
		if *setting.Value < setting.least {
			return wrong(name(setting.Block, setting.Word), "%s is too short: write %s or more, or leave it out", *setting.Value, setting.least)
		}
	}
	idle, lifetime := s.Session.Idle, s.Session.Lifetime
	switch {
	case lifetime >= idle:
		return nil
	case idle == Duration(session.DefaultIdle):
		return wrong("session", "lifetime (%s) is shorter than idle (%s, the default): set idle too", lifetime, idle)
	case lifetime == Duration(session.DefaultLifetime):
		return wrong("session", "lifetime (%s, the default) is shorter than idle (%s): set lifetime too", lifetime, idle)
	}
	return wrong("session", "lifetime (%s) is shorter than idle (%s): make it at least as long", lifetime, idle)
}
