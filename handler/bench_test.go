// The cost of a signed-in request in the gate itself.

package handler

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/flow"
	"github.com/romm-oidc/caddy-romm-oidc/flow/session"
)

// discard is a response writer that stores nothing.
type discard struct{ header http.Header }

func (d discard) Header() http.Header         { return d.header }
func (d discard) WriteHeader(int)             {}
func (d discard) Write(p []byte) (int, error) { return len(p), nil }

// BenchmarkSignedIn measures a signed-in request in the gate: stripping, ticket,
// session, policy, cross-origin rule, stamp and response writer. The application
// answers with an empty response.
func BenchmarkSignedIn(b *testing.B) {
	for _, c := range []struct {
		name             string
		sessions, groups int
		token            int
	}{
		{"1 session", 1, 3, 100},
		{"100000 sessions", 100_000, 3, 100},
		{"200 groups", 1, 200, 100},
		{"16 KiB token", 1, 3, 16 << 10},
	} {
		b.Run(c.name, func(b *testing.B) {
			s := newSite(b, func(cfg *Config) { cfg.Policy = Policy{Groups: []string{"users"}} })
			s.chain.serve = func(w http.ResponseWriter, _ *http.Request) error {
				w.WriteHeader(http.StatusOK)
				return nil
			}
			s.app.alive["5f0c1d9e-8a35-4f0e-9a64-0d8f6a1c2b3d"] = true
			identity := flow.Identity{Issuer: "https://auth.example.com", Subject: "1", Username: "alice", Email: "alice@example.com"}
			for i := range c.groups {
				identity.Groups = append(identity.Groups, fmt.Sprintf("group-%d", i))
			}
			identity.Groups = append(identity.Groups, "users")
			var ticket string
			for range c.sessions {
				var err error
				ticket, _, err = s.handler.config.Gate.Sessions.Create(b.Context(), session.Record{
					Identity: identity, Upstream: session.Upstream{ID: "5f0c1d9e-8a35-4f0e-9a64-0d8f6a1c2b3d"}, Created: time.Now(),
					Tokens: flow.Tokens{ID: string(make([]byte, c.token))},
				})
				if err != nil {
					b.Fatal(err)
				}
			}
			r := httptest.NewRequest(http.MethodGet, "https://romm.example.com/api/roms?limit=72", nil)
			r.TLS.HandshakeComplete = true
			r.Header = http.Header{
				"Accept": {"application/json"}, "Accept-Encoding": {"gzip"}, "Accept-Language": {"en"}, "User-Agent": {"Mozilla/5.0"},
				"Referer": {"https://romm.example.com/"}, "Sec-Fetch-Site": {"same-origin"}, "Sec-Fetch-Mode": {"cors"},
				"Sec-Fetch-Dest": {"empty"}, "X-Csrftoken": {"x"},
			}
			cookie := "__Host-romm_oidc=" + ticket + "; romm_csrftoken=IlwiYWJjZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXoi"
			lines := make([]string, 1)
			keepAlive := []string{"keep-alive"}
			w := discard{http.Header{"Server": {"Caddy"}}}
			b.ReportAllocs()
			for b.Loop() {
				// Undo what the gate changed in the previous iteration.
				lines[0] = cookie
				r.Header["Cookie"], r.Header["Connection"] = lines, keepAlive
				delete(w.header, "Content-Security-Policy")
				if err := s.handler.ServeHTTP(w, r, s.chain); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
