// Prometheus metrics: what the gates of this process count, and in which registry.
// docs/operating lists every series.

package rommoidc

import (
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/romm-oidc/caddy-romm-oidc/flow/op"
	"github.com/romm-oidc/caddy-romm-oidc/handler"
	"github.com/romm-oidc/caddy-romm-oidc/handler/background"
	"github.com/romm-oidc/caddy-romm-oidc/handler/event"
	"github.com/romm-oidc/caddy-romm-oidc/handler/problem"
	"github.com/romm-oidc/caddy-romm-oidc/handler/romm"
)

const (
	namespace = "caddy"
	subsystem = "romm_oidc"
)

// The collectors belong to the process: reloads do not reset the counts. Every
// label comes from a fixed list, and no fact is counted twice.
var (
	signIns  = counter("sign_ins_total", "Sign-ins by outcome: ok, or the code of the refusal.", "outcome")
	refusals = counter("refusals_total", "Refused requests that were no sign-in, by code.", "code")
	ends     = counter("sessions_ended_total", "Sessions that this process ended, by reason.", "reason")
	unproven = counter("sessions_unproven_total", "Sessions with tokens that the provider no longer accepts: their users pass through it.")
	brokered = counter("brokered_sign_ins_total", "New sign-ins to RomM in place of a session that RomM forgot, by outcome: ok, or the code of the refusal.", "outcome")
	logouts  = counter("backchannel_logouts_total", "Logout requests of the provider, by outcome: ok, or why they were refused.", "outcome")
	rommAsks = counter("romm_requests_total", "Token requests at the provider for RomM, by outcome, and failures to load its keys.", "outcome")
	work     = counter("background_total", "Work beside the requests, by kind and outcome.", "work", "outcome")
)

// observed are the counters of what is no event.
var observed = map[event.Counter]*prometheus.CounterVec{
	event.SignIns: signIns, event.Refusals: refusals, event.BrokeredSignIns: brokered, event.UnprovenSessions: unproven, event.BackchannelLogouts: logouts,
}

func counter(name, help string, labels ...string) *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Subsystem: subsystem, Name: name, Help: help}, labels)
}

func init() {
	// What has not happened yet is 0, so that rates and alerts see the first time.
	unproven.WithLabelValues()
	for _, code := range append(problem.Codes(), romm.Codes()...) {
		signIns.WithLabelValues(code)
		refusals.WithLabelValues(code)
	}
	for _, vec := range []*prometheus.CounterVec{signIns, brokered, logouts} {
		vec.WithLabelValues(event.OK)
	}
	for _, reason := range handler.EndReasons() {
		ends.WithLabelValues(reason)
	}
	for _, outcome := range op.EventNames() {
		rommAsks.WithLabelValues(outcome)
	}
	for _, kind := range background.All() {
		for _, outcome := range background.Outcomes(kind) {
			work.WithLabelValues(string(kind), string(outcome))
		}
	}
}

// observe counts what is no event.
func observe(counter event.Counter, label string) {
	if counter == event.UnprovenSessions {
		unproven.WithLabelValues().Inc()
		return
	}
	observed[counter].WithLabelValues(label).Inc()
}

// countEvent counts an event.
func countEvent(e *event.Event) {
	switch e.Name {
	case event.SignedIn:
		if !e.AccessToken { // counted as brokered
			signIns.WithLabelValues(event.OK).Inc()
		}
	case event.Refused:
		if e.SignIn {
			signIns.WithLabelValues(e.Code).Inc()
		} else {
			refusals.WithLabelValues(e.Code).Inc()
		}
	case event.SignedOut, event.Ended:
		ends.WithLabelValues(e.Reason).Inc()
	case event.RoleChanged, event.AccountLinked, event.AccountUnlinked, event.AccountTrusted:
	}
}

func countWork(kind background.Work, outcome background.Outcome) {
	work.WithLabelValues(string(kind), string(outcome)).Inc()
}

// observeProvider counts and logs what happened at the endpoints for RomM.
// Anyone can send them any number of requests, so requests that do not come
// from RomM are logged at debug level only.
func observeProvider(logger *zap.Logger, e op.Event) {
	rommAsks.WithLabelValues(e.Name).Inc()
	level := zap.WarnLevel
	if e.Anonymous() {
		level = zap.DebugLevel
	}
	if e.Err != nil {
		logger.Log(level, "answering RomM's provider request failed", zap.String("event", e.Name), zap.Error(e.Err))
	}
}

// register registers the collectors with the registry of a configuration.
// Another handler of the same configuration may have done so already.
func register(registry *prometheus.Registry) error {
	for _, collector := range []prometheus.Collector{
		signIns, refusals, ends, unproven, brokered, logouts, rommAsks, work,
		state{},
		signInTook, recheckTook, providerTook, rommTook, confirmTook, storageTook,
	} {
		err := registry.Register(collector)
		if _, already := errors.AsType[prometheus.AlreadyRegisteredError](err); err != nil && !already {
			return fmt.Errorf("registering metrics: %w", err)
		}
	}
	return nil
}
