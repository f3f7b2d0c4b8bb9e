// Requests with an access token of the provider.

package handler

import (
	"context"
	"crypto/sha256"
	"errors"
	"net/netip"
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

// bearerTimeout bounds how long the gate asks the provider and the application
// about an access token.
const bearerTimeout = 30 * time.Second

// bearersKept bounds how many access tokens are remembered, and with them the
// application's sessions.
const bearersKept = 1000

// endedAtOnce bounds how many of those one request signs out of the application.
const endedAtOnce = 8

// bearer is what the gate knows about an access token of the provider: a
// session that lives in memory only, and as long as its token. It never
// changes; a newer one replaces it.
type bearer struct {
	runtime *sessionRuntime
	record  *session.Record
	until   time.Time // when the provider is asked again
	expires time.Time // the token; zero: the provider did not say
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

// put remembers b and returns bearers to be ended in turn: a few whose tokens
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

// remove returns the removed bearer, nil if there was none.
func (m *bearers) remove(key [sha256.Size]byte) *bearer {
	m.mu.Lock()
	defer m.mu.Unlock()
	known := m.known[key]
	delete(m.known, key)
	return known
}

// bearerRequest is an access token as a client brought it.
type bearerRequest struct {
	raw     string
	key     [sha256.Size]byte // the token's hash
	address netip.Prefix      // of the client
	call    application.Caller
}

// serveBearer answers a request with an access token of the provider's: it is
// stamped like a request of one of its user's sessions, if access says that it is
// open to the token.
func (h *Handler) serveBearer(in *incoming, access application.Access) error {
	b, err := h.bearerOf(in)
	if err != nil {
		return h.refuseAs(in, request.Script, err)
	}
	identity, upstream := &b.record.Identity, b.record.Upstream.Session
	in.chain.Identify(identity)
	if !b.runtime.permitted(b.record, &h.config.Policy) {
		return h.refuseAs(in, request.Script, problem.NotAllowed.Because(problem.NoEntryFits(identity)))
	}
	if access == application.BearerClosed {
		return h.refuseAs(in, request.Script, problem.CredentialNotAllowed)
	}
	request.MergeSlashes(in.r)
	forwarded := in.forwarded(upstream)
	if err := h.config.Application.Guard(in.r.Context(), forwarded, *identity); err != nil {
		return h.refuseAs(in, request.Script, err)
	}
	delete(in.r.Header, "Cookie")
	b.runtime.stampOf(b.record, h.appCookies.Session).put(in.r, h.appCookies, h.config.IdentityHeaders)
	h.config.Application.Unforgeable(in.r)
	answer := &answerWriter{ResponseWriter: in.w, handler: h, runtime: b.runtime}
	h.watch(answer, in.r, in.path)
	defer func() { h.answered(in.r.Context(), forwarded, answer) }()
	return h.serve(in.chain, answer, in.r)
}

// bearerOf returns what the request's access token opens. The provider is asked
// once a minute, and the application confirms its session as any other.
func (h *Handler) bearerOf(in *incoming) (*bearer, error) {
	_, raw, _ := strings.Cut(in.r.Header.Get("Authorization"), " ")
	token := bearerRequest{raw: raw, key: sha256.Sum256([]byte(raw))}
	known := h.config.Gate.bearers.find(token.key)
	if known != nil && h.now().Before(known.until) && known.runtime.confirmed(h.now(), h.config.Gate.failedAt.Load()) {
		return known, nil
	}
	token.call, token.address = in.caller(), limit.AddressOf(in.chain.ClientIP())
	ctx := context.WithoutCancel(in.r.Context())
	result, err, _ := h.config.Gate.calls.Do("bearer "+string(token.key[:])+token.address.String(), func() (any, error) {
		ctx, cancel := context.WithTimeout(ctx, bearerTimeout)
		defer cancel()
		b, err := h.vouched(ctx, token)
		if err != nil {
			return nil, err
		}
		return h.alive(ctx, token, b)
	})
	if err != nil {
		return nil, err
	}
	b, _ := result.(*bearer)
	return b, nil
}

// vouched asks the provider about an access token, unless it answered a moment
// ago. A token that the provider rejects is signed out of the application.
func (h *Handler) vouched(ctx context.Context, token bearerRequest) (*bearer, error) {
	now, known := h.now(), h.config.Gate.bearers.find(token.key)
	if known != nil && now.Before(known.until) {
		return known, nil
	}
	attempt, wait := h.config.Gate.attempts.Take(token.address, token.raw, now)
	if attempt == nil && known == nil {
		return nil, problem.TooManyAttempts.After(wait)
	}
	identity, expires, err := h.config.RelyingParty.Bearer(ctx, token.raw)
	switch {
	case errors.Is(err, flow.ErrBearerInvalid) || errors.Is(err, flow.ErrUserinfoInvalid) || errors.Is(err, flow.ErrAccountGone):
		h.endBearers(ctx, token.call, h.config.Gate.bearers.remove(token.key))
		return nil, h.unknownCredential(ctx, token.call).Because(err)
	case err == nil && !h.config.Policy.Permits(identity):
		h.endBearers(ctx, token.call, h.config.Gate.bearers.remove(token.key))
		err = problem.NotAllowed.Because(problem.NoEntryFits(identity))
	}
	if attempt != nil && !errors.Is(err, flow.ErrKeyReads) {
		h.config.Gate.attempts.GiveBack(attempt)
	}
	if err != nil {
		return nil, err
	}
	until := now.Add(recognizedFor)
	if !expires.IsZero() && expires.Before(until) {
		until = expires
	}
	next := &bearer{until: until, expires: expires}
	if known != nil && sameIdentity(identity, &known.record.Identity) {
		next.runtime, next.record = known.runtime, known.record
		h.config.Gate.bearers.put(token.key, next, now)
		return next, nil
	}
	return h.signInBearer(ctx, token, next, identity)
}

// alive returns b with a session that is alive in the application. If the
// application does not answer, the request goes on and finds that out.
func (h *Handler) alive(ctx context.Context, token bearerRequest, b *bearer) (*bearer, error) {
	asked := h.now()
	if b.runtime.confirmed(asked, h.config.Gate.failedAt.Load()) {
		return b, nil
	}
	alive, err := h.config.Application.Confirm(ctx, token.call, application.Session(b.record.Upstream))
	switch {
	case err != nil:
		h.config.Logger.Debug("application's session could not be confirmed", zap.Error(err))
		return b, nil
	case alive:
		b.runtime.confirm(asked)
		return b, nil
	}
	return h.signInBearer(ctx, token, &bearer{until: b.until, expires: b.expires}, &b.record.Identity)
}

// signInBearer signs identity in to the application and remembers next with
// the application's session.
func (h *Handler) signInBearer(ctx context.Context, token bearerRequest, next *bearer, identity *flow.Identity) (*bearer, error) {
	upstream, err := h.config.Application.SignIn(ctx, token.call, *identity)
	if err != nil {
		h.config.Observe("brokered", problem.Of(err).Code)
		return nil, err
	}
	h.config.Observe("brokered", "ok")
	h.config.Logger.Info("signed in with an access token", zap.String("user", identity.Username))
	next.runtime, next.record = new(sessionRuntime), &session.Record{Identity: *identity, Upstream: session.Upstream(upstream), Created: h.now()}
	next.runtime.confirm(h.now())
	h.endBearers(ctx, token.call, h.config.Gate.bearers.remove(token.key))
	h.endBearers(ctx, token.call, h.config.Gate.bearers.put(token.key, next, h.now())...)
	return next, nil
}

// endBearers signs ended out of the application, best effort.
func (h *Handler) endBearers(ctx context.Context, call application.Caller, ended ...*bearer) {
	for _, b := range ended {
		if b == nil {
			continue
		}
		if err := h.config.Application.SignOut(ctx, call, b.record.Upstream.Session); err != nil {
			h.config.Logger.Debug("application's session not signed out, it will expire by itself", zap.Error(err))
		}
	}
}
