// The gate's memory per live session.

package handler

import (
	"net/http"
	"runtime"
	"testing"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/flow/session"
)

// A live session costs the gate less than 600 bytes. With the 400 bytes that the
// session needs beyond its record (measured in package session), this is below
// 1 KiB.
func TestMemoryPerSession(t *testing.T) {
	const n = 10_000
	s := newSite(t, func(c *Config) { c.Policy = Policy{Groups: []string{"a"}} })
	s.chain.serve = func(w http.ResponseWriter, _ *http.Request) error {
		w.WriteHeader(http.StatusOK)
		return nil
	}
	s.app.alive["5f0c1d9e-8a35-4f0e-9a64-0d8f6a1c2b3d"] = true
	tickets := make([]string, n)
	for i := range tickets {
		ticket, opened, err := s.handler.config.Gate.Sessions.Create(t.Context(), session.Record{
			Identity: alice, Upstream: session.Upstream{ID: "5f0c1d9e-8a35-4f0e-9a64-0d8f6a1c2b3d"}, Created: time.Now(),
		})
		if err != nil {
			t.Fatal(err)
		}
		runtimeOf(opened).checked(time.Now(), time.Now().Add(time.Hour)) // as a sign-in does
		tickets[i] = "__Host-romm_oidc=" + ticket
	}
	before := heap()
	for _, ticket := range tickets {
		if w := s.do(t, "/api/x", "Cookie", ticket); w.Code != http.StatusOK {
			t.Fatalf("got %d, want 200", w.Code)
		}
	}
	each := (int64(heap()) - int64(before)) / n
	t.Logf("%d bytes per session", each)
	if each > 600 {
		t.Errorf("%d bytes per session, want 600 at most", each)
	}
	runtime.KeepAlive(s)
}

// heap returns the number of bytes in live objects.
func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return stats.HeapAlloc
}
