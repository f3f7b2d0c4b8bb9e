// Failed token requests stay below the provider's limits.

package limit

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/flow"
	"github.com/romm-oidc/caddy-romm-oidc/handler/problem"
)

// An attacker with any number of addresses does not reach a limit of Authelia.
func TestExchangeFailuresStayBelowTheProvidersLimits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var b TokenBudget
		var failed []time.Time
		for i := range 3 * 3600 {
			network := NetworkOf(fmt.Sprintf("10.%d.%d.1", i>>8&255, i&255))
			for range 2 {
				if b.Begin(t.Context(), network, time.Now) == nil {
					b.End(network, &flow.TokenError{Code: "invalid_grant"}, time.Now())
					failed = append(failed, time.Now())
				}
			}
			for period, most := range map[time.Duration]int{time.Minute: 30, 2 * time.Minute: 40, 10 * time.Minute: 50, time.Hour: 100} {
				n := 0
				for j := len(failed) - 1; j >= 0 && time.Since(failed[j]) < period; j-- {
					n++
				}
				if n >= most {
					t.Fatalf("%d failures in %s, want fewer than %d", n, period, most)
				}
			}
			time.Sleep(time.Second)
		}
	})
}

// Requests under way may all fail. Further ones wait for them, and all get
// their turn if they succeed.
func TestExchangesUnderWay(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		result  error
		refused bool
	}{
		"valid codes":   {nil, false},
		"made-up codes": {&flow.TokenError{Code: "invalid_grant"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var b TokenBudget
				network, most := NetworkOf("192.0.2.1"), tokenLimits[0].failures
				results := make(chan error, 100)
				for range cap(results) {
					go func() { results <- b.Begin(t.Context(), network, time.Now) }()
				}
				synctest.Wait()
				if len(results) != most {
					t.Fatalf("%d requests under way, want %d", len(results), most)
				}
				passed := 0
				for range cap(results) {
					if err := <-results; err != nil {
						continue
					}
					passed++
					b.End(network, c.result, time.Now())
					synctest.Wait()
				}
				if (passed < cap(results)) != c.refused || passed > cap(results) || c.refused && passed > most {
					t.Errorf("%d of %d requests were admitted, want refusals: %v", passed, cap(results), c.refused)
				}
			})
		})
	}
	synctest.Test(t, func(t *testing.T) {
		var b TokenBudget
		for range tokenLimits[0].failures {
			if err := b.Begin(t.Context(), NetworkOf("192.0.2.1"), time.Now); err != nil {
				t.Fatal(err)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := b.Begin(ctx, NetworkOf("192.0.2.1"), time.Now); problem.Of(err).Code != problem.ProviderUnavailable.Code {
			t.Errorf("Begin after its context ended = %v, want %s", err, problem.ProviderUnavailable.Code)
		}
	})
}
