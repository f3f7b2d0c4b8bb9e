// The gate's own calls to the application, made during a user's request.

package handler

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/romm-oidc/caddy-romm-oidc/handler/application"
)

// A panic in a brokered call is an error, not the end of the process.
func TestPanicInACall(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	s.chain.serve = func(http.ResponseWriter, *http.Request) error { panic(http.ErrAbortHandler) }
	call := application.NewCaller(s.chain, httptest.NewRequest(http.MethodGet, "/", nil), s.handler.config.Origin)
	if _, err := call(t.Context(), application.Call{Method: "GET", Target: "/x"}); !errors.Is(err, application.ErrAborted) {
		t.Errorf("%v", err)
	}
}

// A call goes out in the visitor's name, but with none of their credentials.
func TestCallCarriesTheVisitorNotTheirCredentials(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
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
	s.chain.serve = func(w http.ResponseWriter, r *http.Request) error {
		if len(r.Header) != 3 || r.UserAgent() != "Firefox" || r.Header.Get("Cookie") != "a=b" || r.Header.Get("X-Forwarded-For") == "" {
			t.Errorf("%v", r.Header)
		}
		if r.Host != "romm.example.com" || r.RemoteAddr != visitor.RemoteAddr || r.TLS != visitor.TLS || r.RequestURI != "/y?z" {
			t.Errorf("%+v", r)
		}
		w.WriteHeader(http.StatusTeapot)
		_, err := w.Write(make([]byte, application.AnswerLimit+1))
		return err
	}
	answer, err := application.NewCaller(s.chain, visitor, s.handler.config.Origin)(t.Context(), application.Call{Method: "GET", Target: "/y?z", Cookie: "a=b"})
	if err != nil || answer.Status != http.StatusTeapot || len(answer.Body) != application.AnswerLimit {
		t.Errorf("%v", err)
	}
}

// A call whose answer serves others too carries nothing of whoever caused it:
// a header line of 17 KiB would be RomM's 400 for all of them.
func TestCallForOthersTooCarriesNoHeader(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	visitor := httptest.NewRequest(http.MethodGet, "/x", nil)
	visitor.Header.Set("X-Junk", strings.Repeat("a", 17<<10))
	visitor.Header.Set("User-Agent", "x")
	_, err := application.NewCaller(s.chain, visitor, s.handler.config.Origin)(t.Context(), application.Call{Method: "GET", Target: "/y", Header: http.Header{"Accept": {"x"}}, Bare: true})
	if err != nil || len(s.seen) != 1 || len(s.seen[0].Header) != 1 || s.seen[0].Header.Get("Accept") != "x" {
		t.Errorf("%v, %v", s.seen, err)
	}
}

// A visitor who goes away does not leave a sign-in half done.
func TestCallOutlivesItsVisitor(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s.chain.serve = func(_ http.ResponseWriter, r *http.Request) error { return r.Context().Err() }
	if _, err := application.NewCaller(s.chain, httptest.NewRequest(http.MethodGet, "/", nil), s.handler.config.Origin)(ctx, application.Call{Method: "GET", Target: "/x"}); err != nil {
		t.Error(err)
	}
}
