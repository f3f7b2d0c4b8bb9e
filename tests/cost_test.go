// What the gate itself costs a request, beside a handler that does nothing.

package tests

import (
	"flag"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	rommoidc "github.com/romm-oidc/caddy-romm-oidc"
)

var cost = flag.Bool("cost", false, "measure what a request costs in the gate, and print a table (TestCost)")

// costRow is one kind of request.
type costRow struct {
	name   string
	header http.Header
	cookie string
	status int
	allocs int // at most, beyond those of a handler that does nothing
}

// costRows returns the requests that are measured.
func costRows(ticket, token string) []costRow {
	few := http.Header{"Accept": {"*/*"}, "User-Agent": {"wrk"}}
	many := http.Header{
		"Accept": {"application/json, text/plain, */*"}, "Accept-Encoding": {"gzip, deflate, br, zstd"}, "Accept-Language": {"en-US,en;q=0.9"},
		"Connection": {"keep-alive"}, "Dnt": {"1"}, "Priority": {"u=1, i"}, "Referer": {"https://romm.example.com:9443/platform/4"},
		"Sec-Ch-Ua": {`"Chromium";v="156", "Not_A Brand";v="24"`}, "Sec-Fetch-Dest": {"empty"}, "Sec-Fetch-Mode": {"cors"}, "Sec-Fetch-Site": {"same-origin"},
		"User-Agent": {"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36"}, "X-Csrftoken": {"x"},
	}
	withToken := maps.Clone(few)
	withToken["Authorization"] = []string{"Bearer " + token}
	csrf := "; romm_csrftoken=IlwiYWJjZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXoi.aBcDeFgHiJkLmNoPqRsTuVwXyZ0"
	var others strings.Builder
	for i := range 30 {
		fmt.Fprintf(&others, "; other_app_%02d=0123456789abcdef0123456789abcdef", i)
	}
	forged := "; " + ticketName + "=" + strings.Repeat("A", len(ticket))
	return []costRow{
		{"signed in, 3 header fields", few, "; " + ticketName + "=" + ticket, http.StatusOK, 2},
		{"signed in, a browser's 14", many, "; " + ticketName + "=" + ticket + csrf, http.StatusOK, 2},
		{"the same with 30 other cookies", many, others.String() + "; " + ticketName + "=" + ticket + csrf, http.StatusOK, 2},
		{"a known token of RomM", withToken, "", http.StatusOK, 3},
		{"anonymous script: 401", few, "", http.StatusUnauthorized, 12},
		{"forged ticket: 401", few, forged, http.StatusUnauthorized, 14},
	}
}

// costBench runs requests through one handler, as Caddy hands them over.
type costBench struct {
	r       *http.Request
	header  http.Header // of r, before anything changed it
	vars    map[string]any
	known   map[string]any
	repl    *caddy.Replacer
	fresh   caddy.Replacer
	answer  *discard
	handler caddyhttp.MiddlewareHandler // nil: none
	next    caddyhttp.Handler
}

func (s *stack) newCostBench(row costRow, server *caddyhttp.Server, handler caddyhttp.MiddlewareHandler) *costBench {
	r := httptest.NewRequest(http.MethodGet, public+"/api/roms?limit=72", nil)
	r.RequestURI = "/api/roms?limit=72"
	r.TLS.HandshakeComplete = true
	header := maps.Clone(row.header)
	if row.cookie != "" {
		header["Cookie"] = []string{strings.TrimPrefix(row.cookie, "; ")}
	}
	r.Header = http.Header{}
	b := &costBench{header: header, repl: caddy.NewReplacer(), answer: &discard{header: http.Header{}}, handler: handler, next: caddyhttp.HandlerFunc(s.answers)}
	b.r = caddyhttp.PrepareRequest(r, b.repl, b.answer, server)
	b.fresh = *b.repl
	b.vars, _ = b.r.Context().Value(caddyhttp.VarsCtxKey).(map[string]any)
	b.known = maps.Clone(b.vars)
	return b
}

// discard is a response writer that stores nothing but its header and status.
type discard struct {
	header http.Header
	status int
}

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) WriteHeader(status int)      { d.status = status }
func (d *discard) Write(p []byte) (int, error) { return len(p), nil }

var (
	costServer  = []string{"Caddy"}
	costType    = []string{"application/json"}
	costLength  = []string{"2"}
	costVary    = []string{"Accept-Encoding"}
	costSession = "romm_session=5f0c1d9e-8a35-4f0e-9a64-0d8f6a1c2b3d; path=/; Max-Age=1209600; httponly; samesite=lax"
	costCookies = make([]string, 1)
	costBody    = []byte("{}")
)

