// Prometheus metrics: what the gates of this process report, and to which registry.

package rommoidc

import (
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/romm-oidc/caddy-romm-oidc/flow/op"
	"github.com/romm-oidc/caddy-romm-oidc/flow/session"
	"github.com/romm-oidc/caddy-romm-oidc/handler/background"
)

// The collectors belong to the process: reloads do not reset the counts.
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
		Help: "Gates with a storage that cannot be read or written. Their users stay signed in; new sign-ins fail.",
	}, func() float64 {
		return sum(func(s *session.Store) int {
			if s.Away() {
				return 1
			}
			return 0
		})
	})
)

// backgroundWork counts the outcomes of work that no request waits for.
var backgroundWork = prometheus.NewCounterVec(prometheus.CounterOpts{
	Name: "caddy_romm_oidc_background_total",
	Help: "Work beside the requests by outcome (ok or failed): re-checks, refreshes, sign-outs, revocations, ends, sweeps.",
}, []string{"work", "outcome"})

func countWork(work background.Work, outcome string) {
	backgroundWork.WithLabelValues(string(work), outcome).Inc()
}

// backgroundWaiting collects how much of that work waits.
type backgroundWaiting struct{}

var waiting = prometheus.NewDesc("caddy_romm_oidc_background_waiting",
	"Work beside the requests that waits: re-checks, sign-outs of ended sessions, ends that storage has yet to take.", []string{"work"}, nil)

// Describe implements prometheus.Collector.
func (backgroundWaiting) Describe(descriptions chan<- *prometheus.Desc) { descriptions <- waiting }

// Collect implements prometheus.Collector.
func (backgroundWaiting) Collect(metrics chan<- prometheus.Metric) {
	total := map[background.Work]int{}
	eachGate(func(g *pooledGate) {
		for work, n := range g.gate.Waiting() {
			total[work] += n
		}
	})
	for work, n := range total {
		metrics <- prometheus.MustNewConstMetric(waiting, prometheus.GaugeValue, float64(n), string(work))
	}
}

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
	for _, collector := range []prometheus.Collector{events, inMemory, storageAway, backgroundWork, backgroundWaiting{}} {
		err := registry.Register(collector)
		if _, already := errors.AsType[prometheus.AlreadyRegisteredError](err); err != nil && !already {
			return fmt.Errorf("registering metrics: %w", err)
		}
	}
	return nil
}
