package rommoidc

import (
	"fmt"
	"slices"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"

	"github.com/romm-oidc/caddy-romm-oidc/handler/settings"
)

func init() {
	httpcaddyfile.RegisterDirective("romm_oidc", parseCaddyfile)
	httpcaddyfile.RegisterDirectiveOrder("romm_oidc", httpcaddyfile.Before, "forward_auth")
}

// parseCaddyfile is what RegisterHandlerDirective would make of
// UnmarshalCaddyfile, but that a matcher is refused.
func parseCaddyfile(h httpcaddyfile.Helper) ([]httpcaddyfile.ConfigValue, error) {
	h.Next() // the directive's own name
	matcher, err := h.ExtractMatcherSet()
	if err != nil {
		return nil, fmt.Errorf("romm_oidc: %w", err)
	}
	if matcher != nil {
		return nil, h.Err("romm_oidc takes no matcher: what does not match would reach RomM past the gate. Leave it out; clients lets in what has no browser")
	}
	m := new(Middleware)
	if err := m.UnmarshalCaddyfile(h.Dispenser); err != nil {
		return nil, err
	}
	return h.NewRoute(nil, m), nil
}

// UnmarshalCaddyfile sets up the handler from the Caddyfile:
//
//	romm_oidc {
//		issuer             <url>
//		issuer_address     <url>
//		client_id          <id>
//		client_secret      <secret>
//		client_auth        basic|post
//		romm_client_secret <secret>
//		romm_id_token_alg  ES256|RS256
//		redirect_uri       <url>
//		scopes             <scope...>
//		username_claim     <claim>
//		groups_claim       <claim>
//		allow {
//			groups  <group...>
//			emails  <address...>
//			domains <domain...>
//		}
//		roles {
//			admin <group|address|*...>
//			user  <group|address|*...>
//		}
//		clients password|bearer|feeds|downloads|covers...
//		session {
//			idle     <duration>
//			lifetime <duration>
//			recheck  <duration>
//			unproven <duration>
//		}
//		rotate   <duration>
//		identity_headers
//		errors   pass
//		tls_ca   <file>
//		provider <label>
//	}
//
// The block may be left out where the environment has all that is required.
// There is no matcher: what it leaves out would reach RomM past the gate.
func (m *Middleware) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the directive's own name
	if d.NextArg() {
		return d.Errf("romm_oidc takes no argument: put %q into its block", d.Val())
	}
	texts := map[string]*string{
		"issuer": &m.Issuer, "issuer_address": &m.IssuerAddress, "client_id": &m.ClientID,
		"client_secret": &m.ClientSecret, "client_auth": &m.ClientAuth, "romm_client_secret": &m.RommClientSecret,
		"romm_id_token_alg": &m.RommIDTokenAlg, "redirect_uri": &m.RedirectURI, "username_claim": &m.UsernameClaim,
		"groups_claim": &m.GroupsClaim, "errors": &m.Errors, "tls_ca": &m.TLSCA, "provider": &m.Provider,
	}
	blocks := map[string]func(*caddyfile.Dispenser) error{
		"scopes":           func(d *caddyfile.Dispenser) error { return list(d, &m.Scopes) },
		"clients":          func(d *caddyfile.Dispenser) error { return list(d, &m.Clients) },
		"allow":            m.unmarshalAllow,
		"roles":            m.unmarshalRoles,
		"session":          m.unmarshalSession,
		"rotate":           func(d *caddyfile.Dispenser) error { return duration(d, &m.Rotate) },
		"identity_headers": m.unmarshalIdentityHeaders,
	}
	seen := make(map[string]bool)
	for d.NextBlock(0) {
		word := d.Val()
		if seen[word] && word != "clients" { // each may stand beside its reason
			return d.Errf("%s is given twice", word)
		}
		seen[word] = true
		var err error
		if to, ok := texts[word]; ok {
			err = text(d, to)
		} else if block, ok := blocks[word]; ok {
			err = block(d)
		} else {
			err = unknown(d, "romm_oidc", texts, blocks)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (m *Middleware) unmarshalAllow(d *caddyfile.Dispenser) error {
	m.Allow = new(settings.Allow)
	return lists(d, "allow", map[string]*[]string{
		"groups": &m.Allow.Groups, "emails": &m.Allow.Emails, "domains": &m.Allow.Domains,
	})
}

func (m *Middleware) unmarshalRoles(d *caddyfile.Dispenser) error {
	m.Roles = new(settings.Roles)
	return lists(d, "roles", map[string]*[]string{"admin": &m.Roles.Admin, "user": &m.Roles.User})
}

func (m *Middleware) unmarshalSession(d *caddyfile.Dispenser) error {
	m.Session = new(Session)
	words := map[string]*caddy.Duration{
		"idle": &m.Session.Idle, "lifetime": &m.Session.Lifetime, "recheck": &m.Session.Recheck, "unproven": &m.Session.Unproven,
	}
	return block(d, "session", words, func(to *caddy.Duration) error {
		if *to != 0 {
			return d.Errf("session: %s is given twice", d.Val())
		}
		return duration(d, to)
	})
}

func (m *Middleware) unmarshalIdentityHeaders(d *caddyfile.Dispenser) error {
	if d.NextArg() {
		return d.Errf("identity_headers takes no argument: leave it out to switch it off")
	}
	m.IdentityHeaders = true
	return nil
}

// lists reads a block of which every line is a word and a list. A word may
// stand on several lines.
func lists(d *caddyfile.Dispenser, name string, words map[string]*[]string) error {
	return block(d, name, words, func(to *[]string) error { return list(d, to) })
}

// block reads the block called name, whose lines begin with one of words.
func block[T any](d *caddyfile.Dispenser, name string, words map[string]*T, line func(to *T) error) error {
	if d.NextArg() {
		return d.Errf("%s takes a block: write \"%s {\" and one word a line", name, name)
	}
	empty := true
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		empty = false
		to, ok := words[d.Val()]
		if !ok {
			return unknown[*T, any](d, name, words, nil)
		}
		if err := line(to); err != nil {
			return err
		}
	}
	if empty {
		return d.Errf("%s is empty: fill its block, or leave it out", name)
	}
	return nil
}

// text reads exactly one argument.
func text(d *caddyfile.Dispenser, to *string) error {
	word := d.Val()
	switch args := d.RemainingArgs(); len(args) {
	case 0:
		return d.Errf("%s takes exactly one value, and has none", word)
	case 1:
		*to = args[0]
		return nil
	default:
		return d.Errf("%s takes exactly one value, and has %d: put quotes around one with spaces in it", word, len(args))
	}
}

// duration reads exactly one duration.
func duration(d *caddyfile.Dispenser, to *caddy.Duration) error {
	word, value := d.Val(), ""
	if err := text(d, &value); err != nil {
		return err
	}
	parsed, err := caddy.ParseDuration(value)
	if err == nil && parsed == 0 || slices.Contains([]string{"off", "no", "never", "none"}, value) {
		return d.Errf("%s cannot be switched off: write a duration like 12h or 14d, or leave it out", word)
	}
	if err != nil || parsed < 0 {
		return d.Errf("%s: %q is not a duration like 90s, 5m, 12h or 14d", word, value)
	}
	*to = caddy.Duration(parsed)
	return nil
}

// list reads one argument or more.
func list(d *caddyfile.Dispenser, to *[]string) error {
	word := d.Val()
	args := d.RemainingArgs()
	if len(args) == 0 {
		return d.Errf("%s takes one value or more", word)
	}
	*to = append(*to, args...)
	return nil
}

// unknown refuses a word, and says which there are.
func unknown[A, B any](d *caddyfile.Dispenser, where string, a map[string]A, b map[string]B) error {
	words := make([]string, 0, len(a)+len(b))
	for word := range a {
		words = append(words, word)
	}
	for word := range b {
		words = append(words, word)
	}
	slices.Sort(words)
	return d.Errf("%s does not know %q: it takes %v", where, d.Val(), words)
}

var _ caddyfile.Unmarshaler = (*Middleware)(nil)
