package rommoidc

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/romm-oidc/caddy-romm-oidc/flow"
	"github.com/romm-oidc/caddy-romm-oidc/flow/op"
)

// visitorChain is a chain as alice's request sees it, and its context.
func visitorChain() (*chain, context.Context, *caddy.Replacer) {
	repl := caddy.NewReplacer()
	ctx := context.WithValue(context.Background(), caddyhttp.VarsCtxKey, map[string]any{"known": "before"})
	ctx = context.WithValue(ctx, caddy.ReplacerCtxKey, repl)
	return &chain{r: httptest.NewRequest(http.MethodGet, "/", nil).WithContext(ctx)}, ctx, repl
}

// A re-check goes on while the request that the chain was kept from does, whose
// handlers write variables and placeholders: two of both at once end the process.
func TestKeptChainBesideItsRequest(t *testing.T) {
	c, ctx, repl := visitorChain()
	kept := c.Keep()
	done := make(chan struct{})
	var writing sync.WaitGroup
	writing.Go(func() { // as reverse_proxy does, once for each try
		for n := 0; ; n++ {
			select {
			case <-done:
				return
			default:
				caddyhttp.SetVar(ctx, "reverse_proxy.proxy_protocol_info", n)
				repl.Set("http.reverse_proxy.upstream.address", n)
				if n%1000 == 0 {
					c.Identify(&flow.Identity{Username: "alice"})
				}
			}
		}
	})
	for range 20_000 {
		r := kept.Fresh(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/api/users/me", nil), new(http.Request))
		fresh, _ := r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
		fresh.Get("http.auth.user.id")
		if value := caddyhttp.GetVar(r.Context(), "known"); value != "before" {
			t.Fatalf("a variable is %v", value)
		}
	}
	close(done)
	writing.Wait()
}

// What is done beside the requests is done for many, and is not to bear the
// name of whoever came first after a reload.
func TestKeptChainNamesNobody(t *testing.T) {
	c, _, repl := visitorChain()
	repl.Set("upstream", "romm:8080")
	kept := c.Keep()
	c.Identify(&flow.Identity{Username: "alice"})
	r := kept.Fresh(httptest.NewRecorder(), httptest.NewRequest(http.MethodPost, "/api/logout", nil), new(http.Request))
	fresh, _ := r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
	if name, ok := fresh.Get("http.auth.user.id"); ok {
		t.Errorf("it is %v's", name)
	}
	if upstream, _ := fresh.Get("upstream"); upstream != "romm:8080" {
		t.Errorf("a placeholder of handlers before is %v", upstream)
	}
}

// Anybody may ask the token endpoint, as often as they like: it is in no log
// at the default level. A RomM that is set up wrongly is.
func TestStrangersFillNoLog(t *testing.T) {
	core, logs := observer.New(zapcore.InfoLevel)
	for range 100 {
		answered(zap.New(core), op.Event{Name: "token_request_unknown", Err: errors.New("unknown_code")})
	}
	answered(zap.New(core), op.Event{Name: "code_redeemed"})
	if logs.Len() != 0 {
		t.Errorf("%d lines", logs.Len())
	}
	answered(zap.New(core), op.Event{Name: "token_request_refused", Err: errors.New("wrong_client_secret")})
	if all := logs.All(); len(all) != 1 || all[0].Level != zapcore.WarnLevel {
		t.Errorf("got %v", all)
	}
}
