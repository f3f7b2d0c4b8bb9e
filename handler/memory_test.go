// The gate's memory per live session.

package handler

import (
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/flow"
	"github.com/romm-oidc/caddy-romm-oidc/flow/session"
)

// A session that was used costs at most 2,400 bytes and 11 objects, 900 bytes of
// which are its tokens. The garbage collector visits each object again and again.
func TestMemoryPerSession(t *testing.T) {
	const n = 10_000
	s := newSite(t, func(c *Config) { c.Policy = Policy{Groups: []string{"a"}} })
	s.chain.serve = func(w http.ResponseWriter, _ *http.Request) error {
		w.WriteHeader(http.StatusOK)
		return nil
	}
	s.app.alive["5f0c1d9e-8a35-4f0e-9a64-0d8f6a1c2b3d"] = true
	bytes, objects := heap()
	for i := range n {
		user := alice
		user.Subject, user.Username = fmt.Sprintf("%032d", i), fmt.Sprint("user", i)
		user.Email, user.Groups = user.Username+"@example.com", []string{"a", "romm-users"}
		ticket, opened, err := s.handler.config.Gate.Sessions.Create(t.Context(), session.Record{
			Identity: user, Created: time.Now(),
			Tokens: flow.Tokens{
				Access: strings.Repeat("a", 100), ID: strings.Repeat("i", 800), Expires: time.Now().Add(time.Hour), Scopes: "openid profile email groups",
			},
			Upstream: session.Upstream{ID: "5f0c1d9e-8a35-4f0e-9a64-0d8f6a1c2b3d", Account: fmt.Sprint(i, " 2026-11-27T10:00:00"), Role: "viewer"},
			Client:   session.Client{Browser: "Chrome", System: "Linux", Address: "192.0.2.1"},
		})
		if err != nil {
			t.Fatal(err)
		}
		runtimeOf(opened).checked(time.Now(), time.Now().Add(time.Hour)) // as a sign-in does
		if w := s.do(t, "/api/x", "Cookie", "romm_csrftoken=abc; __Host-romm_oidc="+ticket, "User-Agent", strings.Repeat("u", 100)); w.Code != http.StatusOK {
			t.Fatalf("got %d, want 200", w.Code)
		}
	}
	s.storage.values = nil
	after, left := heap()
	each, count := int64(after-bytes)/n, int64(left-objects)/n
	t.Logf("%d bytes and %d objects per session", each, count)
	if each > 2400 || count > 11 {
		t.Errorf("%d bytes and %d objects per session, want 2400 and 11 at most", each, count)
	}
	runtime.KeepAlive(s)
}

// heap returns the number of bytes in live objects, and that of the objects.
func heap() (bytes, objects uint64) {
	runtime.GC()
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return stats.HeapAlloc, stats.HeapObjects
}
