// The chain of the last configuration, for calls that no request asks for.

package handler

import (
	"go.uber.org/zap"

	"github.com/romm-oidc/caddy-romm-oidc/handler/application"
)

// lastChain is the last configuration that answered a request, and a chain
// that outlives that request. It changes with every reload.
type lastChain struct {
	handler *Handler
	chain   application.Chain
}

func (h *Handler) keep(chain application.Chain) {
	if last := h.config.Gate.last.Load(); last == nil || last.handler != h {
		h.config.Gate.last.Store(&lastChain{h, chain.Keep()})
	}
}

func (g *Gate) logger() *zap.Logger {
	if last := g.last.Load(); last != nil {
		return last.handler.config.Logger
	}
	return zap.NewNop()
}

// caller returns the Caller for calls that no request asks for, on behalf of
// the client that was seen with the session.
func (g *Gate) caller(v *sessionRuntime) (application.Caller, bool) {
	last := g.last.Load()
	if last == nil {
		return nil, false
	}
	return application.NewCaller(last.chain, v.client.Load().request(last.handler.config.Origin), last.handler.config.Origin), true
}
