// What is before and after a gate, and the values that are allowed but unwise.

package doctor

import (
	"errors"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/romm-oidc/caddy-romm-oidc/handler/settings"
)

// belowAPI begins the paths that the gate's own requests to RomM have.
const belowAPI = "/api/"

// chain examines the handlers around a gate.
func (e *examination) chain(g gate) {
	for _, s := range g.before {
		if !s.conditional || s.name == "romm_oidc" {
			e.before(g, s)
		}
	}
	proxied, api := false, false
	for _, s := range g.after {
		p := proxyOf(s)
		switch {
		case p != nil && p.forwardAuth():
			if covers(s.paths, belowAPI) {
				e.forwardAuth(g)
			}
		case p != nil:
			proxied, api = true, api || covers(s.paths, belowAPI)
			e.proxied(g, p)
		case strings.Contains(s.name, "proxy") || s.name == "invoke":
			proxied, api = true, true // another module's
		}
	}
	switch {
	case !proxied:
		e.add("config_no_proxy", Finding{Site: g.place(), Seen: "no reverse_proxy after romm_oidc", Expected: "one to RomM", Line: e.line("romm_oidc", "{"), Write: "reverse_proxy romm:8080"})
	case !api:
		e.add("config_api_not_covered", Finding{Site: g.place(), Seen: "reverse_proxy for other paths than /api/*", Expected: "one for all paths", Line: e.line("reverse_proxy", "")})
	}
}

// before reports a handler that a request passes on its way to the gate.
func (e *examination) before(g gate, s step) {
	p := proxyOf(s)
	switch {
	case s.name == "romm_oidc":
		e.add("config_second_gate", Finding{Site: g.place(), Seen: "romm_oidc before romm_oidc", Expected: "one"})
	case s.name == "rewrite" && (textOf(s.raw, "strip_path_prefix") != "" || textOf(s.raw, "strip_path_suffix") != ""):
		e.add("config_path_stripped", Finding{Site: g.place(), Seen: "the path loses " + textOf(s.raw, "strip_path_prefix") + textOf(s.raw, "strip_path_suffix"), Expected: "the path as it came"}.stripped(e))
	case s.name == "rewrite" && textOf(s.raw, "uri") != "":
		e.add("config_rewrite", Finding{Site: g.place(), Seen: "rewrite to " + textOf(s.raw, "uri"), Expected: "the path as it came", Line: e.line("rewrite", textOf(s.raw, "uri"))})
	case s.name == "authentication":
		e.add("config_basic_auth", Finding{Site: g.place(), Seen: "basic_auth before romm_oidc", Expected: "none", Line: e.line("basic_auth", ""), Remove: true})
	case p != nil && p.forwardAuth():
		e.forwardAuth(g)
	}
}

// stripped says which line of the Caddyfile strips the path.
func (f Finding) stripped(e *examination) Finding {
	if f.Line = e.line("uri", ""); f.Line != "uri" {
		f.Remove = true
		return f
	}
	f.Line, f.Write = e.line("handle_path", ""), "handle {"
	return f
}

// text is a line of the Caddyfile without its place.
func text(line string) string {
	if _, after, ok := strings.Cut(line, ": "); ok {
		return after
	}
	return line
}

func without(list []string, item string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(other string) bool { return other == item })
}

func (e *examination) forwardAuth(g gate) {
	e.add("config_forward_auth", Finding{Site: g.place(), Seen: "forward_auth beside romm_oidc", Expected: "romm_oidc alone", Line: e.line("forward_auth", ""), Remove: true})
}

// proxied reports what a reverse_proxy to RomM must not do.
func (e *examination) proxied(g gate, p *proxy) {
	if p.touches("Cookie") {
		e.add("config_cookie_header", Finding{Site: g.place(), Seen: "header_up Cookie", Expected: "the Cookie header field as it is", Line: e.line("header_up", "Cookie"), Remove: true})
	}
	if p.answersRedirects() {
		e.add("config_handle_response", Finding{Site: g.place(), Seen: "handle_response for redirects", Expected: "none for 302 and 307", Line: e.line("handle_response", ""), Remove: true})
	}
	if p.StreamTimeout != nil {
		e.add("config_stream_timeout", Finding{Site: g.place(), Seen: "stream_timeout", Expected: "none", Line: e.line("stream_timeout", ""), Remove: true})
	}
}

