package handler

import (
	"errors"
	"sync/atomic"

	"golang.org/x/sync/singleflight"

	"github.com/romm-oidc/caddy-romm-oidc/flow"
	"github.com/romm-oidc/caddy-romm-oidc/flow/session"
)

// State is what a gate keeps beside its configuration. All handler instances
// of the gate share one, and it outlives reloads.
type State struct {
	Sessions *session.Store

	calls    singleflight.Group // confirmations and brokered sign-ins, by session
	failedAt atomic.Int64       // when the application last failed, Unix nanoseconds
	spent    once[outcome]      // sign-ins, by state

	logoutAttempts attempts // logout requests that did not succeed, or not yet
	logoutTokens   usedIDs  // the jti of those that did

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
	s := &State{
		Sessions:     store,
		spent:        once[outcome]{Aborted: outcome{err: errSignInAborted}, Age: redemptionAge},
		logoutTokens: usedIDs{Age: 2 * flow.LogoutTokenAge},
		checks:       make(work, workQueue), ends: make(work, workQueue),
	}
	store.OnEnd(s.sessionEnded)
	return s
}

// outcome is what came of a sign-in.
type outcome struct {
	ticket   string
	returnTo string
	err      error
}

// errSignInAborted is the outcome of a sign-in that panicked.
var errSignInAborted = errors.New("the sign-in was aborted")
