// WebSockets over HTTP/2 (RFC 8441).

package tests

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/romm-oidc/caddy-romm-oidc/tests/romm"
)

// extendedConnect opens RomM's socket over HTTP/2 (RFC 8441) at address, like
// a browser that the server offered extended CONNECT. It returns the status
// and the stream.
func extendedConnect(t *testing.T, address string, fields ...string) (int, *http2.Framer) {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	framer := http2.NewFramer(conn, conn)
	framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	var block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	fields = append([]string{
		":method", "CONNECT", ":protocol", "websocket", ":scheme", "http", ":authority", "localhost:" + port(address),
		":path", "/ws/socket.io/?EIO=4&transport=websocket", "sec-websocket-version", "13",
	}, fields...)
	for i := 0; i < len(fields); i += 2 {
		_ = encoder.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]})
	}
	_, err = io.WriteString(conn, http2.ClientPreface)
	if err == nil {
		err = framer.WriteSettings()
	}
	if err == nil {
		err = framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block.Bytes(), EndHeaders: true})
	}
	for err == nil {
		var frame http2.Frame
		if frame, err = framer.ReadFrame(); err != nil {
			break
		}
		switch frame := frame.(type) {
		case *http2.SettingsFrame:
			if value, ok := frame.Value(http2.SettingEnableConnectProtocol); !frame.IsAck() && (!ok || value != 1) {
				t.Fatal("Caddy's HTTP/2 settings do not offer extended CONNECT")
			}
		case *http2.MetaHeadersFrame:
			status := 0
			for _, c := range frame.PseudoValue("status") {
				status = status*10 + int(c-'0')
			}
			return status, framer
		case *http2.RSTStreamFrame:
			t.Fatalf("Caddy reset the stream: %v", frame.ErrCode)
		}
	}
	t.Fatal(err)
	return 0, nil
}

// A WebSocket over HTTP/2 is treated like any other: refused without a session
// or from another origin, stamped with the user's session, and closed when the
// session ends.
func TestExtendedConnect(t *testing.T) {
	t.Setenv("GODEBUG", "http2xconnect=1") // Go's server offers extended CONNECT only with this setting
	p := launch(t, users)
	content, err := os.ReadFile(p.Config)
	if err != nil {
		t.Fatal(err)
	}
	content = bytes.Replace(content, []byte("\tadmin off\n"), []byte("\tadmin off\n\tservers {\n\t\tprotocols h1 h2c\n\t}\n"), 1)
	if err := os.WriteFile(p.Config, content, 0o600); err != nil {
		t.Fatal(err)
	}
	p.Run()
	b := p.as("alice")
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.origin, nil)
	if err != nil {
		t.Fatal(err)
	}
	ticket := ""
	for _, c := range b.client.Jar.Cookies(r.URL) {
		if strings.HasPrefix(c.Name, "romm_oidc_") && strings.Count(c.Name, "_") == 2 {
			ticket = c.String()
		}
	}
	address := strings.TrimPrefix(p.origin, "http://")
	if status, _ := extendedConnect(t, address, "origin", p.origin); status != http.StatusUnauthorized {
		t.Errorf("extended CONNECT without a ticket answered %d, want 401", status)
	}
	if status, _ := extendedConnect(t, address, "origin", "https://evil.com", "cookie", ticket); status != http.StatusForbidden {
		t.Errorf("extended CONNECT from another origin answered %d, want 403", status)
	}
	status, framer := extendedConnect(t, address, "origin", p.origin, "cookie", ticket)
	if status != http.StatusOK {
		t.Fatalf("extended CONNECT with a ticket answered %d, want 200", status)
	}
	want := []romm.Socket{{Path: "/ws", User: "alice", Transport: "websocket"}}
	eventually(t, func() bool { return slices.Equal(p.romm.Sockets(), want) })
	b.fetch("POST /api/logout", "Origin", p.origin)
	for ended := false; !ended; {
		frame, err := framer.ReadFrame()
		if err != nil {
			t.Fatalf("the socket did not end with the session: %v", err)
		}
		switch frame := frame.(type) {
		case *http2.DataFrame:
			ended = frame.StreamEnded()
		case *http2.RSTStreamFrame:
			ended = true
		}
	}
}
