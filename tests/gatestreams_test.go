// The streams of a gate that leaves the configuration by Caddy's admin API.

package tests

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"
)

// gateStreams are streams in progress, by what they are. Each channel is closed at
// its end.
type gateStreams map[string]chan struct{}

// streams opens a socket and a download of alice.
func (s *stack) streams() gateStreams {
	s.t.Helper()
	alice := s.as("alice")
	socket, err := s.socket(alice.ticket(), public)
	if err != nil {
		s.t.Fatal(err)
	}
	scan(s.t, socket)
	if !until(socket, `"scan:done"`) {
		s.t.Fatal("the socket does not work")
	}
	streams := gateStreams{"socket": make(chan struct{}), "download": make(chan struct{})}
	s.romm.Fault("/api/roms/1/content/game.zip", func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write([]byte("the first part"))
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
		close(streams["download"])
	})
	if part, err := alice.stream(alice.client, "/api/roms/1/content/game.zip").ReadByte(); err != nil {
		s.t.Fatal(part, err)
	}
	go func() {
		defer close(streams["socket"])
		_ = until(socket, "a packet that never comes")
	}()
	return streams
}

// wantEnded fails the test unless all streams end soon.
func (g gateStreams) wantEnded(t *testing.T) {
	t.Helper()
	for what, end := range g {
		select {
		case <-end:
		case <-time.After(10 * time.Second):
			t.Errorf("the %s of a gate that left the configuration is still open", what)
		}
	}
}

// isOpen reports whether no stream has ended.
func (g gateStreams) isOpen() bool {
	for _, end := range g {
		select {
		case <-end:
			return false
		default:
		}
	}
	return true
}

// gatesIn returns the paths of all gates in Caddy's configuration.
func gatesIn(config any, path string) (paths []string) {
	switch value := config.(type) {
	case map[string]any:
		if value["handler"] == "romm_oidc" {
			paths = append(paths, path)
		}
		for name, member := range value {
			paths = append(paths, gatesIn(member, path+"/"+name)...)
		}
	case []any:
		for i, entry := range value {
			paths = append(paths, gatesIn(entry, path+"/"+strconv.Itoa(i))...)
		}
	}
	return paths
}

// configure sends a request to Caddy's admin API below /config.
func (s *stack) configure(method, path, body string) {
	s.t.Helper()
	defer s.adminReplaced()
	answer := s.browser().send(method+" http://localhost:2999/config"+path, strings.NewReader(body), "Content-Type", "application/json")
	if answer.StatusCode != http.StatusOK {
		s.t.Fatalf("%s %s answered %d, want 200: %s", method, path, answer.StatusCode, answer.body)
	}
}

// The admin API takes a gate out of a running configuration, or makes another gate of
// it. Its sockets and downloads end, though reverse_proxy keeps them for an hour. A
// change of anything else keeps them.
func TestGateThatIsPatchedAwayEndsItsStreams(t *testing.T) {
	delayed := options{directive: rolesByMail, site: "reverse_proxy %s {\n" + freshConnections + "\nstream_close_delay 1h\n}"}
	for name, change := range map[string]func(*stack, string){
		"DELETE the handler":  func(s *stack, gate string) { s.configure(http.MethodDelete, gate, "") },
		"PATCH the client_id": func(s *stack, gate string) { s.configure(http.MethodPatch, gate+"/client_id", `"romm2"`) },
		"PATCH the handler": func(s *stack, gate string) {
			s.configure(http.MethodPatch, gate, `{"handler":"static_response","status_code":503}`)
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t, delayed)
			unhurried := strings.Replace(s.caddyfile(delayed), "\tgrace_period 1ns\n", "", 1)
			if answer := s.post(unhurried); answer.StatusCode != http.StatusOK {
				t.Fatalf("the reload answered %d, want 200: %s", answer.StatusCode, answer.body)
			}
			streams := s.streams()
			var config any
			if err := json.Unmarshal([]byte(s.manage(http.MethodGet, "/config/").body), &config); err != nil {
				t.Fatal(err)
			}
			gates := gatesIn(config, "")
			if len(gates) != 2 { // the public address and the one for RomM
				t.Fatalf("gates at %q, want two", gates)
			}
			s.configure(http.MethodPatch, gates[0]+"/provider", `"Our login"`)
			if !streams.isOpen() {
				t.Error("a change of another setting ended a stream")
			}
			for _, gate := range gates {
				change(s, gate)
			}
			streams.wantEnded(t)
		})
	}
}
