// Failed token requests, kept below the limits of the provider.

package limit

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/flow"
	"github.com/romm-oidc/caddy-romm-oidc/handler/problem"
)

// tokenLimits are the failed token requests allowed per period; no further one
// is made then. A provider that counts failures blames the gate: after 30 in a
// minute, 40 in two, 50 in ten or 100 in an hour Authelia refuses all of the
// gate's token requests, and with them every user's sign-in and refresh. Any
// client can send a made-up code, and in the morning many refresh tokens have
// ended at once, so refreshes may use up only half.
var tokenLimits = []struct {
	period         time.Duration
	all, refreshes int
}{
	{time.Minute, 18, 9},
	{10 * time.Minute, 44, 22},
	{time.Hour, 90, 45},
}

// The pause after a status 429 of the provider: its Retry-After within bounds.
const (
	pauseMin     = time.Second
	pauseDefault = time.Minute
	pauseMax     = time.Hour
)

// ErrHeldBack is the cause of the Problem for a token request that the gate did
// not make. TokenBudget reports that state once, so callers need no log line
// for each request.
var ErrHeldBack = fmt.Errorf("%w: token requests are held back", flow.ErrProviderUnavailable)

// TokenRequest is what a token request is for.
type TokenRequest int

// The kinds of token requests.
const (
	SignIn  TokenRequest = iota // a user waits for it
	Refresh                     // may be tried again later
)

// TokenBudget counts the token requests of a gate. A network that sent an
// invalid code within the last hour gets half of the limits, so that it cannot
// use up what the other networks need. The zero value is ready.
type TokenBudget struct {
	// Report is called when the gate starts to hold back token requests of a
	// kind, with the reason and the time until when, and with a nil reason when
	// it makes them again. It must not block.
	Report func(kind TokenRequest, reason error, until time.Time)

	mu       sync.Mutex
	failed   []failedRequest // of the last hour, the oldest first
	underWay [2]int          // by kind
	waiting  int             // sign-ins
	held     [2]bool         // by kind: what was reported
	pause    time.Time       // until when the provider wants no request
	paused   error           // what the provider answered
	changed  chan struct{}   // closed when a request ends; nil if no caller waits
	sharing  sharing         // with the other nodes
}

// failedRequest is a token request that the provider refused.
type failedRequest struct {
	kind    TokenRequest
	network netip.Prefix // that sent the code; the zero value if it is not to blame
	at      time.Time
	cause   error
}

// Begin waits until there is room for another failure, so that the caller may
// make a token request, and call end with its result. network is the one that
// sent the code of a SignIn. Begin returns a Problem if there is no room, with
// ErrHeldBack as its cause, or if ctx ends. Refreshes let sign-ins go first.
func (b *TokenBudget) Begin(ctx context.Context, kind TokenRequest, network netip.Prefix) (end func(error), err error) {
	waits := false
	for {
		wait, err := b.admit(kind, network, waits)
		switch {
		case err != nil:
			return nil, err
		case wait == nil:
			return func(err error) { b.end(failedRequest{kind, network, time.Now(), err}) }, nil
		}
		waits = true
		select {
		case <-wait:
		case <-ctx.Done():
			b.leave(kind)
			return nil, problem.ProviderUnavailable.Because(ctx.Err())
		}
	}
}

// admit counts a request as under way. It returns an error if there is no room
// for another failure, and a channel to wait on if there would be none in case
// that all requests under way fail. waits says that the caller has waited already.
func (b *TokenBudget) admit(kind TokenRequest, network netip.Prefix, waits bool) (wait <-chan struct{}, err error) {
	now := time.Now()
	b.mu.Lock()
	if waits && kind == SignIn {
		b.waiting--
	}
	room := b.room(kind, network, now)
	switch {
	case room.none():
		err = b.refusal(kind, room.until, now)
	case !b.fits(kind, room):
		if kind == SignIn {
			b.waiting++
		}
		if b.changed == nil {
			b.changed = make(chan struct{})
		}
		wait = b.changed
	default:
		b.underWay[kind]++
	}
	report := b.reportOf(kind, err, now)
	b.shareSoon()
	b.mu.Unlock()
	if report != nil {
		report()
	}
	return wait, err
}

// fits reports whether the requests under way leave room for another one.
// It is called under the lock, like all functions below.
func (b *TokenBudget) fits(kind TokenRequest, room room) bool {
	if kind == Refresh && (b.waiting > 0 || b.underWay[Refresh] >= room.refreshes) {
		return false
	}
	underWay := b.underWay[SignIn] + b.underWay[Refresh]
	return underWay < room.all && b.sharing.fits(underWay, room.all)
}

// room is how many more requests may fail, and if none may, until when.
type room struct {
	all, refreshes int
	until          time.Time
}

