package handler

import (
	"context"
	"crypto/sha256"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/romm-oidc/caddy-romm-oidc/flow/session"
)

// State is what a gate keeps beside its configuration. All handler instances
// of the gate share one, and it outlives reloads.
type State struct {
	Sessions *session.Store

	calls    singleflight.Group // confirmations and brokered sign-ins, by session
	failedAt atomic.Int64       // when the application last failed, Unix nanoseconds
	spent    redemptions
	logouts  logouts

	exchanges exchanges

	recognized recognized // credentials of clients without a session
	bearers    bearers
	attempts   attempts

	gates  atomic.Int64         // how many configurations there were
	last   atomic.Pointer[kept] // by which the gate does what no request asks for
	checks work                 // of sessions, at the provider
	ends   work                 // of sessions, at the application and the provider
}

// NewState returns the state of a gate whose sessions are in store, which
// nobody uses yet. One goroutine calls Run.
func NewState(store *session.Store) *State {
	s := &State{Sessions: store, checks: make(work, workQueue), ends: make(work, workQueue)}
	store.OnEnd(s.sessionEnded)
	return s
}

// redemptionsKept bounds how many spent states are remembered.
const redemptionsKept = 10_000

// redemptions remembers which states were redeemed, so that a double click
// does not send one code twice: the provider would revoke the tokens of the
// first (RFC 6749 section 4.1.2). Who asks while it is redeemed, or shortly
// after, gets the same outcome.
type redemptions struct {
	mu    sync.Mutex
	known map[[sha256.Size]byte]*redemption
	order [][sha256.Size]byte
}

type redemption struct {
	done    chan struct{}
	outcome outcome
	at      time.Time
}

// outcome is what came of a sign-in.
type outcome struct {
	ticket   string
	returnTo string
	err      error
}

// redeem runs do once a state and returns its outcome to everybody who asks,
// or an error of ctx while it still runs.
func (m *redemptions) redeem(ctx context.Context, state string, now time.Time, do func() outcome) (outcome, error) {
	key := sha256.Sum256([]byte(state))
	m.mu.Lock()
	known, ok := m.known[key]
	if !ok {
		known = &redemption{done: make(chan struct{}), at: now}
		m.add(key, known)
	}
	m.mu.Unlock()
	if !ok {
		known.outcome.err = errAborted // stands if do panics
		defer close(known.done)
		known.outcome = do()
		return known.outcome, nil
	}
	select {
	case <-known.done:
		return known.outcome, nil
	case <-ctx.Done():
		return outcome{}, ctx.Err() //nolint:wrapcheck // the visitor has gone
	}
}

// add is called under the lock.
func (m *redemptions) add(key [sha256.Size]byte, r *redemption) {
	if m.known == nil {
		m.known = make(map[[sha256.Size]byte]*redemption)
	}
	for len(m.order) > 0 && (len(m.order) >= redemptionsKept || r.at.Sub(m.known[m.order[0]].at) > redemptionAge) {
		delete(m.known, m.order[0])
		m.order = m.order[1:]
	}
	m.known[key] = r
	m.order = append(m.order, key)
}
