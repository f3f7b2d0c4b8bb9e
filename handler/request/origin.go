// The public origin of the site.

package request

import (
	"fmt"
	"net"
	"net/url"
	"strings"
)

// Origin is the public origin: the scheme and host by which browsers reach the
// application. It comes from the redirect URI and never from a request, so that
// no header field and no proxy can change it.
type Origin struct {
	Scheme string // "https" or "http"
	Host   string // lower case; with the port only if it is not the scheme's own
}

// OriginOf returns the origin of rawURL, which must be an absolute http or https
// URL without user information.
func OriginOf(rawURL string) (Origin, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		return Origin{}, fmt.Errorf("parsing %q: %w", rawURL, err)
	}
	if u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil {
		return Origin{}, fmt.Errorf("%q is not an absolute http or https URL", rawURL)
	}
	o := Origin{Scheme: u.Scheme}
	o.Host = o.withoutDefaultPort(strings.ToLower(u.Host))
	return o, nil
}

// String returns the origin as browsers write it in the Origin header field
// ([RFC 6454 section 6.2]).
//
// [RFC 6454 section 6.2]: https://www.rfc-editor.org/rfc/rfc6454#section-6.2
func (o Origin) String() string { return o.Scheme + "://" + o.Host }

// Secure reports whether the origin is https.
func (o Origin) Secure() bool { return o.Scheme == "https" }

// HasHost reports whether host, the Host of a request, is that of o.
func (o Origin) HasHost(host string) bool {
	return host == o.Host || strings.EqualFold(o.withoutDefaultPort(host), o.Host)
}

// HasName reports whether host, the Host of a request, has the name of o, with
// any port.
func (o Origin) HasName(host string) bool {
	a, b := url.URL{Host: host}, url.URL{Host: o.Host}
	return strings.EqualFold(a.Hostname(), b.Hostname())
}

// port returns the port of o, empty if it is the scheme's own.
func (o Origin) port() string {
	u := url.URL{Host: o.Host}
	return u.Port()
}

func (o Origin) withoutDefaultPort(host string) string {
	if strings.IndexByte(host, ':') < 0 {
		return host
	}
	name, port, err := net.SplitHostPort(host)
	if err != nil || (o.Scheme != "https" || port != "443") && (o.Scheme != "http" || port != "80") {
		return host
	}
	if strings.Contains(name, ":") { // an IPv6 address keeps its brackets
		return "[" + name + "]"
	}
	return name
}
