// Metrics of durations: how long the provider, RomM and the storage take.

package rommoidc

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/romm-oidc/caddy-romm-oidc/flow"
	"github.com/romm-oidc/caddy-romm-oidc/flow/session"
	"github.com/romm-oidc/caddy-romm-oidc/flow/span"
	"github.com/romm-oidc/caddy-romm-oidc/handler"
	"github.com/romm-oidc/caddy-romm-oidc/handler/romm"
)

var (
	signInTook   = histogram("sign_in_duration_seconds", "From the provider's response in the browser to the session.", slow)
	recheckTook  = histogram("recheck_duration_seconds", "One re-check of a session at the provider.", slow)
	providerTook = histogram("provider_request_duration_seconds", "Requests to the provider, by endpoint.", slow, "endpoint")
	rommTook     = histogram("romm_sign_in_duration_seconds", "A user's sign-in to RomM, with all its requests.", slow)
	confirmTook  = histogram("romm_confirmation_duration_seconds", "The question to RomM whether its session still belongs to the account.", fast)
	storageTook  = histogram("storage_call_duration_seconds", "Calls to the storage, by call. A lock includes the wait for it.", fast, "call")
)

// The buckets, in seconds.
var (
	slow = []float64{.025, .1, .25, .5, 1, 2.5, 5, 10, 30}
	fast = []float64{.001, .005, .025, .1, .5, 1, 5, 15}
)

func histogram(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
	return prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Namespace: namespace, Subsystem: subsystem, Name: name, Help: help, Buckets: buckets,
	}, labels)
}

// durations are the histograms of the spans. Spans that are not in it are parts
// of others.
var durations = map[span.Name]prometheus.Observer{
	handler.SpanSignIn:  signInTook.WithLabelValues(),
	handler.SpanRecheck: recheckTook.WithLabelValues(),
	romm.SpanSignIn:     rommTook.WithLabelValues(),
	romm.SpanConfirm:    confirmTook.WithLabelValues(),

	flow.SpanMetadata:      providerTook.WithLabelValues("metadata"),
	flow.SpanKeys:          providerTook.WithLabelValues("keys"),
	flow.SpanToken:         providerTook.WithLabelValues("token"),
	flow.SpanUserinfo:      providerTook.WithLabelValues("userinfo"),
	flow.SpanIntrospection: providerTook.WithLabelValues("introspection"),
	flow.SpanRevocation:    providerTook.WithLabelValues("revocation"),

	session.SpanLoad:   storageTook.WithLabelValues("load"),
	session.SpanStore:  storageTook.WithLabelValues("store"),
	session.SpanDelete: storageTook.WithLabelValues("delete"),
	session.SpanList:   storageTook.WithLabelValues("list"),
	session.SpanLock:   storageTook.WithLabelValues("lock"),
}

func init() {
	span.Observe = func(name span.Name, took time.Duration) {
		if observer, ok := durations[name]; ok {
			observer.Observe(took.Seconds())
		}
	}
}
