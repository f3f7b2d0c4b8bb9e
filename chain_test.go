// Caddy's handler chain, kept for background work beside live requests.

package rommoidc

import (
	"context"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// newChain returns the chain of a client's request, its context and its replacer.
func newChain() (*chain, context.Context, *caddy.Replacer) {
	repl := caddy.NewReplacer()
	ctx := context.WithValue(context.Background(), caddyhttp.VarsCtxKey, map[string]any{"known": "before"})
	ctx = context.WithValue(ctx, caddy.ReplacerCtxKey, repl)
	return &chain{r: httptest.NewRequest(http.MethodGet, "/", nil).WithContext(ctx)}, ctx, repl
}

// A re-check runs while the request that its chain was kept from continues and
// its handlers write variables and placeholders. Two concurrent writes of a map
// would end the process.
func TestKeptChainBesideItsRequest(t *testing.T) {
	c, ctx, repl := newChain()
	kept := c.Keep()
	done := make(chan struct{})
	var writing sync.WaitGroup
	writing.Go(func() { // as reverse_proxy does for each try
		for n := 0; ; n++ {
			select {
			case <-done:
				return
			default:
				caddyhttp.SetVar(ctx, "reverse_proxy.proxy_protocol_info", n)
				repl.Set("http.reverse_proxy.upstream.address", n)
				if n%1000 == 0 {
					c.Identify(alice)
				}
			}
		}
	})
	for range 20_000 {
		r := kept.Fresh(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/api/users/me", nil), new(http.Request))
		fresh, _ := r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
		fresh.Get("http.auth.user.id")
		if value := caddyhttp.GetVar(r.Context(), "known"); value != "before" {
			t.Fatalf("the sub-request's variable is %v, want the one from before", value)
		}
	}
	close(done)
	writing.Wait()
}

// Background work serves all users. Its log lines must not carry the name of
// the user who sent the first request after a reload.
func TestKeptChainNamesNoUser(t *testing.T) {
	c, _, repl := newChain()
	repl.Set("upstream", "romm:8080")
	kept := c.Keep()
	c.Identify(alice)
	r := kept.Fresh(httptest.NewRecorder(), httptest.NewRequest(http.MethodPost, "/api/logout", nil), new(http.Request))
	fresh, _ := r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
	if name, ok := fresh.Get("http.auth.user.id"); ok {
		t.Errorf("the sub-request has the user %v, want none", name)
	}
	if upstream, _ := fresh.Get("upstream"); upstream != "romm:8080" {
		t.Errorf("the placeholder of an earlier handler is %v, want romm:8080", upstream)
	}
}

func alice(placeholder string) (any, bool) { return "alice", placeholder == "http.auth.user.id" }
