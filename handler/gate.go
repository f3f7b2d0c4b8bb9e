// The state that all instances of a gate share.

package handler

import (
	"errors"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/singleflight"

	"github.com/romm-oidc/caddy-romm-oidc/flow"
	"github.com/romm-oidc/caddy-romm-oidc/flow/session"
	"github.com/romm-oidc/caddy-romm-oidc/handler/background"
	"github.com/romm-oidc/caddy-romm-oidc/handler/limit"
	"github.com/romm-oidc/caddy-romm-oidc/handler/watch"
)

// Gate is the state of one gate. All handler instances of the gate share it,
// and it outlives reloads.
type Gate struct {
	Sessions *session.Store

	calls    singleflight.Group  // questions and sign-ins that several requests wait for
	doubts   atomic.Uint64       // how often all confirmations were voided
	accounts accounts            // that users were seen with
	redeemed limit.Once[outcome] // sign-ins, by state

	tokenRequests  limit.Attempts // of clients that are not the application, at the endpoints for it
	logoutAttempts limit.Attempts // logout requests that did not succeed, or not yet
	logoutTokens   limit.UsedIDs  // the jti of those that did

	pushes      limit.Attempts    // sign-ins that began with a request to the provider
	tokenBudget limit.TokenBudget // of code redemptions and refreshes
	refusals    sync.Map          // causes for which refreshes were refused, since the last success
	lacking     sync.Map          // scopes that did not come, and were reported
	awayUntil   atomic.Int64      // until when the provider counts as away, by the monotonic clock
	answeredAt  atomic.Int64      // when the provider last answered a check, by the monotonic clock

	recognized recognized // credentials of clients without a session
	bearers    bearers
	shuts      shuts
	shutting   atomic.Bool    // some of them are being retried
	confirming atomic.Bool    // sessions with open sockets are being confirmed
	attempts   limit.Attempts // with credentials, access tokens and passwords

	configurations atomic.Int64              // how many configurations there were
	last           atomic.Pointer[lastChain] // for background calls
	configured     atomic.Pointer[Handler]   // of the configuration in force, before the first request
	Background     *background.Monitor       // of the work in the queues below
	sockets        atomic.Int64              // that are open
	Followed       watch.SignIn              // by the operator
	checks         workQueue                 // of sessions, at the provider
	ends           workQueue                 // of sessions, at the application and the provider
}

// NewGate returns the state of a gate that keeps its sessions in store, which
// is not in use yet. One goroutine calls Run.
func NewGate(store *session.Store) *Gate {
	g := &Gate{
		Sessions:     store,
		redeemed:     limit.Once[outcome]{Aborted: outcome{err: errSignInAborted}, Age: redeemedFor},
		logoutTokens: limit.UsedIDs{Age: 2 * flow.LogoutTokenAge},
		pushes:       limit.Attempts{Most: pushesMost},
	}
	g.checks.logger, g.ends.logger = g.logger, g.logger
	g.tokenBudget.Report = g.reportHeldBack
	g.Background = background.New(g.logger)
	store.OnEnd(g.sessionEnded)
	store.OnOwnEnd(g.reportEnd)
	store.OnWork(func(work string, err error) { g.Background.Done(background.Work(work), err) })
	store.OnDoubt(g.doubtAccounts)
	return g
}

// errSignInAborted is the outcome of a sign-in that panicked.
var errSignInAborted = errors.New("the sign-in was aborted")
