// How the stand-in checks that a request was sent to its public address, and
// which client address the rate limit counts.

package authelia

import (
	"net"
	"net/http"
	"strings"
)

// maxHeaderSize is server.buffers.read: the limit for the request line and the header together, in bytes.
const maxHeaderSize = 4096

// headerSize returns the size of the request line and header in bytes, as HTTP/1.1 sends them.
func headerSize(r *http.Request) int {
	uri := r.RequestURI
	if uri == "" {
		uri = r.URL.RequestURI()
	}
	size := len(r.Method) + len(uri) + len(" ") + len(" HTTP/1.1\r\n") + len("Host: \r\n") + len(r.Host) + len("\r\n")
	for name, values := range r.Header {
		for _, v := range values {
			size += len(name) + len(": ") + len(v) + len("\r\n")
		}
	}
	return size
}

// addressed reports whether the request is for the public scheme and host, compared exactly. Authelia has no configured
// issuer: it trusts X-Forwarded-Proto and X-Forwarded-Host from every client and ignores Forwarded.
func (s *Server) addressed(r *http.Request) bool {
	scheme := r.Header.Get("X-Forwarded-Proto")
	if scheme == "" {
		scheme = "http"
		if r.TLS != nil {
			scheme = "https"
		}
	}
	host := r.Header.Get("X-Forwarded-Host")
	if host == "" {
		host = r.Host
	}
	// The original accepts https only. The demo needs http on loopback.
	return scheme == s.issuer.Scheme && host == s.issuer.Host
}

// misaddressed returns the response to a request for another scheme or host.
func misaddressed(name string) answer {
	switch name {
	case EndpointToken, EndpointUserinfo, EndpointIntrospection, EndpointRevocation:
		return errInvalidRequest.json()
	case EndpointAuthorization:
		return plain(http.StatusInternalServerError)
	}
	return plain(http.StatusBadRequest)
}

// clientIP returns the address that the rate limit counts: the first X-Forwarded-For entry, or else the peer.
func clientIP(r *http.Request) string {
	if forwarded := r.Header.Get("X-Forwarded-For"); forwarded != "" {
		first, _, _ := strings.Cut(forwarded, ",")
		return strings.TrimSpace(first)
	}
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}
