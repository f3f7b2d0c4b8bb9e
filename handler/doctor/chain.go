// Caddy's routes, read as the order in which handlers get a request.

package doctor

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// config is the part of Caddy's configuration that the doctor reads.
type config struct {
	Admin *struct {
		Disabled bool `json:"disabled"`
	} `json:"admin"`
	Apps struct {
		HTTP struct {
			Servers map[string]*server `json:"servers"`
		} `json:"http"`
	} `json:"apps"`
}

type server struct {
	Listen        []string         `json:"listen"`
	Routes        []route          `json:"routes"`
	Named         map[string]route `json:"named_routes"`
	TLS           []any            `json:"tls_connection_policies"`
	ReadTimeout   any              `json:"read_timeout"`
	WriteTimeout  any              `json:"write_timeout"`
	Trusted       json.RawMessage  `json:"trusted_proxies"`
	TrustedStrict int              `json:"trusted_proxies_strict"`
	AutoHTTPS     struct {
		Disabled bool     `json:"disable"`
		Skip     []string `json:"skip"`
	} `json:"automatic_https"`
}

type route struct {
	Group    string            `json:"group"`
	Terminal bool              `json:"terminal"`
	Match    []matcher         `json:"match"`
	Handle   []json.RawMessage `json:"handle"`
}

type matcher struct {
	Host  []string                   `json:"host"`
	Path  []string                   `json:"path"`
	Other map[string]json.RawMessage `json:"-"`
}

// UnmarshalJSON implements json.Unmarshaler: it also notes the other matchers.
func (m *matcher) UnmarshalJSON(data []byte) error {
	if err := json.Unmarshal(data, &m.Other); err != nil {
		return fmt.Errorf("reading a matcher: %w", err)
	}
	_ = json.Unmarshal(m.Other["host"], &m.Host) // Caddy refuses what is no list
	_ = json.Unmarshal(m.Other["path"], &m.Path)
	return nil
}

// step is a handler on a request's way.
type step struct {
	id          string // its place in the configuration
	name        string
	raw         json.RawMessage
	conditional bool     // not every request comes here
	paths       []string // the paths that come here, none for all or if other matchers decide
}

// gate is a romm_oidc handler with what is around it.
type gate struct {
	step

	server *server
	hosts  []string // of its site; none for all
	before []step
	after  []step
}

// depth bounds how deep handlers may be inside each other.
const depth = 40

// walker collects the gates and proxies of a configuration.
type walker struct {
	server  *server
	gates   []gate
	proxies []step // every reverse_proxy
}

// around is what the routes around a list of routes contribute.
type around struct {
	id            string
	hosts         []string
	before, after []step
	paths         []string
	conditional   bool
}

// walk visits a list of routes.
func (w *walker) walk(routes []route, a around) {
	if strings.Count(a.id, "/") > depth {
		return // named routes that invoke each other
	}
	for i, r := range routes {
		id := fmt.Sprintf("%s/%d", a.id, i)
		if _, ok := narrow(a.hosts, hostsOf(r)); !ok {
			continue
		}
		inner := a.within(r)
		shared := around{hosts: inner.hosts} // conditions around the gate are no conditions for what is beside it
		for j, raw := range r.Handle {
			s := step{id: fmt.Sprintf("%s/%d", id, j), name: nameOf(raw), raw: raw, conditional: inner.conditional, paths: inner.paths}
			before, after := inner.before, inner.after
			for k, other := range routes {
				switch {
				case k == i || other.Group != "" && other.Group == r.Group || k > i && r.Terminal || apart(r, other):
				case k < i:
					before = slices.Concat(before, w.flatten(other, fmt.Sprintf("%s/%d", a.id, k), shared))
				case k > i:
					after = slices.Concat(w.flatten(other, fmt.Sprintf("%s/%d", a.id, k), shared), after)
				}
			}
			before = slices.Concat(before, w.flattenAll(r.Handle[:j], id, 0, shared))
			after = slices.Concat(w.flattenAll(r.Handle[j+1:], id, j+1, shared), after)
			w.visit(s, around{id: s.id, hosts: inner.hosts, before: before, after: after, paths: inner.paths, conditional: inner.conditional})
		}
	}
}

// visit visits a handler, and what is in it.
func (w *walker) visit(s step, a around) {
	switch s.name {
	case "romm_oidc":
		w.gates = append(w.gates, gate{s, w.server, a.hosts, a.before, a.after})
	case "reverse_proxy":
		w.proxies = append(w.proxies, s)
	case "subroute":
		w.walk(routesOf(s.raw), a)
	case "invoke":
		if named, ok := w.server.Named[textOf(s.raw, "name")]; ok {
			w.walk([]route{named}, a)
		}
	}
}

