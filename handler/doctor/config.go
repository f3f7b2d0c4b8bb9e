// The configuration: what is around each gate, and whether its settings can work.

package doctor

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"

	"github.com/romm-oidc/caddy-romm-oidc/handler/request"
	"github.com/romm-oidc/caddy-romm-oidc/handler/settings"
)

// configuration examines the configuration, and returns the sites of which the
// settings are good enough to go on with.
func (e *examination) configuration(c *config) (sites []*site) {
	var gates []gate
	var proxies []step
	for _, name := range sorted(c.Apps.HTTP.Servers) {
		w := &walker{server: c.Apps.HTTP.Servers[name]}
		w.walk(w.server.Routes, around{id: name})
		gates = append(gates, w.gates...)
		proxies = append(proxies, w.proxies...)
	}
	e.checked("the configuration, with %d romm_oidc", len(gates))
	if len(gates) == 0 {
		e.add("config_no_gate", Finding{Seen: "no handler romm_oidc", Expected: "one in RomM's site", Write: "romm_oidc"})
		return nil
	}
	if c.Admin != nil && c.Admin.Disabled {
		e.add("config_admin_off", Finding{Seen: "admin off", Expected: "the admin API on", Line: e.line("admin", "off"), Remove: true})
	}
	behind := map[string]bool{}
	var ofRomM []string
	for _, g := range gates {
		e.turnTo(g.raw)
		e.chain(g)
		e.server(g)
		var dials []string
		for _, s := range g.after {
			behind[s.id] = true
			if p := proxyOf(s); p != nil && !p.forwardAuth() {
				dials = append(dials, p.dials()...)
			}
		}
		ofRomM = append(ofRomM, dials...)
		sites = e.addGate(sites, g, dials)
	}
	for _, s := range proxies {
		if p := proxyOf(s); p != nil && !behind[s.id] {
			e.open(p, s, ofRomM)
		}
	}
	for _, s := range sites {
		e.turnTo(s.raw)
		e.addresses(s, gates)
	}
	return sites
}

// open reports a proxy to RomM that no gate is before.
func (e *examination) open(p *proxy, s step, ofRomM []string) {
	for _, dial := range p.dials() {
		if !slices.Contains(ofRomM, dial) {
			continue
		}
		what := "reverse_proxy " + dial + " without romm_oidc before it"
		if len(s.paths) > 0 {
			what += ", for " + strings.Join(s.paths, " ")
		}
		e.add("config_open_upstream", Finding{Seen: what, Expected: "RomM behind romm_oidc only", Line: e.openLine(dial), Remove: true})
	}
}

// openLine returns the line of the reverse_proxy to dial in a site without a gate.
func (e *examination) openLine(dial string) string {
	found, depth, gated := []string{}, 0, false
	var inSite []string
	for i, line := range strings.Split(e.in.Text, "\n") {
		fields := strings.Fields(line)
		if len(fields) == 0 || strings.HasPrefix(fields[0], "#") {
			continue
		}
		switch {
		case fields[0] == "romm_oidc" || fields[0] == "import":
			gated = true
		case fields[0] == "reverse_proxy" && slices.Contains(fields, dial):
			inSite = append(inSite, fmt.Sprintf("%s:%d: %s", e.in.File, i+1, strings.TrimSpace(line)))
		}
		if fields[len(fields)-1] == "{" {
			depth++
		}
		if fields[0] != "}" {
			continue
		}
		if depth--; depth == 0 {
			if !gated {
				found = append(found, inSite...)
			}
			inSite, gated = nil, false
		}
	}
	if len(found) == 1 {
		return found[0]
	}
	return "reverse_proxy " + dial
}

// addGate adds the gate's site to sites, or the gate to its site.
func (e *examination) addGate(sites []*site, g gate, dials []string) []*site {
	resolved := e.values(g)
	if resolved == nil {
		return sites
	}
	for _, s := range sites {
		if s.settings.RedirectURI != resolved.RedirectURI {
			continue
		}
		if d, differ := settings.Differ(s.settings, resolved); differ {
			e.add("config_blocks_differ", Finding{Site: s.name, Seen: d.Setting + " is " + d.First + " in one block and " + d.Second + " in another", Expected: "the same in both", Line: e.line(lastWord(d.Setting), "")})
		}
		s.add(g, dials)
		return sites
	}
	s := &site{settings: resolved, origin: resolved.Origin(), name: resolved.Origin().String(), raw: g.raw}
	s.add(g, dials)
	return append(sites, s)
}

// add adds what g knows of the site.
func (s *site) add(g gate, dials []string) {
	s.trusted = s.trusted || g.server.Trusted != nil
	s.dials = append(s.dials, dials...)
	slices.Sort(s.dials)
	s.dials = slices.Compact(s.dials)
	hosts := g.hosts
	if len(hosts) == 0 {
		hosts = []string{""}
	}
	for _, host := range hosts {
		if !g.server.secures(host) {
			s.inside = append(s.inside, "http://"+withPort(host, g.server.port()))
		}
	}
}

// secures reports whether the server answers at host over TLS.
func (s *server) secures(host string) bool {
	automatic := host != "" && !s.AutoHTTPS.Disabled && !slices.Contains(s.AutoHTTPS.Skip, host) && !listensAt(s, "80")
	return automatic || len(s.TLS) > 0 || listensAt(s, "443")
}

// port returns the port that the server listens at.
func (s *server) port() string {
	if len(s.Listen) == 0 {
		return ""
	}
	_, port, _ := net.SplitHostPort(s.Listen[0])
	return port
}

