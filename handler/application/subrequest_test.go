// The gate's own calls: what they carry, and what they survive.

package application

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/romm-oidc/caddy-romm-oidc/handler/request"
)

var publicOrigin = request.Origin{Scheme: "https", Host: "romm.example.com"}

// fakeChain is a chain that ends in serve.
type fakeChain struct {
	serve func(http.ResponseWriter, *http.Request) error
	seen  []*http.Request
}

// newChain returns a chain that answers 200 and remembers what it saw.
func newChain() *fakeChain {
	c := &fakeChain{}
	c.serve = func(w http.ResponseWriter, r *http.Request) error {
		c.seen = append(c.seen, r)
		w.WriteHeader(http.StatusOK)
		return nil
	}
	return c
}

func (c *fakeChain) Serve(w http.ResponseWriter, r *http.Request) error            { return c.serve(w, r) }
func (c *fakeChain) Fresh(_ http.ResponseWriter, r, _ *http.Request) *http.Request { return r }
func (c *fakeChain) Unreachable(error) bool                                        { return true }
func (c *fakeChain) HandlesErrors() bool                                           { return false }
func (c *fakeChain) Keep() Chain                                                   { return c }
func (c *fakeChain) Identify(func(string) (any, bool))                             {}
func (c *fakeChain) OriginalURI() string                                           { return "/" }
func (c *fakeChain) ClientIP() string                                              { return "192.0.2.1" }
func (c *fakeChain) TrustedProxy() bool                                            { return false }

// A panic in a call is an error, not the end of the process.
func TestPanicInACall(t *testing.T) {
	t.Parallel()
	c := newChain()
	c.serve = func(http.ResponseWriter, *http.Request) error { panic(http.ErrAbortHandler) }
	call := NewCaller(c, httptest.NewRequest(http.MethodGet, "/", nil), publicOrigin)
	if _, err := call(t.Context(), Call{Method: "GET", Target: "/x"}); !errors.Is(err, errAborted) {
		t.Errorf("a call through a chain that panics: error %v, want %v", err, errAborted)
	}
}

// A call carries the visitor's address and browser, but none of their credentials.
func TestCallCarriesTheVisitorNotTheirCredentials(t *testing.T) {
	t.Parallel()
	c := newChain()
	visitor := httptest.NewRequest(http.MethodPost, "https://romm.example.com/x", strings.NewReader("body"))
	for _, name := range []string{
		"Cookie", "Authorization", "Connection", "Upgrade", "Range", "If-None-Match", "Accept-Encoding", "Content-Type", "Content-Length",
		"Remote-User", "Remote_User", "Origin", "Referer", "Te", "Transfer-Encoding", "Sec-Fetch-Mode", "Sec-Websocket-Key",
	} {
		visitor.Header[name] = []string{"x"}
	}
	visitor.Header.Set("User-Agent", "Firefox")
	visitor.Header.Set("X-Forwarded-For", "198.51.100.7")
	visitor.RemoteAddr = "192.0.2.9:1"
	c.serve = func(w http.ResponseWriter, r *http.Request) error {
		if len(r.Header) != 3 || r.UserAgent() != "Firefox" || r.Header.Get("Cookie") != "a=b" || r.Header.Get("X-Forwarded-For") == "" {
			t.Errorf("the call has the header %v, want Cookie, User-Agent and X-Forwarded-For only", r.Header)
		}
		if r.Host != "romm.example.com" || r.RemoteAddr != visitor.RemoteAddr || r.TLS != visitor.TLS || r.RequestURI != "/y?z" {
			t.Errorf("the call is %+v, want the public host, the visitor's address and the call's target", r)
		}
		w.WriteHeader(http.StatusTeapot)
		_, err := w.Write(make([]byte, answerLimit+1))
		return err
	}
	answer, err := NewCaller(c, visitor, publicOrigin)(t.Context(), Call{Method: "GET", Target: "/y?z", Cookie: "a=b"})
	if err != nil || answer.Status != http.StatusTeapot || len(answer.Body) != answerLimit {
		t.Errorf("got %+v and error %v, want status 418 and a body cut at %d bytes", answer, err, answerLimit)
	}
}

// A call for several visitors carries no header of the one who caused it: a
// header line of 17 KiB would make the application answer 400 to all of them.
func TestCallForOthersTooCarriesNoHeader(t *testing.T) {
	t.Parallel()
	c := newChain()
	visitor := httptest.NewRequest(http.MethodGet, "/x", nil)
	visitor.Header.Set("X-Junk", strings.Repeat("a", 17<<10))
	visitor.Header.Set("User-Agent", "x")
	_, err := NewCaller(c, visitor, publicOrigin)(t.Context(), Call{Method: "GET", Target: "/y", Header: http.Header{"Accept": {"x"}}, Bare: true})
	if err != nil || len(c.seen) != 1 || len(c.seen[0].Header) != 1 || c.seen[0].Header.Get("Accept") != "x" {
		t.Errorf("the chain saw %v with error %v, want one request with Accept only", c.seen, err)
	}
}

// A call continues when its visitor goes away: a closed tab must not leave a
// sign-in half done.
func TestCallOutlivesItsVisitor(t *testing.T) {
	t.Parallel()
	c := newChain()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	c.serve = func(_ http.ResponseWriter, r *http.Request) error { return r.Context().Err() }
	if _, err := NewCaller(c, httptest.NewRequest(http.MethodGet, "/", nil), publicOrigin)(ctx, Call{Method: "GET", Target: "/x"}); err != nil {
		t.Errorf("the call ended with its visitor: %v", err)
	}
}
