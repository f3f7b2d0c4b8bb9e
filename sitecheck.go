// What can be known about the sites of a Caddyfile when it is adapted: the
// directives and addresses around the block, which the block itself does not
// see. site.go checks what it can of configurations from elsewhere.

package rommoidc

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/romm-oidc/caddy-romm-oidc/handler/request"
)

// block is a site block of a Caddyfile that has a gate.
type block struct {
	caddyfile.ServerBlock
	at place // of the block's first romm_oidc
}

// checkSites checks the Caddyfile in which m stands, at the place own. It says
// nothing about a Caddyfile that is not in a file, or of which the file differs.
func checkSites(own place, m *Middleware, adaptation map[string]any) error {
	blocks, ok := readSites(own)
	if !ok {
		return nil
	}
	index := slices.IndexFunc(blocks, func(b block) bool { return b.has(own) })
	if index < 0 {
		return nil
	}
	b := blocks[index]
	if err := b.checkDirectives(); err != nil {
		return err
	}
	if err := b.checkPaths(); err != nil {
		return err
	}
	if err := m.agrees(own, adaptation); err != nil {
		return err
	}
	origin, err := request.OriginOf(m.RedirectURI)
	if err != nil || strings.Contains(m.RedirectURI, "{") {
		return nil //nolint:nilerr // the redirect URI is not known yet
	}
	if err := m.checkAddresses(blocks, origin); err != nil {
		return err
	}
	if err := b.checkInside(origin); err != nil {
		return err
	}
	m.warnOfSites(blocks, origin)
	return nil
}

// readSites returns the site blocks with a gate of the Caddyfile that has own.
func readSites(own place) (blocks []block, ok bool) {
	text, err := os.ReadFile(own.at.File())
	if err != nil {
		return nil, false
	}
	all, err := caddyfile.Parse(own.at.File(), text)
	if err != nil {
		return nil, false
	}
	for _, one := range all {
		if gates := gatesIn(one); len(gates) > 0 {
			if one.IsNamedRoute { // its sites are those that invoke it
				return nil, false
			}
			blocks = append(blocks, block{one, gates[0]})
		}
	}
	return blocks, true
}

// gatesIn returns where the romm_oidc directives of a site block stand.
func gatesIn(b caddyfile.ServerBlock) (gates []place) {
	for _, segment := range b.Segments {
		line, file := -1, ""
		d := caddyfile.NewDispenser(segment)
		for d.Next() {
			if first := d.Line() != line || d.File() != file; first && d.Val() == "romm_oidc" {
				gates = append(gates, placeOf(d))
			}
			line, file = d.Line(), d.File()
		}
	}
	return gates
}

func (b *block) has(own place) bool {
	return slices.ContainsFunc(gatesIn(b.ServerBlock), func(p place) bool { return p.String() == own.String() })
}

var (
	errNoProxy     = errors.New("no reverse_proxy follows romm_oidc, so that every sign-in fails: the gate signs users in to RomM through it. Add \"reverse_proxy romm:8080\" after romm_oidc")
	errForwardAuth = errors.New("forward_auth refuses the gate's own requests to RomM, so that every sign-in fails: remove it. romm_oidc signs users in by itself")
	errRewrite     = errors.New("rewrite changes the path before romm_oidc sees it, so that the callback never arrives: give it a matcher that leaves /api/* alone, or remove it")
)

// checkDirectives refuses directives that cannot work with the gate in one site.
func (b *block) checkDirectives() error {
	var top []place
	proxied := false
	hasTopGate := slices.ContainsFunc(b.Segments, func(s caddyfile.Segment) bool { return s.Directive() == "romm_oidc" })
	for _, segment := range b.Segments {
		d := caddyfile.NewDispenser(segment)
		d.Next()
		at := placeOf(d)
		if segment.Directive() == "romm_oidc" {
			top = append(top, at)
		}
		if len(top) > 1 {
			return at.wrap(errSecondGate)
		}
		if err := conflict(segment, hasTopGate); err != nil {
			return at.wrap(err)
		}
		proxied = proxied || mayAnswer(segment)
	}
	if !proxied {
		return b.at.wrap(errNoProxy)
	}
	return nil
}

// conflict returns why a directive of a site with a gate cannot work. A gate that
// is no directive of the site itself comes after forward_auth, not before.
func conflict(s caddyfile.Segment, hasTopGate bool) error {
	switch name := s.Directive(); {
	case name == "handle_path" && len(gatesIn(caddyfile.ServerBlock{Segments: []caddyfile.Segment{s}})) > 0:
		return errStripped
	case !unconditional(s):
		return nil
	case name == "forward_auth" && hasTopGate:
		return errForwardAuth
	case name == "uri" && slices.ContainsFunc(s, func(t caddyfile.Token) bool { return t.Text == "strip_prefix" }):
		return errStripped
	case name == "rewrite":
		return errRewrite
	}
	return nil
}