// answers is the end of the chain. It answers the measured request as RomM does
// to a session that is alive, and leaves the gate's own requests to RomM.
func (s *stack) answers(w http.ResponseWriter, r *http.Request) error {
	if r.URL.Path != "/api/roms" {
		s.romm.ServeHTTP(w, r)
		return nil
	}
	header := w.Header()
	costCookies[0] = costSession
	header["Content-Type"], header["Content-Length"], header["Vary"], header["Set-Cookie"] = costType, costLength, costVary, costCookies
	w.WriteHeader(http.StatusOK)
	_, err := w.Write(costBody)
	return err
}

// once passes the request once.
func (b *costBench) once() {
	clear(b.r.Header)
	maps.Copy(b.r.Header, b.header)
	if line, ok := b.header["Cookie"]; ok { // the gate changes the line itself
		costLines[0] = line[0]
		b.r.Header["Cookie"] = costLines
	}
	clear(b.answer.header)
	b.answer.header["Server"] = costServer
	if len(b.vars) != len(b.known) {
		clear(b.vars)
		maps.Copy(b.vars, b.known)
	}
	*b.repl = b.fresh
	if b.handler == nil {
		_ = b.next.ServeHTTP(b.answer, b.r)
		return
	}
	_ = b.handler.ServeHTTP(b.answer, b.r, b.next)
}

var costLines = make([]string, 1)

// measure returns the time and the memory of one pass.
func (b *costBench) measure(n int) (took time.Duration, allocs, bytes float64) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	began := time.Now()
	for range n {
		b.once()
	}
	took = time.Since(began)
	runtime.ReadMemStats(&after)
	return took / time.Duration(n), float64(after.Mallocs-before.Mallocs) / float64(n), float64(after.TotalAlloc-before.TotalAlloc) / float64(n)
}

// gateOf returns the gate of the site in the running Caddy, and its server.
func gateOf(t *testing.T) (*rommoidc.Middleware, *caddyhttp.Server) {
	t.Helper()
	app, err := caddy.ActiveContext().App("http")
	if err != nil {
		t.Fatal(err)
	}
	for _, server := range app.(*caddyhttp.App).Servers {
		if gate := gateIn(server.Routes); gate != nil {
			return gate, server
		}
	}
	t.Fatal("no site has a gate")
	return nil, nil
}

func gateIn(routes caddyhttp.RouteList) *rommoidc.Middleware {
	for _, route := range routes {
		for _, handler := range route.Handlers {
			switch handler := handler.(type) {
			case *rommoidc.Middleware:
				return handler
			case *caddyhttp.Subroute:
				if gate := gateIn(handler.Routes); gate != nil {
					return gate
				}
			}
		}
	}
	return nil
}

// TestCost pins the allocations of a request in the gate. With -cost it also
// measures the time, in turns with a handler that does nothing, and prints both.
func TestCost(t *testing.T) {
	s := start(t, options{directive: rolesByMail + "allow {\ngroups romm-users\n}\nscopes openid profile email groups\n", authelia: withGroups})
	alice := s.as("alice")
	alice.fetch("/api/platforms")
	token := s.romm.NewClientToken("alice", "me.read platforms.read roms.read")
	if answer := s.browser().do("/api/platforms", "Authorization", "Bearer "+token); answer.StatusCode != http.StatusOK {
		t.Fatalf("RomM's token: got %d %s", answer.StatusCode, answer.body)
	}
	at, err := url.Parse(public)
	if err != nil {
		t.Fatal(err)
	}
	var ticket string
	for _, c := range alice.client.Jar.Cookies(at) {
		if c.Name == ticketName {
			ticket = c.Value
		}
	}
	gate, server := gateOf(t)
	rounds, n := 1, 500
	if *cost {
		rounds, n = 100, 500
	}
	if *cost {
		fmt.Printf("%-32s %10s %8s %7s %9s\n", "", "above none", "x none", "allocs", "bytes")
	}
	for _, row := range costRows(ticket, token) {
		none, with := s.newCostBench(row, server, nil), s.newCostBench(row, server, gate)
		none.once()
		with.once()
		if with.answer.status != row.status {
			t.Errorf("%s: answered %d, want %d", row.name, with.answer.status, row.status)
		}
		var floor, took time.Duration
		var allocs, bytes float64
		for round := range rounds {
			f, floorAllocs, floorBytes := none.measure(n)
			g, a, size := with.measure(n)
			if round == 0 || f < floor {
				floor = f
			}
			if round == 0 || g < took {
				took, allocs, bytes = g, a-floorAllocs, size-floorBytes
			}
		}
		if *cost {
			fmt.Printf("%-32s %7d ns %8.2f %7.1f %9.0f\n", row.name, (took - floor).Nanoseconds(), float64(took)/float64(floor), allocs, bytes)
		}
		if int(allocs+0.5) > row.allocs && !underRace {
			t.Errorf("%s: %.1f allocations in the gate, want at most %d", row.name, allocs, row.allocs)
		}
	}
}
