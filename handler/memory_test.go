package handler

import (
	"net/http"
	"runtime"
	"testing"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/flow/session"
)

// A live session costs the gate little beside what the session itself costs
// (less than 400 bytes beyond its record, measured in package session): 1 KiB together.
func TestMemoryPerSession(t *testing.T) {
	const n = 10_000
	f := newFixture(t, func(c *Config) { c.Policy = Policy{Groups: []string{"a"}} })
	f.chain.serve = func(w http.ResponseWriter, _ *http.Request) error {
		w.WriteHeader(http.StatusOK)
		return nil
	}
	tickets := make([]string, n)
	for i := range tickets {
		ticket, _, err := f.handler.config.Gate.Sessions.Create(t.Context(), session.Record{
			Identity: alice, UpstreamSession: "5f0c1d9e-8a35-4f0e-9a64-0d8f6a1c2b3d", Created: time.Now(),
		})
		if err != nil {
			t.Fatal(err)
		}
		tickets[i] = "__Host-romm_oidc=" + ticket
	}
	before := heap()
	for _, ticket := range tickets {
		if w := f.do(t, "/api/x", "Cookie", ticket); w.Code != http.StatusOK {
			t.Fatal(w.Code)
		}
	}
	each := (int64(heap()) - int64(before)) / n
	t.Logf("%d bytes a session", each)
	if each > 600 {
		t.Errorf("%d bytes a session", each)
	}
	runtime.KeepAlive(f)
}

// heap returns the bytes of live objects.
func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return stats.HeapAlloc
}
