// What a block sees of the site that it stands in: its place, for errors, and
// the directives around it that cannot work with it.

package rommoidc

import (
	"bytes"
	"encoding/json"
	"errors"
	"net"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/rewrite"
)

// site is the part of Caddy's configuration around the block that is being
// provisioned. Caddy provisions routes in order and forgets the JSON of each
// afterwards, so that the first route with JSON is the one of the block.
type site struct {
	tops []top       // where the block may stand: one, unless several servers have yet to be provisioned
	in   []routeList // the lists of routes around the block, the outermost first, without the server's own
}

// top is a server's route that may have the block.
type top struct {
	server *caddyhttp.Server
	list   routeList
}

// routeList is a list of routes, and which of them has the block.
type routeList struct {
	routes caddyhttp.RouteList
	at     int
}

// siteOf returns the site of the module that ctx provisions. Outside of Caddy's
// HTTP app nothing is known of it.
func siteOf(ctx caddy.Context) *site {
	s := new(site)
	var app *caddyhttp.App
	for _, ancestor := range ctx.Modules() {
		switch module := ancestor.(type) {
		case *caddyhttp.App:
			app = module
		case *caddyhttp.Subroute:
			if list, ok := listOf(module.Routes); ok {
				s.in = append(s.in, list)
			}
		}
	}
	if app == nil {
		return s
	}
	for _, server := range app.Servers {
		if list, ok := listOf(server.Routes); ok {
			s.tops = append(s.tops, top{server, list})
		}
	}
	return s
}

// listOf returns false if the block is in none of routes.
func listOf(routes caddyhttp.RouteList) (routeList, bool) {
	at := slices.IndexFunc(routes, func(r caddyhttp.Route) bool { return r.HandlersRaw != nil })
	return routeList{routes, at}, at >= 0 && slices.ContainsFunc(routes[at].HandlersRaw, hasGate)
}

// where returns the addresses of the site, as far as they are known.
func (s *site) where() string {
	places := make([]string, 0, len(s.tops))
	for _, top := range s.tops {
		place := strings.Join(top.hosts(), ", ")
		if place == "" {
			place = strings.Join(top.server.Listen, ", ")
		}
		places = append(places, place)
	}
	slices.Sort(places)
	if len(places) == 0 {
		return "at an unknown address"
	}
	return "at " + strings.Join(places, " or ")
}

// hosts returns the hosts that the route is for, none if for all.
func (t *top) hosts() (hosts []string) {
	for _, matchers := range t.list.routes[t.list.at].MatcherSets {
		for _, matcher := range matchers {
			if named, ok := matcher.(*caddyhttp.MatchHost); ok {
				hosts = append(hosts, *named...)
			}
		}
	}
	return hosts
}

// lists returns the lists of routes around the block. The server's own is
// among them if it is known.
func (s *site) lists() []routeList {
	if len(s.tops) == 1 {
		return append([]routeList{s.tops[0].list}, s.in...)
	}
	return s.in
}

var (
	errSecondGate = errors.New("two romm_oidc directives handle the same requests, and the second strips the stamp of the first: remove one. One before the site's other directives is enough, inside handle or outside")
	errStripped   = errors.New("handle_path or uri strips a part of the path before romm_oidc sees it, so the callback never arrives: use handle, which leaves the path as it is")
)

// check refuses what cannot work around the block.
func (s *site) check() error {
	for _, list := range s.lists() {
		for i, raw := range list.routes[list.at].HandlersRaw {
			before := list.routes[list.at].HandlersRaw[:i]
			switch {
			case hasGate(raw) && slices.ContainsFunc(before, isGate):
				return errSecondGate
			case hasGate(raw) && slices.ContainsFunc(before, strips):
				return errStripped
			}
		}
		for _, handler := range list.before() {
			switch h := handler.(type) {
			case *Middleware:
				return errSecondGate
			case *rewrite.Rewrite:
				if h.StripPathPrefix != "" {
					return errStripped
				}
			}
		}
	}
	return nil
}

// before returns the handlers of earlier routes that every request passes on
// its way to the block.
func (l *routeList) before() (handlers []caddyhttp.MiddlewareHandler) {
	for _, earlier := range l.routes[:l.at] {
		instead := earlier.Group != "" && earlier.Group == l.routes[l.at].Group
		if len(earlier.MatcherSets) == 0 && !instead {
			handlers = append(handlers, earlier.Handlers...)
		}
	}
	return handlers
}

// proxied reports whether a reverse_proxy, or what may be one, is behind the
// block. It is true if that is unknown.
func (s *site) proxied() bool {
	if len(s.tops) != 1 && len(s.in) == 0 {
		return true
	}
	for _, list := range s.lists() {
		current := list.routes[list.at]
		if behind := slices.IndexFunc(current.HandlersRaw, hasGate) + 1; slices.ContainsFunc(current.HandlersRaw[behind:], mayProxy) {
			return true
		}
		for _, later := range list.routes[list.at+1:] {
			instead := later.Group != "" && later.Group == current.Group
			if !instead && slices.ContainsFunc(later.HandlersRaw, mayProxy) {
				return true
			}
		}
	}
	return false
}

// overTLS returns a host of the site that only this machine or its network
// knows, and that Caddy serves over TLS.
func (s *site) overTLS() (string, bool) {
	for _, top := range s.tops {
		if top.server.TLSConnPolicies == nil {
			continue
		}
		for _, host := range top.hosts() {
			skipped := top.server.AutoHTTPS != nil && slices.Contains(top.server.AutoHTTPS.Skip, host)
			if !skipped && internal(host) {
				return host, true
			}
		}
	}
	return "", false
}

// internal reports whether no certificate authority vouches for host: a name
// of a container network, or an address.
func internal(host string) bool {
	return host != "" && !strings.Contains(host, ".") && host != "localhost" || net.ParseIP(host) != nil
}

func isGate(raw json.RawMessage) bool { return named(raw) == "romm_oidc" }

// strips reports whether raw is a rewrite that takes a prefix from the path.
func strips(raw json.RawMessage) bool {
	var handler struct {
		Strip string `json:"strip_path_prefix"`
	}
	return named(raw) == "rewrite" && json.Unmarshal(raw, &handler) == nil && handler.Strip != ""
}

// named returns which handler raw is.
func named(raw json.RawMessage) string {
	var handler struct {
		Name string `json:"handler"`
	}
	_ = json.Unmarshal(raw, &handler) // Caddy refuses what is no handler
	return handler.Name
}

// hasGate reports whether raw is a gate, or has one at any depth.
func hasGate(raw json.RawMessage) bool { return mentions(raw, "romm_oidc") }

// mayProxy reports whether raw passes requests on: reverse_proxy, the named
// routes of invoke, and handlers of other modules with proxy in their name.
func mayProxy(raw json.RawMessage) bool {
	return mentions(raw, "reverse_proxy") || mentions(raw, "invoke") || strings.Contains(named(raw), "proxy")
}

// mentions reports whether raw has a handler called name at any depth.
func mentions(raw json.RawMessage, name string) bool {
	var compact bytes.Buffer
	return json.Compact(&compact, raw) == nil && bytes.Contains(compact.Bytes(), []byte(`"handler":"`+name+`"`))
}
