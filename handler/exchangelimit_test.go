// The budget of token requests that may fail.

package handler

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/flow"
	"github.com/romm-oidc/caddy-romm-oidc/handler/limit"
	"github.com/romm-oidc/caddy-romm-oidc/handler/problem"
)

// An attacker with many addresses does not reach any of Authelia's limits.
func TestExchangeFailuresStayBelowTheProvidersLimits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var e limit.TokenBudget
		var failed []time.Time
		for i := range 3 * 3600 {
			network := limit.NetworkOf(fmt.Sprintf("10.%d.%d.1", i>>8&255, i&255))
			for range 2 {
				if e.Begin(t.Context(), network, time.Now) == nil {
					e.End(network, &flow.TokenError{Code: "invalid_grant"}, time.Now())
					failed = append(failed, time.Now())
				}
			}
			for period, limit := range map[time.Duration]int{time.Minute: 30, 2 * time.Minute: 40, 10 * time.Minute: 50, time.Hour: 100} {
				n := 0
				for j := len(failed) - 1; j >= 0 && time.Since(failed[j]) < period; j-- {
					n++
				}
				if n >= limit {
					t.Fatalf("%d failures in %s, want fewer than %d", n, period, limit)
				}
			}
			time.Sleep(time.Second)
		}
	})
}

// Token requests under way may all fail. Others wait for them, and all of those are
// admitted if the first ones succeed.
func TestExchangesUnderWay(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		result  error
		refused bool
	}{
		"all succeed": {nil, false},
		"all fail":    {&flow.TokenError{Code: "invalid_grant"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var e limit.TokenBudget
				network, most := limit.NetworkOf("192.0.2.1"), limit.TokenLimits[0].Failures
				results := make(chan error, 100)
				for range cap(results) {
					go func() { results <- e.Begin(t.Context(), network, time.Now) }()
				}
				synctest.Wait()
				if len(results) != most {
					t.Fatalf("%d at a time, want %d", len(results), most)
				}
				passed := 0
				for range cap(results) {
					if err := <-results; err != nil {
						continue
					}
					passed++
					e.End(network, c.result, time.Now())
					synctest.Wait()
				}
				if (passed < cap(results)) != c.refused || passed > cap(results) || c.refused && passed > most {
					t.Errorf("%d of %d passed, want some refused: %v", passed, cap(results), c.refused)
				}
			})
		})
	}
	synctest.Test(t, func(t *testing.T) {
		var e limit.TokenBudget
		for range limit.TokenLimits[0].Failures {
			if err := e.Begin(t.Context(), limit.NetworkOf("192.0.2.1"), time.Now); err != nil {
				t.Fatal(err)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := e.Begin(ctx, limit.NetworkOf("192.0.2.1"), time.Now); problem.Of(err).Code != problem.ProviderUnavailable.Code {
			t.Errorf("got %v, want provider_unavailable when the context ends", err)
		}
	})
}
