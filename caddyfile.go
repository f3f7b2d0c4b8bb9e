// The Caddyfile grammar. Its words come from the table in package settings.

package rommoidc

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"

	"github.com/romm-oidc/caddy-romm-oidc/handler/settings"
)

func init() {
	httpcaddyfile.RegisterDirective("romm_oidc", parseCaddyfile)
	httpcaddyfile.RegisterDirectiveOrder("romm_oidc", httpcaddyfile.Before, "forward_auth")
}

// parseCaddyfile does what RegisterHandlerDirective does with
// UnmarshalCaddyfile, except that it refuses a matcher.
func parseCaddyfile(h httpcaddyfile.Helper) ([]httpcaddyfile.ConfigValue, error) {
	h.Next() // the directive's own name
	place := placeOf(h.Dispenser)
	matcher, err := h.ExtractMatcherSet()
	if err != nil {
		return nil, place.wrap(fmt.Errorf("romm_oidc: %w", err))
	}
	if matcher != nil {
		return nil, place.wrap(errMatcher)
	}
	m := new(Middleware)
	if err := m.UnmarshalCaddyfile(h.Dispenser); err != nil {
		return nil, err
	}
	m.warnOfSecrets()
	if err := checkSites(place, m, h.State); err != nil {
		return nil, err
	}
	lastAdapted.remember(m)
	return h.NewRoute(nil, m), nil
}

var errMatcher = errors.New("romm_oidc does not accept a matcher, because unmatched requests would bypass it. Remove the matcher; to admit clients without a browser, use the `clients` option")

// UnmarshalCaddyfile sets up the handler from the Caddyfile:
//
//	romm_oidc {
//		issuer             <url>
//		issuer_address     <url>
//		client_id          <id>
//		client_secret      <secret>
//		client_auth        basic|post|private_key_jwt
//		client_key         <file>
//		romm_client_secret <secret>
//		romm_id_token_alg  ES256|RS256
//		id_token_alg       RS256|RS384|RS512|ES256|ES384|ES512|PS256|PS384|PS512|EdDSA
//		userinfo_alg       none|RS256|...
//		redirect_uri       <url>
//		also               <origin...>
//		scopes             <scope...>
//		username_claim     <claim>
//		groups_claim       <claim>
//		push_authorization
//		response_mode      query|form_post
//		unverified_email   refuse|pin
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
//		site_name <name>
//	}
//
// The block may be left out if the environment has all that is required. There
// is no matcher, because unmatched requests would bypass the gate.
func (m *Middleware) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the directive's own name
	m.places = map[string]place{"": placeOf(d)}
	if d.NextArg() {
		return d.Errf("romm_oidc takes no argument: put %q into its block", d.Val())
	}
	words := m.words("")
	for _, block := range settings.Blocks() {
		words[block] = word{parse: func(d *caddyfile.Dispenser) error { return m.parseBlock(d, block) }}
	}
	if err := m.parseLines(d, "", words); err != nil {
		return err
	}
	var errs []error
	for _, err := range settings.Each(m.CheckWritten()) {
		errs = append(errs, m.locate(err))
	}
	return errors.Join(errs...)
}

// locate adds the file and line of the setting that err is about.
func (m *Middleware) locate(err error) error {
	mistake, ok := errors.AsType[*settings.SettingError](err)
	if !ok {
		return m.places[""].wrap(err)
	}
	block, _, _ := strings.Cut(mistake.Setting, ":")
	for _, name := range []string{mistake.Setting, block, ""} {
		if place, ok := m.places[name]; ok {
			return place.wrap(err)
		}
	}
	return err
}

// word is how a line that begins with it is parsed.
type word struct {
	parse  func(*caddyfile.Dispenser) error
	repeat bool // several lines may begin with it
}

