// RomM's sockets over the polling transport.

package tests

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/romm-oidc/caddy-romm-oidc/tests/romm"
)

// Both of RomM's socket servers know the user of a polling socket. Polling
// ends with the session, although RomM itself would continue.
func TestPolling(t *testing.T) {
	s := start(t, options{directive: rolesByMail})
	b := s.as("alice")
	main, netplay := b.poll("/ws"), b.poll("/netplay")
	for _, p := range []*poller{main, netplay} {
		if status := p.send("40"); status != http.StatusOK || !p.until("40{") {
			t.Errorf("connecting %s: the packet was answered %d, want 200 and a connection", p.target, status)
		}
	}
	want := []romm.Socket{{Path: "/netplay", Transport: "polling"}, {Path: "/ws", User: "alice", Transport: "polling"}}
	if open := s.romm.Sockets(); !slices.Equal(open, want) {
		t.Errorf("RomM has the sockets %+v, want %+v", open, want)
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, public+main.target, nil)
	if err != nil {
		t.Fatal(err)
	}
	s.romm.ForgetRequests()
	waited := make(chan int, 1)
	go func() {
		answer, err := b.client.Do(r)
		if err != nil { // aborted
			waited <- 0
			return
		}
		_ = answer.Body.Close()
		waited <- answer.StatusCode
	}()
	eventually(t, func() bool { _, arrived := s.romm.LastRequest("/ws/socket.io/"); return arrived })
	b.fetch("POST /api/logout", "Origin", public)
	if status := <-waited; status == http.StatusOK {
		t.Error("a waiting poll was answered 200 after the sign-out, want it cut off")
	}
	s.quiet()
	if status := main.send(`42["scan",{}]`); status != http.StatusUnauthorized {
		t.Errorf("a packet after the sign-out answered %d, want 401", status)
	}
	s.untouched("a poll after the sign-out")
}

// A page of another origin, or a request without an Origin, cannot use a
// socket with the user's cookie: CORS does not cover sockets, and RomM accepts
// any origin.
func TestForeignSockets(t *testing.T) {
	s := start(t, options{directive: rolesByMail})
	b := s.as("alice")
	s.quiet()
	const poll = "/ws/socket.io/?EIO=4&transport=polling"
	for name, fields := range map[string][]string{
		"foreign Origin":           {"Origin: https://evil.com"},
		"Origin of a sibling":      {"Origin: https://x.example.com:9443"},
		"Origin with another port": {"Origin: https://romm.example.com"},
		"Origin null":              {"Origin: null"},
		"two Origins":              {"Origin: " + public, "Origin: https://evil.com"},
		"no Origin, cross-site":    {"Sec-Fetch-Site: cross-site"},
		"no Origin, same-site":     {"Sec-Fetch-Site: same-site"},
	} {
		upgrade := []string{
			"Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
		}
		for _, path := range []string{"/ws/socket.io/", "/netplay/socket.io/"} {
			lines := slices.Concat([]string{"GET " + path + "?EIO=4&transport=websocket", b.ticketCookie()}, fields, upgrade)
			if answer := raw(t, lines...); answer.StatusCode != http.StatusForbidden {
				t.Errorf("%s: a WebSocket to %s answered %d, want 403", name, path, answer.StatusCode)
			}
		}
		for _, method := range []string{"GET ", "POST "} {
			lines := append([]string{method + poll, b.ticketCookie(), "Content-Length: 0"}, fields...)
			if answer := raw(t, lines...); answer.StatusCode != http.StatusForbidden {
				t.Errorf("%s: polling answered %d, want 403", name, answer.StatusCode)
			}
		}
	}
	s.untouched("a foreign socket")
}

// engine.io joins Cookie lines with a comma, which breaks the cookies. RomM
// gets one line with one session, however many lines the browser sends.
func TestOneCookieLineUpstream(t *testing.T) {
	s := start(t, options{directive: rolesByMail})
	b := s.as("alice")
	answer := raw(t, "GET /ws/socket.io/?EIO=4&transport=polling", "Cookie: romm_csrftoken=1", b.ticketCookie(), "Cookie: romm_session=stolen; romm_csrftoken=2; a=1")
	if answer.StatusCode != http.StatusOK {
		t.Fatalf("polling answered %d, want 200: %s", answer.StatusCode, answer.body)
	}
	request, _ := s.romm.LastRequest("/ws/socket.io/")
	if lines := request.Header["Cookie"]; len(lines) != 1 || !strings.HasPrefix(lines[0], "romm_csrftoken=1; romm_csrftoken=2; romm_session=") || strings.Contains(lines[0], "stolen") {
		t.Errorf("RomM got the Cookie lines %q, want one with both CSRF tokens and the gate's own romm_session", lines)
	}
	if open := s.romm.Sockets(); len(open) != 1 || open[0].User != "alice" {
		t.Errorf("RomM has the sockets %+v, want one of alice's", open)
	}
}
