// What the blocks of a Caddyfile must agree on, and what probably does not work.

package rommoidc

import (
	"fmt"
	"net/url"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/romm-oidc/caddy-romm-oidc/handler/request"
	"github.com/romm-oidc/caddy-romm-oidc/handler/settings"
)

// adapted is a gate's block that has been adapted.
type adapted struct {
	at place
	m  *Middleware
}

// agrees refuses a block that does not agree with an earlier one of the same
// site, for instance that of RomM's own address. adaptation is Caddy's memory
// while it adapts one Caddyfile.
func (m *Middleware) agrees(own place, adaptation map[string]any) error {
	const key = "romm_oidc"
	earlier, _ := adaptation[key].([]adapted)
	for _, other := range earlier {
		if other.m.RedirectURI != m.RedirectURI || other.at.String() == own.String() {
			continue
		}
		difference, ok := settings.DifferWritten(&other.m.Settings, &m.Settings)
		if !ok {
			continue
		}
		at, ok := m.places[difference.Setting]
		if !ok {
			at = own
		}
		return at.wrap(fmt.Errorf("%s is %s at %s and %s here, with the same redirect_uri: write the same in both blocks, or import one snippet in both", difference.Setting, difference.First, other.at, difference.Second))
	}
	adaptation[key] = append(earlier, adapted{own, m})
	return nil
}

// warnOfSecrets warns of secrets that Caddy would show.
func (m *Middleware) warnOfSecrets() {
	for _, name := range m.LiteralSecrets() {
		caddy.Log().Named("caddyfile").Warn(name+" is written as it is, so that `caddy adapt`, the admin API and the autosaved configuration show it: write {env.OIDC_CLIENT_SECRET} or {file./run/secrets/romm}, which Caddy replaces at load. {$NAME} does not help: it is replaced before",
			zap.Stringer("line", m.places[name]))
	}
}

// warnOfSites warns of what probably does not work.
func (m *Middleware) warnOfSites(blocks []block, origin request.Origin) {
	logger := caddy.Log().Named("caddyfile")
	warn := func(setting, message string) {
		at, ok := m.places[setting]
		if !ok {
			at = m.places[""]
		}
		logger.Warn(message, zap.Stringer("line", at))
	}
	reachable, named := false, false
	for _, b := range blocks {
		for _, key := range b.GetKeysText() {
			named = named || !strings.HasPrefix(hostOf(key), "*")
			reachable = reachable || strings.HasPrefix(key, "http://") || !origin.Secure() || strings.Contains(key, "{") || hostOf(key) == ""
		}
	}
	if !reachable {
		add := `add one, such as ", http://caddy:9080"`
		if !named { // beside a wildcard, its "host" matcher would leave out the other address
			add = `add a block of its own for one, "http://caddy:9080 {", with the same romm_oidc and reverse_proxy`
		}
		warn("", "the site has no address without TLS at which RomM can reach it inside a container network: "+add+", unless RomM's OIDC_SERVER_APPLICATION_URL is "+origin.String()+request.Base)
	}
	if u, err := url.Parse(m.Issuer); err == nil && u.Path == "/" {
		warn("issuer", "the issuer ends with a slash, and Authelia's has none: write \"issuer "+strings.TrimSuffix(m.Issuer, "/")+"\" unless your provider's metadata has the slash")
	}
}
