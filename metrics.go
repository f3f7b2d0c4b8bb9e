// Prometheus metrics: what the gates of this process report, and to which registry.

package rommoidc

import (
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/romm-oidc/caddy-romm-oidc/flow/op"
	"github.com/romm-oidc/caddy-romm-oidc/flow/session"
)

// The collectors belong to the process: counts go on across reloads.
var (
	events = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "caddy_romm_oidc_events_total",
		Help: "Sign-ins, brokered RomM sign-ins, refreshes, sign-outs, session ends and refusals, by their stable code.",
	}, []string{"event", "code"})
	inMemory = prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "caddy_romm_oidc_sessions_in_memory",
		Help: "Sessions that this process holds in memory.",
	}, func() float64 { return sum((*session.Store).Len) })
	storageAway = prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "caddy_romm_oidc_storage_away",
		Help: "Gates with a storage that gives or takes no values. Their users stay signed in; new sign-ins fail.",
	}, func() float64 {
		return sum(func(s *session.Store) int {
			if s.Away() {
				return 1
			}
			return 0
		})
	})
)

// sum adds up the values of all gates' sessions.
func sum(value func(*session.Store) int) float64 {
	total := 0
	eachGate(func(g *pooledGate) { total += value(g.sessions) })
	return float64(total)
}

// observe counts an event. Both labels come from fixed lists.
func observe(event, code string) { events.WithLabelValues(event, code).Inc() }

// observeProvider counts and logs what happened at the endpoints for RomM.
// Anyone can send them any number of requests, so requests that do not come
// from RomM are logged at debug level only.
func observeProvider(logger *zap.Logger, event op.Event) {
	observe("romm_"+event.Name, "")
	level := zap.WarnLevel
	if event.Anonymous() {
		level = zap.DebugLevel
	}
	if event.Err != nil {
		logger.Log(level, "answering RomM's provider request failed", zap.String("event", event.Name), zap.Error(event.Err))
	}
}

// register registers the collectors with the registry of a configuration.
// Another handler of the same configuration may have done so already.
func register(registry *prometheus.Registry) error {
	for _, collector := range []prometheus.Collector{events, inMemory, storageAway} {
		err := registry.Register(collector)
		if _, already := errors.AsType[prometheus.AlreadyRegisteredError](err); err != nil && !already {
			return fmt.Errorf("registering metrics: %w", err)
		}
	}
	return nil
}
