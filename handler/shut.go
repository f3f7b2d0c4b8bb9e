// Shutting accounts of the application, until it succeeds.

package handler

import (
	"context"
	"errors"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/romm-oidc/caddy-romm-oidc/flow"
	"github.com/romm-oidc/caddy-romm-oidc/flow/session"
	"github.com/romm-oidc/caddy-romm-oidc/handler/background"
	"github.com/romm-oidc/caddy-romm-oidc/handler/problem"
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
	reason   string    // why all sessions and access tokens of the user are to end; empty: they have been ended
	next     time.Time // when it is tried again
	pause    time.Duration
	opened   bool // the user signed in
}

// add notes that an account is to be shut, before the first attempt. news is
// false if the same waits already; kept is false if too many wait.
func (q *shuts) add(identity *flow.Identity, reason string, now time.Time) (news, kept bool) {
	key := session.UserKey(identity.Issuer, identity.Subject)
	q.mu.Lock()
	defer q.mu.Unlock()
	waits := q.waiting[key]
	switch {
	case waits != nil:
		news = waits.reason == "" && reason != ""
		if news {
			waits.reason = reason
		}
		return news, true
	case len(q.waiting) >= shutsKept:
		return true, false
	case q.waiting == nil:
		q.waiting = make(map[string]*shut)
	}
	q.waiting[key] = &shut{identity: *identity, reason: reason, next: now.Add(shutLeast)}
	return true, true
}

// take returns what waits for a user, and why their sessions are to end, once. It
// returns nil if the user signed in meanwhile.
func (q *shuts) take(identity *flow.Identity) (entry *shut, reason string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if entry = q.waiting[session.UserKey(identity.Issuer, identity.Subject)]; entry != nil {
		reason, entry.reason = entry.reason, ""
	}
	return entry, reason
}

// done removes an entry that was taken. It reports whether the user signed in
// meanwhile, and whether an earlier attempt failed.
func (q *shuts) done(entry *shut) (opened, late bool) {
	key := session.UserKey(entry.identity.Issuer, entry.identity.Subject)
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.waiting[key] == entry {
		delete(q.waiting, key)
	}
	return entry.opened, entry.pause > 0
}

// failed notes a failure. first says that no other account failed before; kept is
// false if the account does not wait any more.
func (q *shuts) failed(identity *flow.Identity, now time.Time) (first, kept bool) {
	key := session.UserKey(identity.Issuer, identity.Subject)
	q.mu.Lock()
	defer q.mu.Unlock()
	first = true
	for _, waits := range q.waiting {
		first = first && waits.pause == 0
	}
	waits := q.waiting[key]
	if waits == nil {
		return first, false
	}
	waits.pause = max(min(2*waits.pause, shutMost), shutLeast)
	waits.next = now.Add(waits.pause)
	return first, true
}

