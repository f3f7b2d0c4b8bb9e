// Failed token requests, kept below the limits of the provider.

package limit

import (
	"context"
	"errors"
	"net/netip"
	"sync"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/flow"
	"github.com/romm-oidc/caddy-romm-oidc/handler/problem"
)

// tokenLimits are the failed token requests allowed per period; further
// sign-ins are refused without asking the provider. Anyone can send a made-up
// code, and a provider that counts failures blames the gate: after 30 failures
// in a minute, 40 in two, 50 in ten or 100 in an hour Authelia refuses all of
// the gate's token requests, and with them every user's sign-in and refresh.
var tokenLimits = []struct {
	period   time.Duration
	failures int
}{
	{time.Minute, 15},
	{10 * time.Minute, 40},
	{time.Hour, 80},
}

// TokenBudget counts the token requests of sign-ins. A network that sent an
// invalid code within the last hour gets half of the limits, so that it cannot
// use up what the other networks need. The zero value is ready.
type TokenBudget struct {
	mu       sync.Mutex
	failed   []failedRequest // of the last hour, the oldest first
	underWay int
	changed  chan struct{} // closed when a request ends; nil if no caller waits
}

// failedRequest is a token request that the provider refused.
type failedRequest struct {
	network netip.Prefix // that sent the code; the zero value if the gate itself was refused
	at      time.Time
	cause   error
}

// Begin waits until there is room for another failure, so that the caller may
// make a token request. It returns a Problem if there is no room, or if ctx
// ends. If it returns nil, the caller must call End after the request.
func (b *TokenBudget) Begin(ctx context.Context, network netip.Prefix, now func() time.Time) error {
	for {
		wait, err := b.admit(network, now())
		if err != nil || wait == nil {
			return err
		}
		select {
		case <-wait:
		case <-ctx.Done():
			return problem.ProviderUnavailable.Because(ctx.Err())
		}
	}
}

// admit counts a request as under way. It returns an error if there is no room
// for another failure, and a channel to wait on if there would be none should
// all requests under way fail.
func (b *TokenBudget) admit(network netip.Prefix, now time.Time) (wait <-chan struct{}, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	room := b.room(network, now)
	switch {
	case room <= 0:
		return nil, b.refusal()
	case room <= b.underWay:
		if b.changed == nil {
			b.changed = make(chan struct{})
		}
		return b.changed, nil
	}
	b.underWay++
	return nil, nil // nothing to wait for
}

// room returns how many more requests of network may fail. Called under the lock.
func (b *TokenBudget) room(network netip.Prefix, now time.Time) int {
	for len(b.failed) > 0 && now.Sub(b.failed[0].at) >= time.Hour {
		b.failed = b.failed[1:]
	}
	share := 1
	for _, f := range b.failed {
		if network.IsValid() && f.network == network {
			share = 2
		}
	}
	room := tokenLimits[0].failures
	for _, limit := range tokenLimits {
		n := 0
		for _, f := range b.failed {
			if now.Sub(f.at) < limit.period {
				n++
			}
		}
		room = min(room, limit.failures/share-n)
	}
	return room
}

// refusal returns the reason why there is no room. If the provider refuses the
// gate itself, the operator has to see that and not a rate limit. Called under
// the lock.
func (b *TokenBudget) refusal() error {
	last := b.failed[len(b.failed)-1]
	if last.network.IsValid() {
		return problem.TooManySignIns
	}
	return problem.ClientRefused.Because(last.cause)
}

// End records the result of a request that Begin admitted.
func (b *TokenBudget) End(network netip.Prefix, err error, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.underWay--
	if refused, ok := errors.AsType[*flow.TokenError](err); ok {
		if refused.Code == "invalid_client" { // the provider did not look at the code
			network = netip.Prefix{}
		}
		b.failed = append(b.failed, failedRequest{network, now, err})
	}
	if b.changed != nil {
		close(b.changed)
		b.changed = nil
	}
}

// NetworkOf returns the unit that counts as one attacker: an IPv4 address, or
// the /48 that anyone can get for IPv6.
func NetworkOf(ip string) netip.Prefix {
	address := AddressOf(ip)
	if address.Addr().Is4() {
		return address
	}
	network, _ := address.Addr().Prefix(48) // the zero value if there is no address
	return network
}
