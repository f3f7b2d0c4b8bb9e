// The budget of token requests: what it tells the operator and the other nodes.

package handler

import (
	"context"
	"crypto/rand"
	"time"

	"go.uber.org/zap"

	"github.com/romm-oidc/caddy-romm-oidc/handler/limit"
)

// ShareFailures makes the gate tell its other nodes how many token requests of
// this one failed, since the provider may count all of them together, until ctx
// ends. It is called once, before use.
func (g *Gate) ShareFailures(ctx context.Context, share limit.Share) { g.tokenBudget.Join(ctx, share) }

// reportHeldBack logs that the gate stops token requests of a kind, and
// that it makes them again.
func (g *Gate) reportHeldBack(kind limit.TokenRequest, reason error, until time.Time) {
	logger := g.logger()
	switch {
	case reason == nil && kind == limit.SignIn:
		logger.Info("sign-ins are no longer held back")
	case reason == nil:
		logger.Info("token refreshes are no longer held back")
	case kind == limit.SignIn:
		logger.Warn("sign-ins held back: users cannot sign in for now, or the provider would refuse every request of the gate", zap.Time("until", until), zap.NamedError("cause", reason))
	default:
		logger.Warn("token refreshes held back: sessions continue unchecked after their tokens expire, will retry", zap.Time("until", until), zap.NamedError("cause", reason))
	}
}

// TokenRequest counts a token request at the gate's own token endpoint that the
// application did not make, and returns how long its client has to wait, 0 if it
// need not.
func (g *Gate) TokenRequest(clientIP string) time.Duration {
	attempt, wait := g.tokenRequests.Take(limit.AddressOf(clientIP), rand.Text(), time.Now())
	if attempt != nil {
		return 0
	}
	return wait
}
