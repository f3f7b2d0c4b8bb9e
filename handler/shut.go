// Shutting accounts of the application, until it succeeds.

package handler

import (
	"context"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/romm-oidc/caddy-romm-oidc/flow"
	"github.com/romm-oidc/caddy-romm-oidc/flow/session"
	"github.com/romm-oidc/caddy-romm-oidc/handler/background"
)

const (
	// shutsKept bounds how many accounts wait to be shut.
	shutsKept = 1000
	// shutLeast and shutMost are the pauses after the first failure and after many.
	shutLeast = 2 * time.Second
	shutMost  = time.Minute
)

// shuts are the accounts that could not be shut yet, by their user. The zero
// value is ready.
type shuts struct {
	mu      sync.Mutex
	waiting map[string]*shut
}

type shut struct {
	identity flow.Identity
	next     time.Time // when it is tried again
	pause    time.Duration
}

// failed notes a failure. first says that no account waited before; kept is
// false if too many wait.
func (q *shuts) failed(identity *flow.Identity, now time.Time) (first, kept bool) {
	key := session.UserKey(identity.Issuer, identity.Subject)
	q.mu.Lock()
	defer q.mu.Unlock()
	first = len(q.waiting) == 0
	waits := q.waiting[key]
	switch {
	case waits != nil:
		waits.pause = min(2*waits.pause, shutMost)
	case len(q.waiting) >= shutsKept:
		return first, false
	default:
		waits = &shut{pause: shutLeast}
		if q.waiting == nil {
			q.waiting = make(map[string]*shut)
		}
		q.waiting[key] = waits
	}
	waits.identity, waits.next = *identity, now.Add(waits.pause)
	return first, true
}

// forget removes the user of identity.
func (q *shuts) forget(identity *flow.Identity) {
	q.mu.Lock()
	defer q.mu.Unlock()
	delete(q.waiting, session.UserKey(identity.Issuer, identity.Subject))
}

// len returns how many users wait.
func (q *shuts) len() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.waiting)
}

// due returns the users that are to be tried now.
func (q *shuts) due(now time.Time) (all []flow.Identity) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, waits := range q.waiting {
		if !now.Before(waits.next) {
			all = append(all, waits.identity)
		}
	}
	return all
}

// shutAccount makes the account's other credentials stop working, and tries
// again until they do, or until the user signs in.
func (g *Gate) shutAccount(ctx context.Context, identity *flow.Identity) {
	last := g.last.Load()
	if last == nil {
		return
	}
	h := last.handler
	defer g.doubtCredentials()
	err := h.config.Application.Shut(ctx, *identity)
	g.Background.Done(background.Shut, err)
	if err == nil {
		g.shuts.forget(identity)
		return
	}
	first, kept := g.shuts.failed(identity, h.now())
	switch {
	case !kept:
		h.config.Logger.Error("account's tokens and password still work: shutting them failed, and too many wait to be retried", zap.String("user", identity.Username), zap.Error(err))
	case first:
		h.config.Logger.Info("account not shut, will retry", zap.String("user", identity.Username), zap.Error(err))
	default:
		h.config.Logger.Debug("account not shut, will retry", zap.String("user", identity.Username), zap.Error(err))
	}
}

// retryShuts shuts the accounts that are due.
func (g *Gate) retryShuts(ctx context.Context) {
	last := g.last.Load()
	if last == nil {
		return
	}
	for _, identity := range g.shuts.due(last.handler.now()) {
		bounded, cancel := context.WithTimeout(ctx, endTimeout)
		g.shutAccount(bounded, &identity)
		cancel()
	}
}

// repeatShuts retries shuts until ctx ends.
func (g *Gate) repeatShuts(ctx context.Context) {
	ticker := time.NewTicker(shutLeast)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			recovered(g.logger, func() { g.retryShuts(ctx) })
		}
	}
}
