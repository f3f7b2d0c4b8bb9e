// Caddies that share a storage share the budget of token requests.

package limit

import (
	"context"
	"errors"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/flow"
	"github.com/romm-oidc/caddy-romm-oidc/flow/keyring"
	"github.com/romm-oidc/caddy-romm-oidc/flow/keyring/keyringtest"
)

// shareIn is how a node of the gate shares its failures in storage.
func shareIn(storage keyring.Storage) Share {
	return Share{Gate: "gate", Storage: func() keyring.Storage { return storage }}
}

// Dead refresh tokens and made-up codes at three Caddies, to which the provider
// speaks as to one. It counts fewer failures than it allows.
func TestNodesShareTheBudget(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		storage := keyringtest.New()
		nodes := make([]*TokenBudget, 3)
		for i := range nodes {
			nodes[i] = new(TokenBudget)
			nodes[i].Join(ctx, shareIn(storage))
		}
		var mu sync.Mutex
		var failed []time.Time
		for range 70 {
			for _, node := range nodes {
				for kind := range TokenRequest(2) {
					for range 10 {
						go func() {
							end, err := node.Begin(ctx, kind, netip.Prefix{})
							if err != nil {
								return
							}
							time.Sleep(200 * time.Millisecond)
							mu.Lock()
							failed = append(failed, time.Now())
							mu.Unlock()
							end(&flow.TokenError{Code: "invalid_grant"})
						}()
					}
				}
			}
			time.Sleep(time.Minute)
		}
		for period, most := range map[time.Duration]int{time.Minute: 30, 2 * time.Minute: 40, 10 * time.Minute: 50, time.Hour: 100} {
			for i := range failed {
				n := 0
				for j := i; j >= 0 && failed[i].Sub(failed[j]) < period; j-- {
					n++
				}
				if n > most {
					t.Fatalf("%d failures in %s, want at most %d", n, period, most)
				}
			}
		}
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		if len(storage.Keys("")) != 0 {
			t.Errorf("%d documents are left two hours later, want none", len(storage.Keys("")))
		}
	})
}

// A gate makes no token request for an hour, and calls no storage. Its next one makes
// it read at once what the other nodes used up meanwhile.
func TestIdleBudgetCallsNoStorage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		storage := keyringtest.New()
		var idle, other TokenBudget
		idle.Join(ctx, shareIn(storage))
		other.Join(ctx, shareIn(storage))
		begin(t, &idle, SignIn)(nil)
		synctest.Wait()
		calls := storage.Calls()
		time.Sleep(time.Hour)
		synctest.Wait()
		if now := storage.Calls(); now != calls {
			t.Errorf("%d storage calls in an idle hour, want none", now-calls)
		}
		for range tokenLimits[0].all {
			begin(t, &other, SignIn)(&flow.TokenError{Code: "invalid_grant"})
			synctest.Wait()
		}
		begin(t, &idle, SignIn)(nil)
		synctest.Wait()
		if _, err := idle.Begin(ctx, SignIn, netip.Prefix{}); !errors.Is(err, ErrHeldBack) {
			t.Errorf("Begin = %v, want ErrHeldBack: another node has used up the budget", err)
		}
	})
}

// Each node counts alone while the storage is away, and no sign-in waits for it.
func TestBudgetWithoutStorage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var b TokenBudget
		storage := keyringtest.New()
		storage.Fail(keyringtest.ErrUnavailable)
		b.Join(ctx, shareIn(storage))
		synctest.Wait()
		for range tokenLimits[0].all {
			begin(t, &b, SignIn)(&flow.TokenError{Code: "invalid_grant"})
		}
		if _, err := b.Begin(ctx, SignIn, netip.Prefix{}); !errors.Is(err, ErrHeldBack) {
			t.Errorf("Begin = %v, want ErrHeldBack", err)
		}
	})
}

// The storage is away when the failures of a node are too old to tell of. The node
// removes its document later, and does not try all the time until then.
func TestDocumentIsRemovedAfterAnOutage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		storage := keyringtest.New()
		var b TokenBudget
		b.Join(ctx, Share{Gate: "gate", Storage: func() keyring.Storage {
			if storage.Calls() > 2000 {
				cancel()
			}
			return storage
		}})
		begin(t, &b, SignIn)(&flow.TokenError{Code: "invalid_grant"})
		time.Sleep(time.Minute)
		storage.Fail(keyringtest.ErrUnavailable)
		time.Sleep(2 * time.Hour)
		storage.Fail(nil)
		time.Sleep(time.Minute)
		synctest.Wait()
		if calls := storage.Calls(); len(storage.Keys("")) != 0 || calls > 2000 {
			t.Errorf("%d documents are left after %d calls, want none after at most 2000", len(storage.Keys("")), calls)
		}
	})
}

// brokenDocuments is a storage that panics, or hangs and ignores its context.
type brokenDocuments struct {
	keyring.Storage

	fail func()
}

func (d brokenDocuments) Store(context.Context, string, []byte) error { d.fail(); return nil }

func (d brokenDocuments) List(context.Context, string, bool) ([]string, error) {
	d.fail()
	return nil, nil
}

// A storage module that panics, or a network file system that hangs, keeps no user
// from signing in.
func TestBudgetWithBrokenStorage(t *testing.T) {
	t.Parallel()
	for name, hangs := range map[string]bool{"it panics": false, "it hangs": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				released := make(chan struct{})
				defer close(released)
				storage := brokenDocuments{fail: func() {
					if hangs {
						<-released
					}
					panic("the connection is nil")
				}}
				var b TokenBudget
				b.Join(ctx, shareIn(storage))
				synctest.Wait()
				for range 60 {
					begin(t, &b, SignIn)(&flow.TokenError{Code: "invalid_grant"})
					time.Sleep(time.Minute)
				}
				for range 2 * shareAhead {
					waiting, cancel := context.WithTimeout(ctx, 2*shareTimeout)
					if end, err := b.Begin(waiting, SignIn, netip.Prefix{}); err != nil {
						t.Errorf("Begin = %v, want no error", err)
					} else {
						end(nil)
					}
					cancel()
				}
			})
		})
	}
}