// server examines the options of the gate's server.
func (e *examination) server(g gate) {
	if g.server.Trusted != nil && g.server.TrustedStrict == 0 {
		e.add("config_trusted_proxies", Finding{Seen: "trusted_proxies alone", Expected: "trusted_proxies_strict too", Line: e.line("trusted_proxies", ""), Write: text(e.line("trusted_proxies", "static private_ranges")) + "\ntrusted_proxies_strict"})
	}
	if g.server.ReadTimeout != nil || g.server.WriteTimeout != nil {
		e.add("config_stream_timeout", Finding{Seen: "read_body or write timeouts of the server", Expected: "none", Line: e.line("timeouts", "{"), Remove: true})
	}
}

var alphanumeric = regexp.MustCompile(`^[A-Za-z0-9._~-]+$`) // what form encoding leaves alone

// advice reports values that are allowed, but unwise.
func (e *examination) advice(g gate, s *settings.Settings) {
	if !alphanumeric.MatchString(s.RommClientSecret) {
		e.add("config_secret_characters", Finding{Site: g.place(), Seen: "a secret with other characters than letters and digits", Expected: "letters and digits", Line: e.withoutValue(secretWord(s))})
	}
	if !s.Origin().Secure() {
		e.add("config_http_origin", Finding{Site: g.place(), Seen: "redirect_uri " + s.RedirectURI, Expected: "https", Line: e.line("redirect_uri", s.RedirectURI)})
	}
	if s.Roles == nil {
		e.add("config_no_roles", Finding{Site: g.place(), Seen: "no roles", Expected: "an administrator", Write: "roles {\n\tadmin you@example.com\n\tuser *\n}"})
	}
	if slices.Contains(s.Scopes, "offline_access") {
		e.add("authelia_consent", Finding{Site: g.place(), Seen: "scopes with offline_access", Expected: "consent once a year without it", Line: e.line("scopes", strings.Join(s.Scopes, " ")), Write: "scopes " + strings.Join(without(s.Scopes, "offline_access"), " ")})
	}
	if s.ClientKey != "" {
		if _, err := clientKey(s); err != nil {
			e.add("config_client_key", Finding{Site: g.place(), Seen: err.Error(), Expected: "a PEM file with a private key", Line: e.line("client_key", s.ClientKey)})
		}
	}
	if s.TLSCA != "" {
		if _, err := roots(s); err != nil {
			e.add("config_tls_ca", Finding{Site: g.place(), Seen: err.Error(), Expected: "a PEM file", Line: e.line("tls_ca", s.TLSCA)})
		}
	}
}

// codeOf returns the code of a setting's error.
func codeOf(err error) string {
	text := err.Error()
	switch {
	case strings.Contains(text, "digest for Authelia"):
		return "config_secret_digest"
	case strings.Contains(text, "quotes around") && strings.Contains(text, "secret"):
		return "config_secret_quoted"
	case strings.Contains(text, "is this site itself") || strings.Contains(text, "this handler's own endpoint"):
		return "config_issuer_is_site"
	}
	return "config_setting"
}

// lineOf returns the line of the setting that err is about.
func (e *examination) lineOf(err error) string {
	var about *settings.SettingError
	if !errors.As(err, &about) {
		word, _, _ := strings.Cut(err.Error(), " ")
		return e.withoutValue(word)
	}
	word := lastWord(about.Setting)
	if strings.HasSuffix(word, "secret") {
		return e.withoutValue(word)
	}
	return e.line(word, "")
}

var errNoCertificate = errors.New("it holds no certificate in PEM form")

// pem reads a file of certificates.
func pem(name string) ([]byte, error) {
	content, err := os.ReadFile(name) //nolint:gosec // the operator's own configuration names it
	if err != nil {
		return nil, err //nolint:wrapcheck // it names the file
	}
	return content, nil
}
