// Caddy's handler chain as the gate sees it: package application's Chain.

package rommoidc

import (
	"context"
	"errors"
	"maps"
	"net/http"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/romm-oidc/caddy-romm-oidc/handler/application"
)

// chain is the rest of Caddy's handler chain for one request.
type chain struct {
	next caddyhttp.Handler
	r    *http.Request // the client's request; Fresh falls back to its context
	ip   string        // of the client; found at first need

	outlived bool // the configuration that it is of
}

// Serve implements application.Chain.
func (c *chain) Serve(w http.ResponseWriter, r *http.Request) error {
	return c.next.ServeHTTP(w, r)
}

// Unreachable implements application.Chain: reverse_proxy returns an error with
// one of these statuses, and an error of another directive has another one.
func (c *chain) Unreachable(err error) bool {
	failed, ok := errors.AsType[caddyhttp.HandlerError](err)
	return ok && failed.StatusCode >= http.StatusBadGateway && failed.StatusCode <= http.StatusGatewayTimeout
}

// HandlesErrors implements application.Chain. The error routes of all sites of a
// server are one list, in which each site's have a matcher.
func (c *chain) HandlesErrors() bool {
	server, ok := c.r.Context().Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server)
	if !ok || server == nil || server.Errors == nil {
		return false
	}
	for _, route := range server.Errors.Routes {
		if matches, err := route.MatcherSets.AnyMatchWithError(c.r); matches && err == nil {
			return true
		}
	}
	return false
}

// Fresh implements application.Chain. The sub-request gets its own replacer,
// which also resolves the placeholders of the client's request, and a copy of
// that request's variables: matchers behind the gate may use both. Where they
// describe the request itself, r's own values win.
func (c *chain) Fresh(w http.ResponseWriter, r, client *http.Request) *http.Request {
	if client.Context().Value(caddyhttp.ServerCtxKey) == nil { // the gate made it itself
		client = c.r
	}
	server, _ := client.Context().Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server)
	repl := caddy.NewReplacer()
	r = caddyhttp.PrepareRequest(r, repl, w, server)
	if known, ok := client.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer); ok {
		repl.Map(known.Get)
	}
	known, _ := client.Context().Value(caddyhttp.VarsCtxKey).(map[string]any)
	vars, _ := r.Context().Value(caddyhttp.VarsCtxKey).(map[string]any)
	for name, value := range known {
		if _, ok := vars[name]; !ok {
			vars[name] = value
		}
	}
	return r
}

// Keep implements application.Chain. It keeps the server, and a snapshot of
// the variables and placeholders that earlier handlers set: the request
// continues and adds others, such as the name of its user.
func (c *chain) Keep() application.Chain {
	if c.outlived {
		return nil
	}
	ctx := c.r.Context()
	known, _ := ctx.Value(caddyhttp.VarsCtxKey).(map[string]any)
	kept := context.WithValue(context.Background(), caddyhttp.VarsCtxKey, maps.Clone(known))
	kept = context.WithValue(kept, caddyhttp.ServerCtxKey, ctx.Value(caddyhttp.ServerCtxKey))
	if known, ok := ctx.Value(caddy.ReplacerCtxKey).(*caddy.Replacer); ok {
		snapshot := *known // copies the list of providers; a lock guards the rest
		kept = context.WithValue(kept, caddy.ReplacerCtxKey, &snapshot)
	}
	return &chain{next: c.next, r: (&http.Request{}).WithContext(kept)}
}

// Identify implements application.Chain.
func (c *chain) Identify(values func(placeholder string) (any, bool)) {
	if repl, ok := c.r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer); ok {
		repl.Map(values)
	}
}

// OriginalURI implements application.Chain.
func (c *chain) OriginalURI() string {
	if original, ok := c.r.Context().Value(caddyhttp.OriginalRequestCtxKey).(http.Request); ok {
		return original.URL.RequestURI()
	}
	return c.r.URL.RequestURI()
}

// ClientIP implements application.Chain.
func (c *chain) ClientIP() string {
	if c.ip == "" {
		c.ip = clientIP(c.r)
	}
	return c.ip
}

// TrustedProxy implements application.Chain.
func (c *chain) TrustedProxy() bool {
	return throughTrustedProxy(c.r)
}

var _ application.Chain = (*chain)(nil)