// unconditional reports whether a directive has no matcher.
func unconditional(s caddyfile.Segment) bool {
	if len(s) < 2 {
		return true
	}
	first := s[1].Text
	switch s.Directive() {
	case "rewrite": // "rewrite /to" has one argument, "rewrite /from /to" has two
		return len(s) == 2 || first == "*"
	case "uri", "forward_auth":
		return first == "*" || !strings.HasPrefix(first, "@") && !strings.HasPrefix(first, "/")
	}
	return false
}

// silent are the directives of Caddy that do not pass a request on to RomM.
var silent = []string{
	"abort", "acme_server", "basic_auth", "basicauth", "bind", "encode", "error", "file_server", "forward_auth", "fs", "header", "handle_errors", "intercept", "log",
	"log_append", "log_name", "log_skip", "log_level", "map", "method", "metrics", "push", "redir", "request_body", "request_header", "respond", "rewrite", "root", "romm_oidc",
	"skip_log", "templates", "timeouts", "tls", "tracing", "try_files", "uri", "vars",
}

// mayAnswer reports whether a directive passes requests on, or may do so.
func mayAnswer(s caddyfile.Segment) bool {
	name := s.Directive()
	switch {
	case strings.HasPrefix(name, "@") || slices.Contains(silent, name):
		return false
	case name == "handle" || name == "route" || name == "handle_path":
		return slices.ContainsFunc(s, func(token caddyfile.Token) bool {
			return strings.Contains(token.Text, "proxy") || token.Text == "invoke" || token.Text == "php_fastcgi"
		})
	}
	return true
}

// checkAddresses refuses a redirect URI that no site with a gate answers.
func (m *Middleware) checkAddresses(blocks []block, origin request.Origin) error {
	var keys []string
	for _, b := range blocks {
		for _, key := range b.GetKeysText() {
			if answers(key, origin) {
				return nil
			}
			keys = append(keys, strings.TrimSuffix(key, ","))
		}
	}
	at, ok := m.places["redirect_uri"]
	if !ok {
		at = m.places[""]
	}
	return at.wrap(fmt.Errorf("redirect_uri: no site with romm_oidc answers %s, only %s: the callback would never arrive. Write the site's own address in redirect_uri, or the redirect_uri's before the site", origin, strings.Join(keys, ", ")))
}

// answers reports whether a site address has the host of origin, or may have it.
func answers(key string, origin request.Origin) bool {
	host := hostOf(key)
	public := url.URL{Host: origin.Host}
	if host == "" || strings.Contains(key, "{") || strings.EqualFold(host, public.Hostname()) {
		return true
	}
	_, domain, wildcard := strings.Cut(host, "*.")
	_, parent, _ := strings.Cut(public.Hostname(), ".")
	return wildcard && strings.EqualFold(domain, parent)
}

// hostOf returns the host of a site address, empty if it has none.
func hostOf(key string) string {
	key = strings.TrimSuffix(key, ",")
	if _, after, ok := strings.Cut(key, "://"); ok {
		key = after
	}
	key, _, _ = strings.Cut(key, "/")
	if host, _, err := net.SplitHostPort(key); err == nil {
		return host
	}
	return strings.Trim(key, "[]")
}

// checkInside refuses an address of a container network that Caddy would serve
// over TLS, with a certificate that RomM does not trust.
func (b *block) checkInside(origin request.Origin) error {
	for _, key := range b.Keys {
		text := strings.TrimSuffix(key.Text, ",")
		host := hostOf(text)
		if strings.Contains(text, "://") || strings.Contains(text, "{") || strings.HasSuffix(text, ":80") || !internal(host) || answers(text, origin) {
			continue
		}
		return errAt(key, "the address %s is served over TLS with a certificate that RomM does not trust: write http:// before it: http://%s", text, text)
	}
	return nil
}

// checkPaths refuses a site of which the gate would get a part of the requests
// only. To Caddy, an address with "/" at its end is for that one path.
func (b *block) checkPaths() error {
	for _, key := range b.Keys {
		text := strings.TrimSuffix(key.Text, ",")
		scheme, address, ok := strings.Cut(text, "://")
		if !ok {
			scheme, address = "", text
		}
		if name, path, ok := strings.Cut(address, "/"); ok && path != "*" {
			return errAt(key, "the address %s is for the path /%s only, and RomM's callback is at %s: write the address without a path: %s", text, path, request.Base, strings.TrimPrefix(scheme+"://"+name, "://"))
		}
	}
	return nil
}

// errAt returns an error about a token, with its file and line.
func errAt(token caddyfile.Token, format string, args ...any) error {
	d := caddyfile.NewDispenser([]caddyfile.Token{token})
	d.Next()
	return d.Errf(format, args...)
}
