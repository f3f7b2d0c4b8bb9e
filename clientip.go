// The client's address, by which limits count. No client can choose it.

package rommoidc

import (
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"reflect"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// clientIP returns the address of r's client. Proxies append to X-Forwarded-For.
// Without trusted_proxies_strict, Caddy takes the first address in it, which the
// client chooses. So clientIP reads it from the right, as Caddy does with that
// option: the first address that is not a trusted proxy's.
func clientIP(r *http.Request) string {
	ip, _ := caddyhttp.GetVar(r.Context(), caddyhttp.ClientIPVarKey).(string)
	server, _ := r.Context().Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server)
	direct := host(r.RemoteAddr) // empty for a request that the gate made itself
	if server == nil || server.TrustedProxiesStrict > 0 || direct == "" || !throughTrustedProxy(r) {
		return ip
	}
	for _, name := range server.ClientIPHeaders {
		for _, part := range slices.Backward(strings.Split(strings.Join(r.Header.Values(name), ","), ",")) {
			address, err := netip.ParseAddr(host(part))
			if err == nil && !isTrustedProxy(server, address) {
				return address.String()
			}
		}
	}
	return direct
}

// throughTrustedProxy reports whether Caddy trusts the proxy that sent r.
func throughTrustedProxy(r *http.Request) bool {
	trusted, _ := caddyhttp.GetVar(r.Context(), caddyhttp.TrustedProxyVarKey).(bool)
	return trusted
}

// host returns an address without port and zone.
func host(address string) string {
	address = strings.TrimSpace(address)
	if name, _, err := net.SplitHostPort(address); err == nil {
		address = name
	}
	address, _, _ = strings.Cut(address, "%")
	return address
}

// isTrustedProxy reports whether address is in the server's trusted_proxies.
// Caddy tells that only about the sender of a request, so isTrustedProxy asks
// about a request from there.
func isTrustedProxy(server *caddyhttp.Server, address netip.Addr) bool {
	r := &http.Request{Method: http.MethodGet, URL: &url.URL{}, RemoteAddr: netip.AddrPortFrom(address, 0).String()}
	r = caddyhttp.PrepareRequest(r, caddy.NewReplacer(), nil, server)
	return throughTrustedProxy(r)
}

// warnOfProxies logs a warning if clients choose their own address.
func (m *Middleware) warnOfProxies(ctx caddy.Context) {
	if server, _ := ctx.Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server); readsFromTheLeft(server) {
		m.logger.Warn("trusted_proxies without trusted_proxies_strict: clients choose the address in the access log and for other directives; romm_oidc itself reads X-Forwarded-For from the right, so list all of your proxies, and add trusted_proxies_strict")
	}
}

// readsFromTheLeft reports whether server takes the client's address from where
// clients write it.
func readsFromTheLeft(server *caddyhttp.Server) bool {
	if server == nil || server.TrustedProxiesStrict > 0 {
		return false
	}
	// Caddy has already emptied TrustedProxiesRaw, and exports no other sign.
	source := reflect.ValueOf(server).Elem().FieldByName("trustedProxies")
	return server.TrustedProxiesUnix || source.IsValid() && source.Kind() == reflect.Interface && !source.IsNil()
}

// forwardClientIP makes X-Forwarded-For begin with the client's address. RomM
// takes the first one there for its own limits, so a client could choose it
// behind a proxy that appends.
func forwardClientIP(r *http.Request, c *chain) {
	if len(r.Header["X-Forwarded-For"]) > 0 && throughTrustedProxy(r) {
		r.Header["X-Forwarded-For"] = []string{c.ClientIP()}
	}
}
