// One request with its response, as it passes through RomM's middleware.

package romm

import (
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
)

// exchange is one request on its way through RomM, with its response.
type exchange struct {
	*Server

	r         *http.Request
	reply     *reply
	params    map[string]string
	session   session
	user      *User
	scopes    []string
	deviceID  string
	noCSRF    bool
	issueCSRF bool
}

// endpoint responds to a request, or returns a detail to refuse it. Any other
// error is an unhandled exception.
type endpoint func(*exchange) error

// detail is an HTTPException. Its response still passes through RomM's middleware.
type detail struct {
	status int
	text   string
	header string
}

func (d detail) Error() string { return d.text }

var errUnhandled = errors.New("unhandled exception")

// reply is a response writer that adds the cookies of RomM's middleware.
type reply struct {
	http.ResponseWriter

	x       *exchange
	started bool
}

// WriteHeader adds the cookies and begins the response.
func (p *reply) WriteHeader(status int) {
	if !p.started {
		p.started = true
		p.x.writeCSRF()
		p.x.writeSession()
	}
	p.ResponseWriter.WriteHeader(status)
}

// Write begins the response if it has not begun.
func (p *reply) Write(b []byte) (int, error) {
	if !p.started {
		p.WriteHeader(http.StatusOK)
	}
	return p.ResponseWriter.Write(b)
}

// Unwrap is for http.ResponseController.
func (p *reply) Unwrap() http.ResponseWriter { return p.ResponseWriter }

func (x *exchange) answer(err error) {
	var refusal detail
	switch {
	case err == nil:
	case errors.As(err, &refusal):
		if refusal.header != "" {
			x.reply.Header().Set("WWW-Authenticate", refusal.header)
		}
		_ = x.json(refusal.status, map[string]string{"detail": refusal.text})
	case !x.reply.started:
		crash(x.reply.ResponseWriter)
	}
}

func (x *exchange) json(status int, body any) error {
	encoded, err := json.Marshal(body)
	if err != nil {
		return err
	}
	x.reply.Header().Set("Content-Type", "application/json")
	x.reply.WriteHeader(status)
	_, _ = x.reply.Write(encoded)
	return nil
}

func (x *exchange) text(status int, body string) {
	x.reply.Header().Set("Content-Type", "text/plain; charset=utf-8")
	x.reply.WriteHeader(status)
	_, _ = io.WriteString(x.reply, body) //nolint:gosec // text/plain
}

func (x *exchange) redirect(status int, location string) error {
	x.reply.Header().Set("Location", location)
	x.reply.WriteHeader(status)
	return nil
}

// decode reads a JSON body.
func (x *exchange) decode(into any) error {
	err := json.NewDecoder(http.MaxBytesReader(x.reply, x.r.Body, 1<<20)).Decode(into)
	if err != nil {
		return detail{status: http.StatusUnprocessableEntity, text: "JSON decode error"}
	}
	return nil
}

func (x *exchange) cookie(name string) (string, bool) {
	value, found := "", false
	for _, c := range x.r.CookiesNamed(name) {
		value, found = c.Value, true
	}
	return value, found
}

// clientHost returns the left-most X-Forwarded-For entry, which RomM trusts from
// every client.
func (x *exchange) clientHost() string {
	first, _, _ := strings.Cut(x.r.Header.Get("X-Forwarded-For"), ",")
	if first = strings.TrimSpace(first); first != "" {
		return first
	}
	host, _, err := net.SplitHostPort(x.r.RemoteAddr)
	if err != nil {
		return x.r.RemoteAddr
	}
	return host
}

// scheme returns https if X-Forwarded-Proto is exactly that. Before 4.0 nginx
// overwrites it.
func (x *exchange) scheme() string {
	if x.version.atLeast(4, 0, 0) && x.r.Header.Get("X-Forwarded-Proto") == "https" {
		return "https"
	}
	return "http"
}

// cors allows the origins of the options, with credentials, and responds to preflights.
func (x *exchange) cors() (answered bool) {
	origin := x.r.Header.Get("Origin")
	if origin == "" {
		return false
	}
	header := x.reply.Header()
	header.Set("Access-Control-Allow-Credentials", "true")
	header.Add("Vary", "Origin")
	preflight := x.r.Method == http.MethodOptions && x.r.Header.Get("Access-Control-Request-Method") != ""
	if x.version.corsConfigurable() && x.options.CORSAllowedOrigins != nil && !slices.Contains(x.options.CORSAllowedOrigins, origin) {
		if preflight {
			x.text(http.StatusBadRequest, "Disallowed CORS origin")
		}
		return preflight
	}
	header.Set("Access-Control-Allow-Origin", origin)
	if !preflight {
		return false
	}
	header.Set("Access-Control-Allow-Methods", "DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT")
	header.Set("Access-Control-Max-Age", "600")
	if asked := x.r.Header.Get("Access-Control-Request-Headers"); asked != "" {
		header.Set("Access-Control-Allow-Headers", asked)
	}
	x.text(http.StatusOK, "OK")
	return true
}
