package handler

import (
	"context"
	"crypto/sha256"
	"errors"
	"net/http"
	"net/netip"
	"reflect"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/romm-oidc/caddy-romm-oidc/flow"
	"github.com/romm-oidc/caddy-romm-oidc/flow/session"
)

// bearerTimeout bounds how long the provider and the application are asked
// about an access token.
const bearerTimeout = 30 * time.Second

// bearersKept bounds how many access tokens are remembered, and with them the
// application's sessions.
const bearersKept = 1000

// endedAtOnce bounds how many of them one request signs out of the application.
const endedAtOnce = 8

// bearer is what the gate knows of an access token of the provider's: a
// session that lives in memory only and as long as its token. It never
// changes; a newer one takes its place.
type bearer struct {
	visit   *visit
	record  *session.Record
	until   time.Time // when the provider is asked again
	expires time.Time // the token; zero: nobody knows
}

// bearers are the access tokens that the provider vouched for, by their hash.
// The zero value is ready.
type bearers struct {
	mu    sync.Mutex
	known map[[sha256.Size]byte]*bearer
}

func (m *bearers) find(key [sha256.Size]byte) *bearer {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.known[key]
}

// put remembers b and returns what is to be ended in turn: a few whose tokens
// have expired, and if there are too many, any.
func (m *bearers) put(key [sha256.Size]byte, b *bearer, now time.Time) (ended []*bearer) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.known == nil {
		m.known = make(map[[sha256.Size]byte]*bearer)
	}
	m.known[key] = b
	for other, known := range m.known {
		if len(ended) == endedAtOnce {
			break
		}
		if other != key && (!known.expires.IsZero() && now.After(known.expires) || len(m.known) > bearersKept) {
			delete(m.known, other)
			ended = append(ended, known)
		}
	}
	return ended
}

// remove returns what was there, nil if nothing.
func (m *bearers) remove(key [sha256.Size]byte) *bearer {
	m.mu.Lock()
	defer m.mu.Unlock()
	known := m.known[key]
	delete(m.known, key)
	return known
}

// serveBearer answers a request with an access token of the provider's: it is
// stamped as one of its user's sessions is.
func (g *Gate) serveBearer(w http.ResponseWriter, r *http.Request, chain Chain, p string) error {
	b, err := g.bearerOf(r, chain)
	if err != nil {
		return g.fail(w, r, chain, kindScript, err)
	}
	identity, call := &b.record.Identity, callerFor(chain, r, g.Origin)
	chain.Identify(identity)
	if !b.visit.permitted(b.record, &g.Policy) {
		return g.fail(w, r, chain, kindScript, errNotAllowed.Because(Unfit(identity)))
	}
	if err := g.Application.Guard(r.Context(), call, r, p, *identity, b.record.Application); err != nil {
		return g.fail(w, r, chain, kindScript, err)
	}
	delete(r.Header, "Cookie")
	b.visit.stampOf(b.record, g.private).put(r, g.private, g.IdentityHeaders)
	g.Application.Unforgeable(r)
	answer := &answerWriter{ResponseWriter: w, gate: g, visit: b.visit}
	defer func(ctx context.Context) {
		g.Application.Answered(ctx, call, r, p, answer.status, b.record.Application)
	}(r.Context())
	return g.serve(chain, answer, r)
}

// bearerOf returns what r's access token opens. The provider is asked once a
// minute, and the application whether its session lives as for any other.
func (g *Gate) bearerOf(r *http.Request, chain Chain) (*bearer, error) {
	_, raw, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	key := sha256.Sum256([]byte(raw))
	known := g.State.bearers.find(key)
	if known != nil && g.now().Before(known.until) && known.visit.confirmed(g.now(), g.State.failedAt.Load()) {
		return known, nil
	}
	ctx, call, address := context.WithoutCancel(r.Context()), callerFor(chain, r, g.Origin), addressOf(chain.ClientIP())
	result, err, _ := g.State.calls.Do("bearer "+string(key[:])+address.String(), func() (any, error) {
		ctx, cancel := context.WithTimeout(ctx, bearerTimeout)
		defer cancel()
		b, err := g.vouched(ctx, call, raw, key, address)
		if err != nil {
			return nil, err
		}
		return g.alive(ctx, call, key, b)
	})
	if err != nil {
		return nil, err //nolint:wrapcheck // a Problem, or what becomes one
	}
	return result.(*bearer), nil //nolint:errcheck // the function above returns nothing else
}

