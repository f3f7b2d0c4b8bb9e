// Generations: which of a gate's configurations is in force.

package rommoidc

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/romm-oidc/caddy-romm-oidc/flow"
	"github.com/romm-oidc/caddy-romm-oidc/flow/keyring"
	"github.com/romm-oidc/caddy-romm-oidc/flow/session"
	"github.com/romm-oidc/caddy-romm-oidc/handler"
	"github.com/romm-oidc/caddy-romm-oidc/handler/settings"
)

// generation is what one configuration of Caddy says about a gate. All blocks
// of the gate in that configuration agree on it.
type generation struct {
	registry     *prometheus.Registry // identifies the configuration
	settings     *settings.Settings
	storage      keyring.Storage
	relyingParty *flow.RelyingParty
	handler      *handler.Handler // of the first block, for work beside the requests
	blocks       []*Middleware    // provisioned, and not yet cleaned up
}

// generations are a gate's configurations, the oldest first. Caddy provisions a
// configuration before it knows whether it can start it, and cleans up the
// former one after it has: so the oldest is in force. A configuration that Caddy
// refuses comes and goes at the end of the list and changes nothing.
type generations struct {
	mu      sync.Mutex // guards all and the blocks of each
	all     []*generation
	current atomic.Pointer[generation] // all[0]; the last one after the end, nil before the first
}

// inForce reports whether the configuration with this registry is in force.
func (g *generations) inForce(registry *prometheus.Registry) bool {
	current := g.current.Load()
	return current != nil && current.registry == registry
}

// relyingPartyOf returns the relying party of a configuration, which all its
// blocks share, nil if there is none yet.
func (g *generations) relyingPartyOf(registry *prometheus.Registry) *flow.RelyingParty {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, known := range g.all {
		if known.registry == registry {
			return known.relyingParty
		}
	}
	return nil
}

// join adds the block m to the generation of its configuration, which is gen if
// m is the first block. It refuses a block that differs from the first.
func (g *pooledGate) join(m *Middleware, gen *generation) (first bool, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	i := slices.IndexFunc(g.all, func(known *generation) bool { return known.registry == gen.registry })
	if i >= 0 {
		known := g.all[i]
		if d, differ := settings.Differ(known.settings, gen.settings); differ {
			return false, fmt.Errorf("two romm_oidc blocks with the redirect_uri %s belong to one gate and must agree: %s is %s in the block %s, but %s in the block %s",
				gen.settings.RedirectURI, d.Setting, d.First, known.blocks[0].where, d.Second, m.where)
		}
		known.blocks = append(known.blocks, m)
		return false, nil
	}
	gen.blocks = []*Middleware{m}
	g.all = append(g.all, gen)
	g.apply()
	return true, nil
}

// leave removes the block m. With its last block, a generation goes, and the
// next one is in force.
func (g *pooledGate) leave(m *Middleware) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.all = slices.DeleteFunc(g.all, func(gen *generation) bool {
		gen.blocks = slices.DeleteFunc(gen.blocks, func(block *Middleware) bool { return block == m })
		return len(gen.blocks) == 0
	})
	g.apply()
}

// apply puts the oldest generation in force. Called under the lock.
func (g *pooledGate) apply() {
	if len(g.all) == 0 || g.all[0] == g.current.Load() {
		return
	}
	gen := g.all[0]
	g.current.Store(gen)
	g.sessions.Configure(gen.storage, session.Limits{
		Idle:     time.Duration(gen.settings.Session.Idle),
		Lifetime: time.Duration(gen.settings.Session.Lifetime),
		Rotate:   time.Duration(gen.settings.Rotate),
	})
	g.signing.Configure(time.Duration(gen.settings.Rotate))
	g.client.Configure(time.Duration(gen.settings.Rotate))
	g.gate.SetHandler(gen.handler)
}
