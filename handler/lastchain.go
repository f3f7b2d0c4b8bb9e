// The chain of the last configuration, for background calls.

package handler

import (
	"go.uber.org/zap"

	"github.com/romm-oidc/caddy-romm-oidc/handler/application"
)

// lastChain is the configuration in force, or the last handler of it that
// answered a request, and a chain that outlives that request.
type lastChain struct {
	handler *Handler
	chain   application.Chain
}

// keep keeps chain for background calls, unless h has done so since it is in force.
func (h *Handler) keep(chain application.Chain) {
	last := h.config.Gate.last.Load()
	if (last == nil || last.handler != h) && h.config.InForce() {
		h.config.Gate.last.Store(&lastChain{h, chain.Keep()})
	}
}

// SetHandler makes h answer for background work, from now on and
// until another handler of a configuration in force answers a request. The
// chain stays that of the last request.
func (g *Gate) SetHandler(h *Handler) {
	g.configured.Store(h)
	if last := g.last.Load(); last != nil {
		g.last.Store(&lastChain{h, last.chain})
	}
}

func (g *Gate) logger() *zap.Logger {
	if h := g.inForce(); h != nil {
		return h.config.Logger
	}
	return zap.NewNop()
}

// inForce returns a handler of the configuration in force, nil before there is one.
func (g *Gate) inForce() *Handler {
	if last := g.last.Load(); last != nil {
		return last.handler
	}
	return g.configured.Load()
}

// caller returns the Caller for background calls, on behalf of the client that
// was seen with the session.
func (g *Gate) caller(v *sessionRuntime) (application.Caller, bool) {
	last := g.last.Load()
	if last == nil {
		return nil, false
	}
	return application.NewCaller(last.chain, v.client.Load().request(last.handler.config.Origin), last.handler.config.Origin), true
}
