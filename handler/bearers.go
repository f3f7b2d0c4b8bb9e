// The access tokens of the provider that the gate knows, and their ends.

package handler

import (
	"context"
	"crypto/sha256"
	"errors"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/romm-oidc/caddy-romm-oidc/flow"
	"github.com/romm-oidc/caddy-romm-oidc/flow/session"
	"github.com/romm-oidc/caddy-romm-oidc/handler/application"
)

// bearersKept bounds how many access tokens are remembered, and with them the
// application's sessions.
const bearersKept = 1000

// endedAtOnce bounds how many of those one request signs out of the application.
const endedAtOnce = 8

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

// removeAll removes and returns the bearers that match selects.
func (m *bearers) removeAll(match func(*flow.Identity) bool) (ended []*bearer) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for key, known := range m.known {
		if match(&known.record.Identity) {
			delete(m.known, key)
			ended = append(ended, known)
		}
	}
	return ended
}

// endBearers signs ended out of the application, best effort.
func (h *Handler) endBearers(ctx context.Context, call application.Caller, ended ...*bearer) {
	for _, b := range ended {
		if b == nil {
			continue
		}
		if err := h.config.Application.SignOut(ctx, call, b.record.Upstream.ID); err != nil {
			h.config.Logger.Debug("application's session not signed out, it will expire by itself", zap.Error(err))
		}
	}
}

// EndTokens ends the access tokens of the users with these keys (see
// session.UserKey), and those of the users that match selects, on all nodes. It
// returns how many of them this node knew. The application's own credentials are
// asked about again. An error means that storage did not take an end; the store
// retries.
func (g *Gate) EndTokens(ctx context.Context, userKeys []string, match func(*flow.Identity) bool, reason string) (int, error) {
	keys := make(map[string]struct{})
	for _, key := range userKeys {
		keys[key] = struct{}{}
	}
	ended := g.bearers.removeAll(func(identity *flow.Identity) bool {
		key := session.UserKey(identity.Issuer, identity.Subject)
		_, named := keys[key]
		if !named && match(identity) {
			keys[key], named = struct{}{}, true
		}
		return named
	})
	g.signOutBearers(ended)
	g.doubtCredentials()
	errs := make([]error, 0, len(keys))
	for key := range keys {
		errs = append(errs, g.Sessions.EndTokens(ctx, key, reason))
	}
	return len(ended), errors.Join(errs...)
}

// EndAllTokens is EndTokens for the access tokens of all users.
func (g *Gate) EndAllTokens(ctx context.Context, reason string) (int, error) {
	ended := g.bearers.removeAll(func(*flow.Identity) bool { return true })
	g.signOutBearers(ended)
	return len(ended), g.Sessions.EndTokens(ctx, "", reason)
}

// signOutBearers signs ended out of the application in the background, best effort.
func (g *Gate) signOutBearers(ended []*bearer) {
	g.doubt() // a request that found one of them a moment ago asks again
	for _, b := range ended {
		g.signOutReplaced(b.runtime, b.record.Upstream.ID, false)
	}
}
