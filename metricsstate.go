// Metrics of the moment: what the gates of this process hold, what waits, and what
// is away.

package rommoidc

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/romm-oidc/caddy-romm-oidc/handler/background"
)

// state collects the gauges when they are asked for.
type state struct{}

// The gauges. Those of keys and metadata are absent while a gate has not needed
// them yet; with several gates, they are those of the oldest.
var (
	inMemory     = gauge("sessions_in_memory", "Sessions that this process has in memory.")
	openRequests = gauge("open_requests", "Requests of sessions in progress: sockets, and transfers (all others).", "kind")
	storageAway  = gauge("storage_away", "Gates with a storage that cannot be read or written. Their users stay signed in; new sign-ins fail.")
	providerAway = gauge("provider_away", "Gates with a provider that did not answer the last request. Their users stay signed in; new sign-ins fail.")
	keysUnusable = gauge("keys_unusable", "Gates with keys in storage that cannot be used. New sign-ins fail, or soon will.")
	waiting      = gauge("background_waiting", "Work beside the requests that waits, by kind.", "work")
	keyringMade  = gauge("keyring_created_timestamp_seconds", "When the newest secret that seals stored data was made.")
	signingMade  = gauge("signing_key_created_timestamp_seconds", "When the newest key that signs ID tokens for RomM was made.")
	metadataRead = gauge("provider_metadata_read_timestamp_seconds", "When the provider's metadata in use were read.")
)

func gauge(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(prometheus.BuildFQName(namespace, subsystem, name), help, labels, nil)
}

// Describe implements prometheus.Collector.
func (state) Describe(descriptions chan<- *prometheus.Desc) {
	for _, desc := range []*prometheus.Desc{
		inMemory, openRequests, storageAway, providerAway, keysUnusable, waiting, keyringMade, signingMade, metadataRead,
	} {
		descriptions <- desc
	}
}

// Collect implements prometheus.Collector.
func (state) Collect(metrics chan<- prometheus.Metric) {
	var sessions, sockets, requests, storage, provider, keys int
	var keyring, signing, metadata time.Time
	waits := map[background.Work]int{}
	eachGate(func(g *pooledGate) {
		sessions += g.sessions.Len()
		sockets += g.gate.Sockets()
		requests += g.sessions.InProgress()
		storage += one(g.sessions.Away())
		keys += one(g.sessions.KeyringUnusable() || g.signing.Unusable() || g.client.Unusable())
		keyring, signing = oldest(keyring, g.sessions.KeyringCreated()), oldest(signing, g.signing.Created())
		for kind, n := range g.gate.Waiting() {
			waits[kind] += n
		}
		if current := g.current.Load(); current != nil {
			provider += one(current.relyingParty.Away())
			read, _ := current.relyingParty.Loaded()
			metadata = oldest(metadata, read)
		}
	})
	send := func(desc *prometheus.Desc, value float64, labels ...string) {
		metrics <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, value, labels...)
	}
	send(inMemory, float64(sessions))
	send(openRequests, float64(sockets), "socket")
	send(openRequests, float64(max(0, requests-sockets)), "transfer")
	send(storageAway, float64(storage))
	send(providerAway, float64(provider))
	send(keysUnusable, float64(keys))
	for kind, n := range waits {
		send(waiting, float64(n), string(kind))
	}
	for desc, at := range map[*prometheus.Desc]time.Time{keyringMade: keyring, signingMade: signing, metadataRead: metadata} {
		if !at.IsZero() {
			send(desc, float64(at.UnixMilli())/1000)
		}
	}
}

func one(is bool) int {
	if is {
		return 1
	}
	return 0
}

// oldest returns the earlier of two times that are known.
func oldest(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
