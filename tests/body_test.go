// Malformed request bodies from anonymous clients.

package tests

import (
	"crypto/tls"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

// An anonymous client sends a malformed body to an open endpoint. Caddy
// answers 502 as if RomM were down, but the gate does not check alice's
// session because of it.
func TestBrokenBodyOnTheWire(t *testing.T) {
	s := start(t, options{directive: rolesByMail})
	alice := s.as("alice")
	fields := append(alice.csrf(), "Sec-Fetch-Site", "same-origin")
	confirmed := func() (n int) {
		s.romm.ForgetRequests()
		alice.send("POST /api/nothing", nil, fields...)
		for _, r := range s.romm.Requests() {
			if r.Path == "/api/users/me" {
				n++
			}
		}
		return n
	}
	if n := confirmed(); n != 0 {
		t.Fatalf("RomM was asked %d times about alice's session before the malformed body, want 0", n)
	}
	conn, err := tls.Dial("tcp", "127.0.0.1:9443", &tls.Config{InsecureSkipVerify: true, ServerName: "romm.example.com"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	fmt.Fprint(conn, "POST /api/auth/device/init HTTP/1.1\r\nHost: romm.example.com:9443\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n")
	answer := make([]byte, 100)
	n, err := conn.Read(answer)
	if err != nil || !strings.HasPrefix(string(answer[:n]), "HTTP/1.1 "+fmt.Sprint(http.StatusBadGateway)) {
		t.Fatalf("a malformed body is answered %q, want 502; error: %v", answer[:n], err)
	}
	if n := confirmed(); n != 0 {
		t.Errorf("RomM was asked %d times about alice's session after the malformed body, want 0", n)
	}
}
