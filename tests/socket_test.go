// RomM's sockets over WebSocket.

package tests

import (
	"crypto/tls"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/websocket"
)

// socket opens RomM's socket like a browser at origin, and returns the
// connection.
func (s *stack) socket(ticket, origin string) (*websocket.Conn, error) {
	s.t.Helper()
	config, err := websocket.NewConfig("wss://127.0.0.1:9443/ws/socket.io/?EIO=4&transport=websocket", origin)
	if err != nil {
		s.t.Fatal(err)
	}
	config.Location.Host = "romm.example.com:9443" // the Host; the test dials by itself
	if ticket != "" {
		config.Header.Set("Cookie", ticketName+"="+ticket+"; romm_csrftoken=x")
	}
	conn, err := tls.Dial("tcp", "127.0.0.1:9443", &tls.Config{InsecureSkipVerify: true, ServerName: "romm.example.com", NextProtos: []string{"http/1.1"}})
	if err != nil {
		s.t.Fatal(err)
	}
	socket, err := websocket.NewClient(config, conn)
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	s.t.Cleanup(func() { _ = socket.Close() })
	return socket, nil
}

// until reads packets until one contains text, for at most 5 s. It returns
// false at the end of the socket.
func until(socket *websocket.Conn, text string) bool {
	_ = socket.SetReadDeadline(time.Now().Add(5 * time.Second))
	for {
		var packet string
		if err := websocket.Message.Receive(socket, &packet); err != nil {
			return false
		}
		if packet == "2" { // engine.io's ping
			_ = websocket.Message.Send(socket, "3")
		}
		if strings.Contains(packet, text) {
			return true
		}
	}
}

// scan connects the socket's namespace and requests a scan.
func scan(t *testing.T, socket *websocket.Conn) {
	t.Helper()
	for _, packet := range []string{"40", `42["scan",{}]`} {
		if err := websocket.Message.Send(socket, packet); err != nil {
			t.Fatal(err)
		}
	}
}

// A scan runs over the socket as the signed-in RomM user. Without a session,
// the socket is refused.
func TestScanOverTheSocket(t *testing.T) {
	s := start(t, options{directive: rolesByMail})
	alice, bob := s.as("alice"), s.as("bob")
	for name, c := range map[string]struct {
		ticket, origin, want string
	}{
		"administrator":     {alice.ticket(), public, `"scan:done"`},
		"user":              {bob.ticket(), public, `"scan:done_ko"`},
		"no ticket":         {"", public, ""},
		"foreign page":      {alice.ticket(), "https://evil.com", ""},
		"sibling subdomain": {alice.ticket(), "https://x.example.com:9443", ""},
	} {
		socket, err := s.socket(c.ticket, c.origin)
		if (err == nil) != (c.want != "") {
			t.Errorf("%s: opening the socket: error %v, want one only if the socket is refused", name, err)
		}
		if err != nil {
			continue
		}
		scan(t, socket)
		if !until(socket, c.want) {
			t.Errorf("%s: the scan did not end with %s", name, c.want)
		}
	}
}

// A socket that opens right after RomM lost its sessions still has the user's
// identity.
func TestSocketAfterRomMLostItsSessions(t *testing.T) {
	s := start(t, options{directive: rolesByMail})
	b := s.as("alice")
	s.romm.Down()
	b.fetch("/api/roms")
	s.romm.Restart()
	s.romm.Up()
	socket, err := s.socket(b.ticket(), public)
	if err != nil {
		t.Fatal(err)
	}
	scan(t, socket)
	if !until(socket, `"scan:done"`) {
		t.Error("the scan over the socket was not done, want it done as alice")
	}
}

// The end of a session closes its sockets, which RomM itself would not do.
func TestSignOutClosesTheSocket(t *testing.T) {
	s := start(t, options{directive: rolesByMail})
	b := s.as("alice")
	socket, err := s.socket(b.ticket(), public)
	if err != nil {
		t.Fatal(err)
	}
	b.fetch("POST /api/logout", "Origin", public)
	began := time.Now()
	if until(socket, "never") || time.Since(began) > 4*time.Second {
		t.Errorf("the socket was open for %s after the sign-out, want at most 4 s", time.Since(began))
	}
}

// A reload of Caddy's configuration does not interrupt a scan.
func TestSocketSurvivesAReload(t *testing.T) {
	o := options{directive: rolesByMail, site: "reverse_proxy %s {\n stream_close_delay 1h\n}"}
	s := start(t, o)
	socket, err := s.socket(s.as("alice").ticket(), public)
	if err != nil {
		t.Fatal(err)
	}
	o.directive += "session {\n idle 7d\n}\n"
	s.load(o)
	scan(t, socket)
	if !until(socket, `"scan:done"`) {
		t.Error("the scan after the reload was not done, want the socket still open")
	}
}