// words returns the table's words of a block, "" for the top level.
func (m *Middleware) words(block string) map[string]word {
	words := make(map[string]word)
	for _, setting := range m.Lists() {
		if setting.Block == block {
			words[setting.Word] = word{func(d *caddyfile.Dispenser) error { return parseList(d, setting.Value) }, setting.Repeat}
		}
	}
	for _, setting := range m.Spans() {
		if setting.Block == block {
			words[setting.Word] = word{parse: func(d *caddyfile.Dispenser) error { return parseDuration(d, setting.Value) }}
		}
	}
	if block != "" {
		return words
	}
	for _, setting := range m.Texts() {
		words[setting.Word] = word{parse: func(d *caddyfile.Dispenser) error { return parseText(d, setting.Value) }}
	}
	for _, setting := range m.Flags() {
		words[setting.Word] = word{parse: func(d *caddyfile.Dispenser) error { return parseFlag(d, setting.Value) }}
	}
	return words
}

// parseBlock parses a block within the directive's own.
func (m *Middleware) parseBlock(d *caddyfile.Dispenser, block string) error {
	if d.NextArg() {
		return d.Errf("%s takes a block: write \"%s {\" and one word a line", block, block)
	}
	m.Open(block)
	return m.parseLines(d, block, m.words(block))
}

// parseLines parses the lines of a block, "" for the directive's own.
func (m *Middleware) parseLines(d *caddyfile.Dispenser, block string, words map[string]word) error {
	where, prefix := block, block+": "
	if block == "" {
		where, prefix = "romm_oidc", ""
	}
	seen := make(map[string]bool)
	nesting := d.Nesting()
	for d.NextBlock(nesting) {
		name := d.Val()
		word, ok := words[name]
		if !ok {
			return d.WrapErr(unknown(where, name, slices.Sorted(maps.Keys(words))))
		}
		if seen[name] && !word.repeat {
			return d.Errf("%s%s is given twice", prefix, name)
		}
		seen[name] = true
		m.places[prefix+name] = placeOf(d)
		if err := word.parse(d); err != nil {
			return err
		}
	}
	if block != "" && len(seen) == 0 {
		return d.Errf("%s is empty: fill its block, or leave it out", block)
	}
	return nil
}

// parseText parses exactly one argument.
func parseText(d *caddyfile.Dispenser, to *string) error {
	word := d.Val()
	switch args := d.RemainingArgs(); len(args) {
	case 0:
		return d.Errf("%s takes exactly one value, and has none: write it, or leave the line out. If it is {$NAME}, the environment variable NAME is not set where Caddy runs", word)
	case 1:
		*to = args[0]
		return nil
	default:
		if args[0] == "=" || args[0] == ":" {
			return d.Errf("%s: remove the %q: the value follows its word after a space", word, args[0])
		}
		return d.Errf("%s takes exactly one value, and has %d: put quotes around one with spaces in it", word, len(args))
	}
}

// parseList parses one argument or more.
func parseList(d *caddyfile.Dispenser, to *[]string) error {
	word := d.Val()
	args := d.RemainingArgs()
	if len(args) == 0 {
		return d.Errf("%s takes one value or more, on the same line", word)
	}
	*to = append(*to, args...)
	return nil
}

// parseDuration parses exactly one positive duration.
func parseDuration(d *caddyfile.Dispenser, to *settings.Duration) error {
	word, value := d.Val(), ""
	if d.CountRemainingArgs() > 1 {
		value = strings.Join(d.RemainingArgs(), " ")
	} else if err := parseText(d, &value); err != nil {
		return err
	}
	if strings.Contains(value, "{") {
		return d.Errf("%s: a duration takes no placeholder but the Caddyfile's own {$NAME}: %q is not replaced", word, value)
	}
	parsed, err := settings.ParseDuration(value)
	if err == nil && parsed == 0 || slices.Contains([]string{"off", "no", "never", "none"}, value) {
		return d.Errf("%s cannot be switched off: write a duration like 12h or 14d, or leave it out", word)
	}
	if err != nil || parsed < 0 {
		return d.Errf("%s: %q is not a duration like 90s, 5m, 12h or 14d", word, value)
	}
	*to = parsed
	return nil
}

// parseFlag parses a word without arguments.
func parseFlag(d *caddyfile.Dispenser, to *bool) error {
	word := d.Val()
	if d.NextArg() {
		return d.Errf("%s takes no argument: leave it out to switch it off", word)
	}
	*to = true
	return nil
}

var _ caddyfile.Unmarshaler = (*Middleware)(nil)
