// WebSockets over every version of HTTP.

package request

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

// A WebSocket is recognized over every version of HTTP.
func TestIsSocket(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		method, proto string
		major         int
		header        http.Header
		want          bool
	}{
		"HTTP/1.1":                    {"GET", "HTTP/1.1", 1, http.Header{"Connection": {"keep-alive, Upgrade"}, "Upgrade": {"websocket"}}, true},
		"HTTP/1.1 without Connection": {"GET", "HTTP/1.1", 1, http.Header{"Upgrade": {"websocket"}}, false},
		"HTTP/2":                      {"CONNECT", "HTTP/2.0", 2, http.Header{":protocol": {"websocket"}}, true},
		"HTTP/2, another protocol":    {"CONNECT", "HTTP/2.0", 2, http.Header{":protocol": {"connect-udp"}}, false},
		"HTTP/3":                      {"CONNECT", "websocket", 3, nil, true},
		"HTTP/3, another protocol":    {"CONNECT", "connect-udp", 3, nil, false},
		"HTTP/3, an ordinary request": {"GET", "HTTP/3.0", 3, nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := httptest.NewRequest(c.method, "/ws/socket.io/", nil)
			r.Proto, r.ProtoMajor, r.Header = c.proto, c.major, c.header
			if got := IsSocket(r); got != c.want {
				t.Errorf("IsSocket = %v, want %v", got, c.want)
			}
		})
	}
}
