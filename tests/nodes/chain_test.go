// What is behind a gate: a reverse_proxy to RomM, and RomM's way back.

package nodes

import (
	"errors"
	"net/http"
	"net/http/httptest"

	"github.com/romm-oidc/caddy-romm-oidc/handler/application"
)

// errRefused is what a reverse_proxy returns for a RomM that is down.
var errRefused = errors.New("dial tcp: connection refused")

// chain is Caddy's chain behind the gate: a reverse_proxy to RomM.
type chain struct {
	application.Chain // what these tests do not use panics
	node              *node
	uri               string
}

// Serve implements application.Chain. A RomM that is down is an error of reverse_proxy.
func (c *chain) Serve(w http.ResponseWriter, r *http.Request) (err error) {
	defer func() {
		if recover() != nil {
			err = errRefused
		}
	}()
	cluster := c.node.cluster
	if err := waitFor(r.Context(), cluster.rommDelay.Load()); err != nil {
		return err
	}
	if c.node.dead.Load() {
		return errRefused
	}
	if status := int(cluster.rommStatus.Load()); status != 0 {
		w.Header().Set("Content-Length", "0")
		w.WriteHeader(status)
		return nil
	}
	cluster.romm.ServeHTTP(w, r)
	return nil
}

// Unreachable implements application.Chain.
func (c *chain) Unreachable(err error) bool { return errors.Is(err, errRefused) }

// HandlesErrors implements application.Chain.
func (c *chain) HandlesErrors() bool { return false }

// Fresh implements application.Chain.
func (c *chain) Fresh(_ http.ResponseWriter, r, _ *http.Request) *http.Request { return r }

// Keep implements application.Chain.
func (c *chain) Keep() application.Chain { return c }

// Identify implements application.Chain.
func (c *chain) Identify(func(string) (any, bool)) {}

// OriginalURI implements application.Chain.
func (c *chain) OriginalURI() string { return c.uri }

// ClientIP implements application.Chain.
func (c *chain) ClientIP() string { return "192.0.2.7" }

// TrustedProxy implements application.Chain.
func (c *chain) TrustedProxy() bool { return false }

// inside is RomM's way to the gate: any node that runs answers.
type inside struct{ *cluster }

// RoundTrip implements http.RoundTripper.
func (c inside) RoundTrip(r *http.Request) (*http.Response, error) {
	for i := range c.nodes {
		n := c.at((i + len(r.URL.Path)) % len(c.nodes))
		if n.dead.Load() || n.closing.Load() {
			continue
		}
		in := httptest.NewRequestWithContext(r.Context(), r.Method, r.URL.RequestURI(), r.Body)
		in.Header, in.Host = r.Header.Clone(), r.URL.Host
		in.TLS = nil
		answer := n.serve(in) //nolint:contextcheck // the request carries it
		if answer.StatusCode == 0 {
			return nil, errRefused
		}
		answer.Request = r
		return answer, nil
	}
	return nil, errRefused
}
