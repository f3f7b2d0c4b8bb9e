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

// TokenLimits are how many codes may turn out to be none in a period before
// the provider is asked about no more. Anybody can bring a made-up one, and a
// provider that counts failures takes the gate for one client: Authelia
// refuses it everything, everybody's sign-ins and refreshes, after 30 in a
// minute, 40 in two, 50 in ten or 100 in an hour.
var TokenLimits = []struct {
	period   time.Duration
	Failures int
}{
	{time.Minute, 15},
	{10 * time.Minute, 40},
	{time.Hour, 80},
}

// TokenBudget counts the token requests of sign-ins. A network that brought a
// made-up code within the hour has half of the limits, so that it does not
// shut out those that did not. The zero value is ready.
type TokenBudget struct {
	mu       sync.Mutex
	failed   []failedRequest // of the last hour, the oldest first
	underWay int
	changed  chan struct{} // closed when a request ends; nil if nobody waits
}

// failedRequest is a token request that the provider refused.
type failedRequest struct {
	network netip.Prefix // that brought the code; the zero value if the fault is the gate's
	at      time.Time
	cause   error
}

// Begin waits until a request may be made that fails, and returns the problem
// that it may not, or that ctx ended. Whoever gets none calls end.
func (e *TokenBudget) Begin(ctx context.Context, network netip.Prefix, now func() time.Time) error {
	for {
		wait, err := e.admit(network, now())
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

// admit counts a request as under way, or returns why there may be none, or
// what to wait for: all that are under way may fail yet.
func (e *TokenBudget) admit(network netip.Prefix, now time.Time) (wait <-chan struct{}, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	room := e.room(network, now)
	switch {
	case room <= 0:
		return nil, e.refusal()
	case room <= e.underWay:
		if e.changed == nil {
			e.changed = make(chan struct{})
		}
		return e.changed, nil
	}
	e.underWay++
	return nil, nil //nolint:nilnil // nothing to wait for
}

// room returns how many more requests of network may fail. Called under the lock.
func (e *TokenBudget) room(network netip.Prefix, now time.Time) int {
	for len(e.failed) > 0 && now.Sub(e.failed[0].at) >= time.Hour {
		e.failed = e.failed[1:]
	}
	share := 1
	for _, f := range e.failed {
		if network.IsValid() && f.network == network {
			share = 2
		}
	}
	room := TokenLimits[0].Failures
	for _, limit := range TokenLimits {
		n := 0
		for _, f := range e.failed {
			if now.Sub(f.at) < limit.period {
				n++
			}
		}
		room = min(room, limit.Failures/share-n)
	}
	return room
}

// refusal returns why no request may be made: if the provider does not accept
// the gate itself, that is what whoever runs it has to see. Called under the lock.
func (e *TokenBudget) refusal() error {
	last := e.failed[len(e.failed)-1]
	if last.network.IsValid() {
		return problem.TooManySignIns
	}
	return problem.ClientRefused.Because(last.cause)
}

// End notes what came of a request that begin let pass.
func (e *TokenBudget) End(network netip.Prefix, err error, now time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.underWay--
	if refused, ok := errors.AsType[*flow.TokenError](err); ok {
		if refused.Code == "invalid_client" { // whatever the code was
			network = netip.Prefix{}
		}
		e.failed = append(e.failed, failedRequest{network, now, err})
	}
	if e.changed != nil {
		close(e.changed)
		e.changed = nil
	}
}

// NetworkOf returns what counts as one visitor who may be an attacker: an IPv4
// address, or the /48 that anybody can have for IPv6.
func NetworkOf(ip string) netip.Prefix {
	address := AddressOf(ip)
	if address.Addr().Is4() {
		return address
	}
	network, _ := address.Addr().Prefix(48) // the zero value if there is no address
	return network
}