// flatten returns the handlers of a route, with those inside of subroutes.
func (w *walker) flatten(r route, id string, a around) []step {
	return w.flattenAll(r.Handle, id, 0, a.within(r))
}

func (w *walker) flattenAll(handlers []json.RawMessage, id string, first int, a around) (steps []step) {
	if strings.Count(id, "/") > depth {
		return nil
	}
	for i, raw := range handlers {
		at := fmt.Sprintf("%s/%d", id, first+i)
		name := nameOf(raw)
		routes := routesOf(raw)
		if named, ok := w.server.Named[textOf(raw, "name")]; ok && name == "invoke" {
			name, routes = "subroute", []route{named}
		}
		if name != "subroute" {
			steps = append(steps, step{at, name, raw, a.conditional, a.paths})
			continue
		}
		for j, inner := range routes {
			steps = append(steps, w.flatten(inner, fmt.Sprintf("%s/%d", at, j), a)...)
		}
	}
	return steps
}

// within returns what applies inside of r.
func (a around) within(r route) around {
	inner := a
	inner.hosts, _ = narrow(a.hosts, hostsOf(r))
	for _, m := range r.Match {
		if spared := m.spared(); covers(spared, belowAPI) && len(spared) > 0 {
			inner.paths = append(slices.Clip(inner.paths), "all but "+strings.Join(spared, " "))
		}
		beside := len(m.Other)
		if m.Host != nil {
			beside--
		}
		if beside == 0 {
			continue // the site's own matcher
		}
		inner.conditional = true
		if m.Path != nil {
			inner.paths = slices.Concat(inner.paths, m.Path)
		}
	}
	return inner
}

// spared returns the paths that a "not" matcher leaves out.
func (m *matcher) spared() (paths []string) {
	var sets []matcher
	_ = json.Unmarshal(m.Other["not"], &sets) // Caddy refuses what is no list
	for _, set := range sets {
		if len(set.Other) == 1 {
			paths = append(paths, set.Path...)
		}
	}
	return paths
}

// narrow returns the hosts of a route inside of another, none for all. It returns
// false if no request gets there.
func narrow(outer, inner []string) (hosts []string, ok bool) {
	if len(outer) == 0 || len(inner) == 0 {
		return slices.Concat(outer, inner), true
	}
	for _, host := range inner {
		for _, other := range outer {
			switch {
			case matches(other, host) || strings.Contains(other+host, "{"): // a placeholder may be any host
				hosts = append(hosts, host)
			case matches(host, other):
				hosts = append(hosts, other)
			}
		}
	}
	slices.Sort(hosts)
	return slices.Compact(hosts), len(hosts) > 0
}

// hostsOf returns the hosts that a route is for, none for all.
func hostsOf(r route) (hosts []string) {
	for _, m := range r.Match {
		if m.Host == nil {
			return nil
		}
		hosts = append(hosts, m.Host...)
	}
	return hosts
}

func nameOf(raw json.RawMessage) string { return textOf(raw, "handler") }

// textOf returns a string of a JSON object, empty if it has none.
func textOf(raw json.RawMessage, name string) string {
	var object map[string]json.RawMessage
	var text string
	if json.Unmarshal(raw, &object) == nil {
		_ = json.Unmarshal(object[name], &text)
	}
	return text
}

func routesOf(raw json.RawMessage) []route {
	var handler struct {
		Routes []route `json:"routes"`
	}
	_ = json.Unmarshal(raw, &handler) // Caddy refuses what has other routes
	return handler.Routes
}

// apart reports whether no request matches both routes: they are for different
// hosts.
func apart(a, b route) bool {
	these, those := hostsOf(a), hostsOf(b)
	if len(these) == 0 || len(those) == 0 {
		return false
	}
	return !slices.ContainsFunc(these, func(host string) bool {
		return slices.ContainsFunc(those, func(other string) bool { return matches(host, other) || matches(other, host) })
	})
}

// covers reports whether a path matcher of Caddy covers everything that begins with start.
func covers(paths []string, start string) bool {
	return len(paths) == 0 || slices.ContainsFunc(paths, func(path string) bool {
		prefix, ok := strings.CutSuffix(path, "*")
		return ok && strings.HasPrefix(start, prefix)
	})
}
