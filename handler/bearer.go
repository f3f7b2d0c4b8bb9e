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
	"github.com/romm-oidc/caddy-romm-oidc/handler/application"
	"github.com/romm-oidc/caddy-romm-oidc/handler/limit"
	"github.com/romm-oidc/caddy-romm-oidc/handler/problem"
	"github.com/romm-oidc/caddy-romm-oidc/handler/request"
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
	runtime *sessionRuntime
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
func (h *Handler) serveBearer(w http.ResponseWriter, r *http.Request, chain application.Chain, p string) error {
	b, err := h.bearerOf(r, chain)
	if err != nil {
		return h.refuse(w, r, chain, request.Script, err)
	}
	identity, call := &b.record.Identity, application.NewCaller(chain, r, h.config.Origin)
	chain.Identify(identity)
	if !b.runtime.permitted(b.record, &h.config.Policy) {
		return h.refuse(w, r, chain, request.Script, problem.NotAllowed.Because(problem.NoEntryFits(identity)))
	}
	forwarded := application.Forwarded{Request: r, Path: p, Caller: call, Session: b.record.UpstreamSession}
	if err := h.config.Application.Guard(r.Context(), forwarded, *identity); err != nil {
		return h.refuse(w, r, chain, request.Script, err)
	}
	delete(r.Header, "Cookie")
	b.runtime.stampOf(b.record, h.private).put(r, h.private, h.config.IdentityHeaders)
	h.config.Application.Unforgeable(r)
	answer := &answerWriter{ResponseWriter: w, handler: h, runtime: b.runtime}
	defer func(ctx context.Context) { h.config.Application.AfterResponse(ctx, forwarded, answer.status) }(r.Context())
	return h.serve(chain, answer, r)
}

// bearerOf returns what r's access token opens. The provider is asked once a
// minute, and the application whether its session lives as for any other.
func (h *Handler) bearerOf(r *http.Request, chain application.Chain) (*bearer, error) {
	_, raw, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	key := sha256.Sum256([]byte(raw))
	known := h.config.Gate.bearers.find(key)
	if known != nil && h.now().Before(known.until) && known.runtime.confirmed(h.now(), h.config.Gate.failedAt.Load()) {
		return known, nil
	}
	ctx, call, address := context.WithoutCancel(r.Context()), application.NewCaller(chain, r, h.config.Origin), limit.AddressOf(chain.ClientIP())
	result, err, _ := h.config.Gate.calls.Do("bearer "+string(key[:])+address.String(), func() (any, error) {
		ctx, cancel := context.WithTimeout(ctx, bearerTimeout)
		defer cancel()
		b, err := h.vouched(ctx, call, raw, key, address)
		if err != nil {
			return nil, err
		}
		return h.alive(ctx, call, key, b)
	})
	if err != nil {
		return nil, err //nolint:wrapcheck // a Problem, or what becomes one
	}
	return result.(*bearer), nil //nolint:errcheck // the function above returns nothing else
}

// vouched asks the provider about an access token, unless it did a moment ago.
// What it no longer vouches for is signed out of the application.
func (h *Handler) vouched(ctx context.Context, call application.Caller, raw string, key [sha256.Size]byte, address netip.Prefix) (*bearer, error) {
	now, known := h.now(), h.config.Gate.bearers.find(key)
	if known != nil && now.Before(known.until) {
		return known, nil
	}
	attempt, wait := h.config.Gate.attempts.Take(address, now)
	if attempt == nil && known == nil {
		return nil, problem.TooManyAttempts.After(wait)
	}
	identity, expires, err := h.config.RelyingParty.Bearer(ctx, raw)
	switch {
	case errors.Is(err, flow.ErrBearerInvalid) || errors.Is(err, flow.ErrUserinfoInvalid) || errors.Is(err, flow.ErrAccountGone):
		h.endBearers(ctx, call, h.config.Gate.bearers.remove(key))
		unknown := problem.CredentialUnknown.Because(err)
		unknown.Status = h.config.Application.DeniedStatus(ctx, call)
		return nil, unknown
	case err == nil && !h.config.Policy.Permits(identity):
		h.endBearers(ctx, call, h.config.Gate.bearers.remove(key))
		err = problem.NotAllowed.Because(problem.NoEntryFits(identity))
	}
	if attempt != nil && !errors.Is(err, flow.ErrKeyReads) {
		h.config.Gate.attempts.GiveBack(attempt)
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
		next.runtime, next.record = known.runtime, known.record
		h.config.Gate.bearers.put(key, next, now)
		return next, nil
	}
	return h.signInBearer(ctx, call, key, next, *identity)
}

// alive returns b with a session that lives in the application. That the
// application does not answer is for the request itself to find out.
func (h *Handler) alive(ctx context.Context, call application.Caller, key [sha256.Size]byte, b *bearer) (*bearer, error) {
	asked := h.now()
	if b.runtime.confirmed(asked, h.config.Gate.failedAt.Load()) {
		return b, nil
	}
	alive, err := h.config.Application.Confirm(ctx, call, b.record.UpstreamSession)
	switch {
	case err != nil:
		h.config.Logger.Debug("confirming the application's session", zap.Error(err))
		return b, nil
	case alive:
		b.runtime.confirm(asked)
		return b, nil
	}
	return h.signInBearer(ctx, call, key, &bearer{until: b.until, expires: b.expires}, b.record.Identity)
}

// signInBearer signs identity in to the application and remembers next with
// what came of it.
func (h *Handler) signInBearer(ctx context.Context, call application.Caller, key [sha256.Size]byte, next *bearer, identity flow.Identity) (*bearer, error) {
	upstream, err := h.config.Application.SignIn(ctx, call, identity)
	if err != nil {
		h.config.Observe("brokered", problem.Of(err).Code)
		return nil, err //nolint:wrapcheck // the application's own problem
	}
	h.config.Observe("brokered", "ok")
	h.config.Logger.Info("signed in with an access token", zap.String("user", identity.Username))
	next.runtime, next.record = new(sessionRuntime), &session.Record{Identity: identity, UpstreamSession: upstream, Created: h.now()}
	next.runtime.confirm(h.now())
	h.endBearers(ctx, call, h.config.Gate.bearers.remove(key))
	h.endBearers(ctx, call, h.config.Gate.bearers.put(key, next, h.now())...)
	return next, nil
}

// endBearers signs ended out of the application, best effort.
func (h *Handler) endBearers(ctx context.Context, call application.Caller, ended ...*bearer) {
	for _, b := range ended {
		if b == nil {
			continue
		}
		if err := h.config.Application.SignOut(ctx, call, b.record.UpstreamSession); err != nil {
			h.config.Logger.Debug("signing out of the application", zap.Error(err))
		}
	}
}