// forget removes the user of identity, who signed in.
func (q *shuts) forget(identity *flow.Identity) {
	key := session.UserKey(identity.Issuer, identity.Subject)
	q.mu.Lock()
	defer q.mu.Unlock()
	if entry := q.waiting[key]; entry != nil {
		entry.opened = true
		delete(q.waiting, key)
	}
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

// putOut follows up on what the gate has learnt about a user: the provider, or the
// operator's rules, no longer let them in. Their other sessions and their access
// tokens end, and their account is shut, whether or not a session of theirs is left.
// For any other reason it does nothing.
func (g *Gate) putOut(identity *flow.Identity, reason string) {
	if shutsAccount(reason) {
		g.shutSoon(identity, reason)
	}
}

// shutSoon shuts an account in the background, once however many sessions of its
// user end. With a reason, it ends the user's sessions and access tokens, too.
func (g *Gate) shutSoon(identity *flow.Identity, reason string) {
	now := time.Now()
	if last := g.last.Load(); last != nil {
		now = last.handler.now()
	}
	news, kept := g.shuts.add(identity, reason, now)
	if !news {
		return
	}
	g.Sessions.Use() // Run tries it again
	known := *identity
	g.ends.add(func(ctx context.Context) { // if it is full, retryShuts does it
		if kept {
			g.shutNow(ctx, &known)
			return
		}
		_ = g.shutAccount(ctx, &known)
		g.endEverywhere(ctx, &known, reason)
	})
}

// shutNow does what waits for a user, unless they have signed in meanwhile.
func (g *Gate) shutNow(ctx context.Context, identity *flow.Identity) {
	entry, reason := g.shuts.take(identity)
	if entry == nil {
		return
	}
	opened, late := false, false
	if g.shutAccount(ctx, identity) {
		opened, late = g.shuts.done(entry)
	}
	switch {
	case opened:
		g.openAgain(ctx, identity)
	case late: // the other nodes asked again when the first attempt failed
		g.accountsShut(ctx)
	}
	if reason != "" {
		g.endEverywhere(ctx, identity, reason) // which makes all nodes ask again about each credential
	}
}

// openAgain opens the account of a user who signed in while it was being shut: the
// sign-in may have opened it before that.
func (g *Gate) openAgain(ctx context.Context, identity *flow.Identity) {
	if err := g.last.Load().handler.config.Application.Open(ctx, *identity); err != nil {
		g.logger().Warn("account's tokens and password may still be refused, until the next sign-in", zap.String("user", identity.Username), zap.Error(err))
	}
}

// endEverywhere ends all sessions and access tokens of a user.
func (g *Gate) endEverywhere(ctx context.Context, identity *flow.Identity, reason string) {
	ctx, cancel := context.WithTimeout(ctx, endTimeout)
	defer cancel()
	key := session.UserKey(identity.Issuer, identity.Subject)
	// The tokens first: a sign-in on another node looks for their end when its session is there.
	tokens, failed := g.EndTokens(ctx, []string{key}, func(*flow.Identity) bool { return false }, reason)
	sessions, err := g.Sessions.EndUser(ctx, key, reason)
	if err = errors.Join(err, failed); err != nil {
		g.logger().Warn(notPersisted, zap.String("user", identity.Username), zap.Error(err))
	}
	g.logger().Info("user is out: their sessions and access tokens ended", zap.String("user", identity.Username),
		zap.String("reason", reason), zap.Int("sessions", sessions), zap.Int("access_tokens", tokens))
}

// shutAccount makes the account's other credentials stop working, and tries
// again until they do, or until the user signs in. It reports whether they have.
func (g *Gate) shutAccount(ctx context.Context, identity *flow.Identity) bool {
	last := g.last.Load()
	if last == nil {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, endTimeout)
	defer cancel()
	h := last.handler
	defer g.doubtCredentials()
	err := h.config.Application.Shut(ctx, *identity)
	g.Background.Done(background.Shut, err)
	if err == nil {
		return true
	}
	first, kept := g.shuts.failed(identity, h.now())
	switch {
	case !kept && g.shuts.len() >= shutsKept:
		h.config.Logger.Error("account's tokens and password still work: shutting them failed, and too many wait to be retried", zap.String("user", identity.Username), zap.Error(err))
	case first:
		h.config.Logger.Info("account not shut, will retry", zap.String("user", identity.Username), zap.Error(err))
	default:
		h.config.Logger.Debug("account not shut, will retry", zap.String("user", identity.Username), zap.Error(err))
	}
	return false
}

// retryShuts shuts the accounts that are due.
func (g *Gate) retryShuts(ctx context.Context) {
	last := g.last.Load()
	if last == nil {
		return
	}
	for _, identity := range g.shuts.due(last.handler.now()) {
		g.shutNow(ctx, &identity)
	}
}

// isShut reports whether the account of a credential is shut. The time that the
// application took for no answer is not taken from this question.
func (h *Handler) isShut(ctx context.Context, authorization, account string) (bool, error) {
	bounded, cancel := context.WithTimeout(ctx, recognizeTimeout)
	defer cancel()
	return h.config.Application.IsShut(bounded, authorization, account)
}

// cannotTell returns err, with which isShut failed, as a Problem.
func cannotTell(err error) error {
	if known, ok := errors.AsType[*problem.Problem](err); ok {
		return known
	}
	return problem.StorageUnavailable.Because(err)
}
