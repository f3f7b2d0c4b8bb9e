// A test of connections to the provider that died without a word.

package flow

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// A firewall forgot the connection, or the network changed: what is sent on it
// disappears, without an error. All requests share one connection of HTTP/2, and the
// kernel gives up on it only after a quarter of an hour. A new connection works at
// once (https://github.com/golang/go/issues/36026).
func TestDeadConnectionIsReplaced(t *testing.T) {
	t.Parallel()
	certificate := httptest.NewUnstartedServer(nil)
	certificate.StartTLS()
	t.Cleanup(certificate.Close)
	synctest.Test(t, func(t *testing.T) {
		listener := &pipes{conns: make(chan net.Conn), closed: make(chan struct{})}
		server := &http.Server{
			Handler:           http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.Proto) }),
			ReadHeaderTimeout: time.Minute,
			TLSConfig:         &tls.Config{Certificates: certificate.TLS.Certificates, MinVersion: tls.VersionTLS12},
		}
		go func() { _ = server.ServeTLS(listener, "", "") }()
		client, err := NewClient(ClientConfig{Issuer: "https://example.com"})
		if err != nil {
			t.Fatal(err)
		}
		transport := client.Transport.(*providerTransport).base.(*http.Transport)
		transport.TLSClientConfig.RootCAs = certificate.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
		var last *lossyConn
		transport.DialContext = func(context.Context, string, string) (net.Conn, error) {
			near, far := net.Pipe()
			listener.conns <- far
			last = &lossyConn{Conn: near}
			return last, nil
		}
		get := func() error {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			request, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://example.com/", nil)
			if err != nil {
				t.Fatal(err)
			}
			answer, err := client.Do(request)
			if err != nil {
				return err
			}
			defer func() { _ = answer.Body.Close() }()
			if body, _ := io.ReadAll(answer.Body); string(body) != "HTTP/2.0" {
				t.Errorf("the server was asked by %s, want HTTP/2.0", body)
			}
			return nil
		}
		if err := get(); err != nil {
			t.Fatal(err)
		}
		first := last
		first.dead.Store(true)
		died := time.Now()
		for get() != nil && time.Since(died) < 16*time.Minute {
			time.Sleep(time.Second) // a user tries again
		}
		if down := time.Since(died); down > 30*time.Second || last == first {
			t.Errorf("the provider was out of reach for %v after its connection had died, want 30s at most", down)
		}
		client.CloseIdleConnections()
		_ = first.Close()
		_ = server.Close()
	})
}

// pipes is a listener of connections in memory.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case conn := <-p.conns:
		return conn, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	close(p.closed)
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }

// lossyConn is a connection on which nothing arrives any more once it is dead.
type lossyConn struct {
	net.Conn
	dead atomic.Bool
}

func (c *lossyConn) Write(p []byte) (int, error) {
	if c.dead.Load() {
		return len(p), nil
	}
	return c.Conn.Write(p)
}
