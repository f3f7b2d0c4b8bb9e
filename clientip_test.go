// The warning about trusted_proxies without trusted_proxies_strict.

package rommoidc

import (
	"reflect"
	"testing"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

func TestReadsFromTheLeft(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		server *caddyhttp.Server
		want   bool
	}{
		"no server":           {nil, false},
		"no trusted proxies":  {&caddyhttp.Server{}, false},
		"a proxy on a socket": {&caddyhttp.Server{TrustedProxiesUnix: true}, true},
		"strict":              {&caddyhttp.Server{TrustedProxiesUnix: true, TrustedProxiesStrict: 1}, false},
	} {
		if got := readsFromTheLeft(c.server); got != c.want {
			t.Errorf("%s: readsFromTheLeft = %v, want %v", name, got, c.want)
		}
	}
	// A Caddy that renames the field would end the warning.
	if field, ok := reflect.TypeFor[caddyhttp.Server]().FieldByName("trustedProxies"); !ok || field.Type.Kind() != reflect.Interface {
		t.Error("caddyhttp.Server has no trustedProxies any more, so the warning never comes")
	}
}
