// The client of a session, for background calls.

package handler

import (
	"crypto/tls"
	"net/http"
	"slices"
	"unique"

	"github.com/romm-oidc/caddy-romm-oidc/handler/application"
	"github.com/romm-oidc/caddy-romm-oidc/handler/request"
)

// clientHint is the client's address and browser, by which the application
// tells devices apart.
type clientHint struct {
	address   string
	agent     unique.Handle[string] // many sessions have the same
	forwarded []string
}

// rememberClient remembers the client of a session, once in this process. What
// the client sends is bounded: an application that refuses it would refuse every
// call for this session, and the user would keep what they should lose.
func (v *sessionRuntime) rememberClient(r *http.Request) {
	if v.client.Load() != nil {
		return
	}
	hint := &clientHint{address: r.RemoteAddr, agent: unique.Make(application.BoundedAgent(r.UserAgent()))}
	if forwarded := r.Header["X-Forwarded-For"]; application.FieldSize(forwarded) <= application.FieldLimit {
		hint.forwarded = slices.Clone(forwarded) // the slice itself is part of one with all fields of the request
	}
	v.client.Store(hint)
}

// request returns a request as the client could have sent it.
func (c *clientHint) request(origin request.Origin) *http.Request {
	r := &http.Request{
		Method: http.MethodGet, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Host: origin.Host, Header: make(http.Header),
	}
	if origin.Secure() {
		r.TLS = &tls.ConnectionState{Version: tls.VersionTLS13, HandshakeComplete: true, ServerName: origin.Host}
	}
	if c == nil { // no request was seen yet
		return r
	}
	r.RemoteAddr = c.address
	if agent := c.agent.Value(); agent != "" {
		r.Header.Set("User-Agent", agent)
	}
	if len(c.forwarded) > 0 {
		r.Header["X-Forwarded-For"] = c.forwarded
	}
	return r
}
