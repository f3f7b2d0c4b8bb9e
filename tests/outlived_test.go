// Connections that are older than the configuration.

package tests

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"testing"
)

// Alice, who is to lose her access, has connections to Caddy that are as new as the
// reload that takes it away: Caddy serves these by the former configuration for as long
// as she likes. Its rules are no longer used, nor is a gate that is gone.
func TestConnectionOutlivesItsConfiguration(t *testing.T) {
	for name, c := range map[string]struct {
		load func(s *stack)
		want int
	}{
		"rules": {func(s *stack) { s.load(options{directive: rolesByMail + "allow {\n emails bob@example.com\n}\n"}) }, http.StatusForbidden},
		"gate":  {func(s *stack) { s.loadSites(public + " {\n tls internal\n respond 200\n}") }, http.StatusMisdirectedRequest},
	} {
		t.Run(name, func(t *testing.T) { outlive(t, c.load, c.want) })
	}
}

func outlive(t *testing.T, load func(s *stack), want int) {
	t.Helper()
	s := start(t, options{directive: rolesByMail})
	alice := s.as("alice")
	older := make([]net.Conn, 4)
	for i := range older {
		conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", "127.0.0.1:9443")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		older[i] = conn
	}
	alice.wantUser("alice") // so that Caddy has accepted those
	load(s)
	for _, conn := range older {
		secured := tls.Client(conn, &tls.Config{InsecureSkipVerify: true, ServerName: "romm.example.com", NextProtos: []string{"h2"}})
		if err := secured.HandshakeContext(t.Context()); err != nil {
			continue // closed, which is as good
		}
		client := &http.Transport{ForceAttemptHTTP2: true, DialTLSContext: func(context.Context, string, string) (net.Conn, error) { return secured, nil }}
		answer, err := client.RoundTrip(alice.request("/api/users/me", nil, "Cookie", ticketName+"="+alice.ticket()))
		if err != nil {
			continue
		}
		if answer.ProtoMajor != 2 {
			t.Errorf("the connection speaks %s, want HTTP/2, which has no end of its own", answer.Proto)
		}
		_ = answer.Body.Close()
		switch answer.StatusCode {
		case want, http.StatusUnauthorized: // the first request ends the session
		default:
			t.Errorf("on an older connection, a user who is no longer allowed got %d, want %d", answer.StatusCode, want)
		}
	}
}