func withPort(host, port string) string {
	if port == "" || port == "80" {
		return host
	}
	return net.JoinHostPort(host, port)
}

// listensAt reports whether a server listens at a port only.
func listensAt(s *server, port string) bool {
	return len(s.Listen) > 0 && !slices.ContainsFunc(s.Listen, func(address string) bool { return !strings.HasSuffix(address, ":"+port) })
}

// values returns the gate's settings, resolved and checked, or nil.
func (e *examination) values(g gate) *settings.Settings {
	var s struct {
		Handler string `json:"handler"`
		settings.Settings
	}
	if err := strictly(g.raw, &s); err != nil {
		e.add("config_setting", Finding{Site: g.place(), Seen: err.Error(), Expected: "settings that can be read"})
		return nil
	}
	for _, name := range s.LiteralSecrets() {
		e.add("config_secret_literal", Finding{Site: g.place(), Seen: name + " as it is", Expected: "a placeholder", Line: e.withoutValue(name), Write: name + " {env.OIDC_CLIENT_SECRET}"})
	}
	resolved, err := s.Resolve(func(text string) (string, error) {
		value, err := e.in.Replace(text)
		if err != nil {
			err = settings.Unresolved(text, err)
		}
		return value, err
	})
	if err != nil {
		word, _, _ := strings.Cut(err.Error(), ":")
		e.add("config_secret_unset", Finding{Site: g.place(), Seen: err.Error(), Expected: "a value", Line: e.line(word, "")})
		return nil
	}
	bad := false
	for _, err := range settings.Each(resolved.Check()) {
		bad = true
		e.add(codeOf(err), Finding{Site: g.place(), Seen: err.Error(), Expected: "a value that can work", Line: e.lineOf(err)})
	}
	if bad {
		return nil
	}
	e.advice(g, resolved)
	return resolved
}

// strictly decodes JSON as Caddy does.
func strictly(raw json.RawMessage, into any) error {
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.DisallowUnknownFields()
	return decoder.Decode(into) //nolint:wrapcheck // it becomes a finding as it is
}

// withoutValue is line without the secret.
func (e *examination) withoutValue(word string) string {
	line := e.line(word, "")
	before, _, _ := strings.Cut(line, word+" ")
	if before == line {
		return word
	}
	return before + word + " …"
}

// place is the site's address.
func (g gate) place() string {
	if len(g.hosts) > 0 {
		return strings.Join(g.hosts, ", ")
	}
	return strings.Join(g.server.Listen, ", ")
}

// addresses examines the addresses at which the site's gates are.
func (e *examination) addresses(s *site, gates []gate) {
	public := url.URL{Host: s.origin.Host}
	var hosts []string
	reached, callback := false, false
	for _, g := range gates {
		if len(g.hosts) == 0 || slices.ContainsFunc(g.hosts, func(host string) bool { return matches(host, public.Hostname()) }) {
			reached, callback = true, callback || covers(g.paths, request.Base)
		}
		hosts = append(hosts, g.hosts...)
		e.inside(g, public.Hostname())
	}
	switch {
	case reached && !callback:
		e.add("config_callback_path", Finding{Site: s.name, Seen: "romm_oidc for other paths than " + request.Base, Expected: "romm_oidc for all paths", Line: e.line("romm_oidc", "{")})
	case !reached:
		slices.Sort(hosts)
		e.add("config_redirect_host", Finding{
			Site: s.name, Seen: "redirect_uri at " + public.Hostname() + ", and romm_oidc at " + strings.Join(slices.Compact(hosts), ", "), Expected: "the same host",
			Line: e.line("redirect_uri", s.settings.RedirectURI),
		})
	}
	if len(s.inside) == 0 && s.origin.Secure() {
		line := e.siteLine(public.Hostname())
		write := strings.TrimSuffix(text(line), " {") + ", http://caddy:9080 {"
		if text(line) == line && e.in.Text != "" { // the site is called otherwise: by a wildcard, or a variable
			line, write = "", "http://caddy:9080 {\n\t# the same romm_oidc and reverse_proxy\n}"
		}
		e.add("config_inside_missing", Finding{Site: s.name, Seen: "only addresses with TLS", Expected: "one without, or OIDC_SERVER_APPLICATION_URL=" + s.settings.RedirectURI + " in RomM's environment", Line: line, Write: write})
	}
}

// inside reports an address for RomM that is served over TLS.
func (e *examination) inside(g gate, public string) {
	for _, host := range g.hosts {
		local := !strings.Contains(host, ".") && host != "localhost" || net.ParseIP(host) != nil
		if host == public || !local || !g.server.secures(host) {
			continue
		}
		address := withPort(host, g.server.port())
		e.add("config_inside_tls", Finding{Site: g.place(), Seen: address + " over TLS", Expected: "http", Line: e.siteLine(address), Write: strings.Replace(text(e.siteLine(address)), address, "http://"+address, 1)})
	}
}

// matches reports whether a host matcher of Caddy has host.
func matches(pattern, host string) bool {
	_, parent, _ := strings.Cut(host, ".")
	domain, wildcard := strings.CutPrefix(pattern, "*.")
	return strings.EqualFold(pattern, host) || wildcard && strings.EqualFold(domain, parent)
}

func lastWord(setting string) string {
	words := strings.Fields(strings.ReplaceAll(setting, ":", ""))
	return words[len(words)-1]
}
