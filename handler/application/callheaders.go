// What a call carries of the visitor's header.

package application

import (
	"net/http"
	"slices"
	"strings"

	"github.com/romm-oidc/caddy-romm-oidc/handler/request"
)

const (
	// FieldLimit bounds each field of a visitor's header in a call, in bytes. A
	// server accepts more than the application behind it: nginx takes 16 KiB a
	// line, Caddy a megabyte. A visitor who sends more must not make the calls
	// fail that take something away from them.
	FieldLimit = 512
	// headerLimit bounds all of them together. If there is more, the call carries
	// only what tells clients apart.
	headerLimit = 8 << 10
)

// FieldSize returns the size of a field with these values, in bytes.
func FieldSize(values []string) int {
	size := 0
	for _, value := range values {
		size += len(value) + 2
	}
	return size
}

// BoundedAgent returns the beginning of a User-Agent, which the application
// shows its user as the name of a device.
func BoundedAgent(agent string) string {
	if len(agent) <= FieldLimit {
		return agent
	}
	return strings.Clone(agent[:FieldLimit]) // and lets go of the rest
}

// carry copies to header what a call carries of the visitor's header.
func carry(header, visitor http.Header) {
	size := 0
	for name, values := range visitor {
		if carried(name) && name != "User-Agent" && FieldSize(values) <= FieldLimit {
			header[name] = slices.Clip(values)
			size += len(name) + FieldSize(values)
		}
	}
	if size > headerLimit {
		forwarded := header["X-Forwarded-For"]
		clear(header)
		if forwarded != nil {
			header["X-Forwarded-For"] = forwarded
		}
	}
	if agents := visitor["User-Agent"]; len(agents) > 0 {
		header["User-Agent"] = []string{BoundedAgent(agents[0])}
	}
}

// carried reports whether a call copies the visitor's header field name.
func carried(name string) bool {
	switch name {
	case "Cookie", "Authorization", "Proxy-Authorization", "Origin", "Referer",
		"Connection", "Keep-Alive", "Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade",
		"Range", "Accept-Encoding", "Expect", "Early-Data":
		return false
	}
	return !strings.HasPrefix(name, "If-") && !strings.HasPrefix(name, "Content-") &&
		!strings.HasPrefix(name, "Sec-") && !strings.HasPrefix(name, "Access-Control-") &&
		!strings.HasPrefix(name, ":") && !request.IsIdentityField(name)
}
