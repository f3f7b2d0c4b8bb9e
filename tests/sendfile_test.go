// A file that a handler behind the gate copies keeps the way to sendfile.

package tests

import (
	"bytes"
	"io"
	"net/http"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// A handler behind the gate can copy a file to the client through Caddy's
// response writers and ours with the server's own ReadFrom, which allows
// sendfile.
func TestSendfileReachesTheServer(t *testing.T) {
	s := start(t, options{directive: rolesByMail, site: "handle /copied {\n readfrom_probe\n}\nhandle {\n reverse_proxy %s {\n" + freshConnections + "\n}\n}"})
	b := s.as("alice")
	b.client = b.protocols()["HTTP/1.1"]
	answer := b.fetch("/copied")
	if answer.StatusCode != http.StatusOK || !strings.Contains(probed.Load().(string), "net/http.(*response).ReadFrom") {
		t.Errorf("the copy answered %d, want 200 with the server's ReadFrom in the stack:\n%s", answer.StatusCode, probed.Load())
	}
}

// probed is the call stack that read the probe's content.
var probed atomic.Value

func init() {
	caddy.RegisterModule(readFromProbe{})
	httpcaddyfile.RegisterHandlerDirective("readfrom_probe", func(h httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
		h.Next()
		return readFromProbe{}, nil
	})
	httpcaddyfile.RegisterDirectiveOrder("readfrom_probe", httpcaddyfile.Before, "reverse_proxy")
}

// readFromProbe copies content to the response and records which code reads
// it.
type readFromProbe struct{}

func (readFromProbe) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.readfrom_probe", New: func() caddy.Module { return new(readFromProbe) }}
}

func (readFromProbe) ServeHTTP(w http.ResponseWriter, _ *http.Request, _ caddyhttp.Handler) error {
	_, err := io.Copy(w, stackReader{bytes.NewReader(make([]byte, 1<<20))})
	return err
}

type stackReader struct{ content io.Reader }

func (r stackReader) Read(p []byte) (int, error) {
	probed.Store(string(debug.Stack()))
	return r.content.Read(p)
}