// vouched asks the provider about an access token, unless it did a moment ago.
// What it no longer vouches for is signed out of the application.
func (g *Gate) vouched(ctx context.Context, call Caller, raw string, key [sha256.Size]byte, address netip.Prefix) (*bearer, error) {
	now, known := g.now(), g.State.bearers.find(key)
	if known != nil && now.Before(known.until) {
		return known, nil
	}
	attempt, wait := g.State.attempts.take(address, now)
	if attempt == nil && known == nil {
		return nil, errTooManyAttempts.after(wait)
	}
	identity, expires, err := g.RelyingParty.Bearer(ctx, raw)
	switch {
	case errors.Is(err, flow.ErrBearerInvalid) || errors.Is(err, flow.ErrUserinfoInvalid) || errors.Is(err, flow.ErrAccountGone):
		g.endBearers(ctx, call, g.State.bearers.remove(key))
		unknown := errCredentialUnknown.Because(err)
		unknown.Status = g.Application.DeniedStatus(ctx, call)
		return nil, unknown
	case err == nil && !g.Policy.Permits(identity):
		g.endBearers(ctx, call, g.State.bearers.remove(key))
		err = errNotAllowed.Because(Unfit(identity))
	}
	if attempt != nil && !errors.Is(err, flow.ErrKeyReads) {
		g.State.attempts.giveBack(attempt)
	}
	if err != nil {
		return nil, err //nolint:wrapcheck // it becomes a Problem
	}
	until := now.Add(recognizedFor)
	if !expires.IsZero() && expires.Before(until) {
		until = expires
	}
	next := &bearer{until: until, expires: expires}
	if known != nil && reflect.DeepEqual(*identity, known.record.Identity) {
		next.visit, next.record = known.visit, known.record
		g.State.bearers.put(key, next, now)
		return next, nil
	}
	return g.signInBearer(ctx, call, key, next, *identity)
}

// alive returns b with a session that lives in the application. That the
// application does not answer is for the request itself to find out.
func (g *Gate) alive(ctx context.Context, call Caller, key [sha256.Size]byte, b *bearer) (*bearer, error) {
	asked := g.now()
	if b.visit.confirmed(asked, g.State.failedAt.Load()) {
		return b, nil
	}
	alive, err := g.Application.Confirm(ctx, call, b.record.Application)
	switch {
	case err != nil:
		g.Logger.Debug("confirming the application's session", zap.Error(err))
		return b, nil
	case alive:
		b.visit.confirm(asked)
		return b, nil
	}
	return g.signInBearer(ctx, call, key, &bearer{until: b.until, expires: b.expires}, b.record.Identity)
}

// signInBearer signs identity in to the application and remembers next with
// what came of it.
func (g *Gate) signInBearer(ctx context.Context, call Caller, key [sha256.Size]byte, next *bearer, identity flow.Identity) (*bearer, error) {
	upstream, err := g.Application.SignIn(ctx, call, identity)
	if err != nil {
		g.Observe("brokered", problemOf(err).Code)
		return nil, err //nolint:wrapcheck // the application's own problem
	}
	g.Observe("brokered", "ok")
	g.Logger.Info("signed in with an access token", zap.String("user", identity.Username))
	next.visit, next.record = new(visit), &session.Record{Identity: identity, Application: upstream, Created: g.now()}
	next.visit.confirm(g.now())
	g.endBearers(ctx, call, g.State.bearers.remove(key))
	g.endBearers(ctx, call, g.State.bearers.put(key, next, g.now())...)
	return next, nil
}

// endBearers signs ended out of the application, best effort.
func (g *Gate) endBearers(ctx context.Context, call Caller, ended ...*bearer) {
	for _, b := range ended {
		if b == nil {
			continue
		}
		if err := g.Application.SignOut(ctx, call, b.record.Application); err != nil {
			g.Logger.Debug("signing out of the application", zap.Error(err))
		}
	}
}