func (r room) none() bool { return r.all <= 0 || r.refreshes <= 0 }

// room returns the room for a request of a kind and network.
func (b *TokenBudget) room(kind TokenRequest, network netip.Prefix, now time.Time) room {
	if now.Before(b.pause) {
		return room{until: b.pause}
	}
	for len(b.failed) > 0 && now.Sub(b.failed[0].at) >= time.Hour {
		b.failed = b.failed[1:]
	}
	share := 1
	var all, refreshes []time.Time
	for _, f := range b.failed {
		if network.IsValid() && f.network == network {
			share = 2
		}
		all = append(all, f.at)
		if f.kind == Refresh && kind == Refresh {
			refreshes = append(refreshes, f.at)
		}
	}
	all = b.sharing.with(all, now)
	r := room{all: tokenLimits[0].all, refreshes: tokenLimits[0].refreshes}
	for _, limit := range tokenLimits {
		for _, part := range []struct {
			room   *int
			failed []time.Time
			limit  int
		}{{&r.all, all, limit.all / share}, {&r.refreshes, refreshes, limit.refreshes}} {
			n, until := left(part.failed, part.limit, now.Add(-limit.period))
			*part.room = min(*part.room, n)
			if n <= 0 && until.Add(limit.period).After(r.until) {
				r.until = until.Add(limit.period)
			}
		}
	}
	return r
}

// left returns how many more requests may fail if limit of them may fail after
// since. If none may, it also returns the time of the failure that has to be before
// since until one may again. failed is sorted.
func left(failed []time.Time, limit int, since time.Time) (int, time.Time) {
	for len(failed) > 0 && !failed[0].After(since) {
		failed = failed[1:]
	}
	if n := len(failed); n >= limit {
		return 0, failed[n-limit]
	}
	return limit - len(failed), time.Time{}
}

// refusal returns why there is no room. If the provider refuses the gate
// itself, the operator has to see that and not a rate limit.
func (b *TokenBudget) refusal(kind TokenRequest, until, now time.Time) error {
	if now.Before(b.pause) {
		return problem.ProviderUnavailable.After(until.Sub(now)).Because(fmt.Errorf("%w: %w", ErrHeldBack, b.paused))
	}
	var last error
	if n := len(b.failed); n > 0 {
		last = b.failed[n-1].cause
	}
	held := problem.TooManySignIns.Because(ErrHeldBack)
	if last != nil {
		held.Cause = fmt.Errorf("%w after failures, the last: %w", ErrHeldBack, last)
	}
	switch token, ok := errors.AsType[*flow.TokenError](last); {
	case ok && token.Code == "invalid_client":
		return problem.ClientRefused.Because(held.Cause)
	case kind == Refresh || errors.Is(last, flow.ErrProviderUnavailable):
		return problem.ProviderUnavailable.After(until.Sub(now)).Because(held.Cause)
	}
	return held
}

// reportOf returns the call of Report that is due, nil if nothing changed. A
// refusal of a single network does not count as a change.
func (b *TokenBudget) reportOf(kind TokenRequest, refused error, now time.Time) func() {
	held, until := false, time.Time{}
	if refused != nil {
		room := b.room(kind, netip.Prefix{}, now)
		held, until = room.none(), room.until
	}
	if b.Report == nil || held == b.held[kind] {
		return nil
	}
	b.held[kind] = held
	if !held {
		return func() { b.Report(kind, nil, time.Time{}) }
	}
	return func() { b.Report(kind, errors.Unwrap(refused), until) }
}

// end records the result of a request that Begin admitted.
func (b *TokenBudget) end(result failedRequest) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.underWay[result.kind]--
	token, refused := errors.AsType[*flow.TokenError](result.cause)
	endpoint, failed := errors.AsType[*flow.EndpointError](result.cause)
	switch {
	case failed && endpoint.Status == http.StatusTooManyRequests:
		pause := endpoint.RetryAfter
		if pause == 0 {
			pause = pauseDefault
		}
		b.pause, b.paused = result.at.Add(min(max(pause, pauseMin), pauseMax)), endpoint
	case failed, refused:
		if failed || token.Foreign || token.Code == "invalid_client" { // the provider did not look at the code
			result.network = netip.Prefix{}
		}
		b.failed = append(b.failed, result)
		b.sharing.note()
		b.shareSoon()
	}
	b.wake()
}

// leave ends the wait of a caller.
func (b *TokenBudget) leave(kind TokenRequest) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if kind == SignIn {
		b.waiting--
		b.wake() // of refreshes that let it go first
	}
}

func (b *TokenBudget) wake() {
	if b.changed != nil {
		close(b.changed)
		b.changed = nil
	}
}
