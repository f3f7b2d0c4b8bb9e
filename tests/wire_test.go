// Requests that are sent exactly as written, for the tests that no HTTP client library can express.

package tests

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// publicAddress is where Caddy listens for the public origin, and publicHost
// its name there. insideAddress is where it listens for RomM.
const (
	publicAddress = "127.0.0.1:9443"
	publicHost    = "romm.example.com:9443"
	insideAddress = "127.0.0.1:9081"
)

// dialTLS opens a connection to the public origin with the ALPN protocol.
func dialTLS(t *testing.T, protocol string) *tls.Conn {
	t.Helper()
	dialer := &net.Dialer{Timeout: 5 * time.Second}
	conn, err := tls.DialWithDialer(dialer, "tcp", publicAddress, &tls.Config{
		ServerName: "romm.example.com", InsecureSkipVerify: true, NextProtos: []string{protocol},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	return conn
}

// raw sends a request over HTTP/1.1 exactly as written, which no client
// library would, and returns the answer. lines are the request line and the
// header fields without Host and Connection.
func raw(t *testing.T, lines ...string) response {
	t.Helper()
	return rawOn(t, dialTLS(t, "http/1.1"), publicHost, lines...)
}

// rawInside is raw at the inside address, which is RomM's only.
func rawInside(t *testing.T, lines ...string) response {
	t.Helper()
	conn, err := net.Dial("tcp", insideAddress)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	return rawOn(t, conn, insideAddress, lines...)
}

func rawOn(t *testing.T, conn net.Conn, host string, lines ...string) response {
	t.Helper()
	request := lines[0] + " HTTP/1.1\r\nHost: " + host + "\r\n" + strings.Join(append(lines[1:], ""), "\r\n") + "\r\n"
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatal(err)
	}
	method, _, _ := strings.Cut(lines[0], " ")
	answer, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method})
	if err != nil {
		t.Fatalf("reading the answer to %q: %v", lines[0], err)
	}
	defer answer.Body.Close()
	if answer.StatusCode == http.StatusSwitchingProtocols {
		return response{answer, ""}
	}
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatalf("reading the body of the answer to %q: %v", lines[0], err)
	}
	return response{answer, string(body)}
}

// raw2 sends a request over HTTP/2 exactly as written. fields are names in
// lower case and values. It returns status 0 if the server resets the stream.
func raw2(t *testing.T, method, path string, fields ...string) response {
	t.Helper()
	conn := dialTLS(t, "h2")
	framer := http2.NewFramer(conn, conn)
	framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	var block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	fields = append([]string{":method", method, ":scheme", "https", ":authority", publicHost, ":path", path}, fields...)
	for i := 0; i < len(fields); i += 2 {
		_ = encoder.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]})
	}
	if _, err := io.WriteString(conn, http2.ClientPreface); err != nil {
		t.Fatal(err)
	}
	if err := framer.WriteSettings(); err != nil {
		t.Fatal(err)
	}
	err := framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block.Bytes(), EndStream: true, EndHeaders: true})
	if err != nil {
		t.Fatal(err)
	}
	answer := response{&http.Response{Header: http.Header{}}, ""}
	for {
		frame, err := framer.ReadFrame()
		if err != nil {
			t.Fatalf("reading the answer to %s %q: %v", method, path, err)
		}
		ended := false
		switch frame := frame.(type) {
		case *http2.MetaHeadersFrame:
			for _, field := range frame.RegularFields() {
				answer.Header.Add(field.Name, field.Value)
			}
			answer.StatusCode = 0
			for _, c := range frame.PseudoValue("status") {
				answer.StatusCode = answer.StatusCode*10 + int(c-'0')
			}
			ended = frame.StreamEnded()
		case *http2.DataFrame:
			answer.body += string(frame.Data())
			ended = frame.StreamEnded()
		case *http2.RSTStreamFrame, *http2.GoAwayFrame:
			answer.StatusCode, ended = 0, true
		}
		if ended {
			return answer
		}
	}
}

// ticketCookie returns the browser's ticket as a Cookie field line.
func (b *browser) ticketCookie() string {
	b.t.Helper()
	return "Cookie: " + ticketName + "=" + b.ticket()
}

// quiet makes the gate ask RomM for its version, as it does when it first
// refuses a script. It then forgets RomM's requests, so that every later one
// was let through.
func (s *stack) quiet() {
	s.t.Helper()
	s.browser().fetch("/api/users/me")
	s.romm.ForgetRequests()
}

// untouched fails the test if any request reached RomM since quiet.
func (s *stack) untouched(what string) {
	s.t.Helper()
	for _, r := range s.romm.Requests() {
		s.t.Errorf("%s: %s %s reached RomM", what, r.Method, r.Path)
	}
	s.romm.ForgetRequests()
}
