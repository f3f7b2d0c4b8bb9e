// Failed token requests stay below the provider's limits.

package limit

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
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
				kind := TokenRequest(i % 2)
				if end, err := b.Begin(t.Context(), kind, network); err == nil {
					end(&flow.TokenError{Code: "invalid_grant"})
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
				network, limit := NetworkOf("192.0.2.1"), tokenLimits[0].all
				ends := make(chan func(error), 100)
				for range cap(ends) {
					go func() {
						end, _ := b.Begin(t.Context(), SignIn, network)
						ends <- end
					}()
				}
				synctest.Wait()
				if len(ends) != limit {
					t.Fatalf("%d requests under way, want %d", len(ends), limit)
				}
				passed := 0
				for range cap(ends) {
					end := <-ends
					if end == nil {
						continue
					}
					passed++
					end(c.result)
					synctest.Wait()
				}
				if (passed < cap(ends)) != c.refused || c.refused && passed > limit {
					t.Errorf("%d of %d requests were admitted, want refusals: %v", passed, cap(ends), c.refused)
				}
			})
		})
	}
	synctest.Test(t, func(t *testing.T) {
		var b TokenBudget
		for range tokenLimits[0].all {
			begin(t, &b, SignIn)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := b.Begin(ctx, SignIn, NetworkOf("192.0.2.1")); problem.Of(err).Code != problem.ProviderUnavailable.Code {
			t.Errorf("Begin after its context ended = %v, want %s", err, problem.ProviderUnavailable.Code)
		}
	})
}

// begin makes a token request that must be admitted.
func begin(t *testing.T, b *TokenBudget, kind TokenRequest) (end func(error)) {
	t.Helper()
	end, err := b.Begin(t.Context(), kind, netip.Prefix{})
	if err != nil {
		t.Fatalf("a token request was refused: %v", err)
	}
	return end
}

// 150 refresh tokens have ended overnight. However many refreshes fail, all users
// can sign in, and the operator reads one line when it begins and one when it ends.
func TestFailedRefreshesKeepNoSignInOut(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var reports []string
		b := TokenBudget{Report: func(kind TokenRequest, reason error, until time.Time) {
			reports = append(reports, fmt.Sprint(kind, reason != nil, until.After(time.Now())))
		}}
		refused := 0
		for range 150 {
			end, err := b.Begin(t.Context(), Refresh, netip.Prefix{})
			if err != nil {
				refused++
				if p := problem.Of(err); p.Retry <= 0 || !errors.Is(err, ErrHeldBack) || !errors.Is(err, flow.ErrProviderUnavailable) {
					t.Fatalf("refused refresh: %v, retry %s, want ErrHeldBack with a time to wait", err, p.Retry)
				}
				continue
			}
			end(fmt.Errorf("%w: %w", flow.ErrTokensEnded, &flow.TokenError{Code: "invalid_grant"}))
		}
		if refused < 100 {
			t.Errorf("%d of 150 refreshes were held back, want most", refused)
		}
		for range 50 {
			begin(t, &b, SignIn)(nil)
		}
		if want := []string{fmt.Sprint(Refresh, true, true)}; !slices.Equal(reports, want) {
			t.Errorf("reports: %q, want %q", reports, want)
		}
		time.Sleep(time.Minute)
		begin(t, &b, Refresh)(nil)
		begin(t, &b, Refresh)(nil)
		if want := fmt.Sprint(Refresh, false, false); len(reports) != 2 || reports[1] != want {
			t.Errorf("reports: %q, want one more, %q", reports, want)
		}
	})
}

// A refresh lets the sign-ins that wait go first.
func TestRefreshesWaitForSignIns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var b TokenBudget
		ends := make([]func(error), 0, tokenLimits[0].all)
		for range tokenLimits[0].all {
			ends = append(ends, begin(t, &b, SignIn))
		}
		var mu sync.Mutex
		var order []TokenRequest
		for _, kind := range []TokenRequest{Refresh, SignIn, SignIn} {
			go func() {
				end := begin(t, &b, kind)
				mu.Lock()
				order = append(order, kind)
				mu.Unlock()
				time.Sleep(time.Second)
				end(nil)
			}()
			synctest.Wait()
		}
		for _, end := range ends[:1] {
			end(nil)
		}
		time.Sleep(5 * time.Second)
		mu.Lock()
		defer mu.Unlock()
		if want := []TokenRequest{SignIn, SignIn, Refresh}; !slices.Equal(order, want) {
			t.Errorf("order of admission: %v, want %v", order, want)
		}
	})
}

// After a 429, the gate asks again when the provider said, and not before.
func TestRetryAfterOfTheProviderIsKept(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ said, want time.Duration }{
		"Authelia's":   {time.Minute, time.Minute},
		"ten minutes":  {10 * time.Minute, 10 * time.Minute},
		"missing":      {0, time.Minute},
		"unreasonable": {1000 * time.Hour, time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var b TokenBudget
				begin(t, &b, Refresh)(&flow.EndpointError{Status: 429, RetryAfter: c.said})
				time.Sleep(c.want - time.Second)
				for _, kind := range []TokenRequest{SignIn, Refresh} {
					_, err := b.Begin(t.Context(), kind, netip.Prefix{})
					if p := problem.Of(err); p.Status != 503 || p.Retry < time.Second || p.Retry > 2*time.Second {
						t.Errorf("kind %d: %v, retry %s, want 503 that names the last second", kind, err, p.Retry)
					}
				}
				time.Sleep(time.Second)
				begin(t, &b, SignIn)(nil)
				begin(t, &b, Refresh)(nil)
			})
		})
	}
}
