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

// A panic in a call to the application is an error. It does not end the process.
func TestPanicInACall(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	s.chain.serve = func(http.ResponseWriter, *http.Request) error { panic(http.ErrAbortHandler) }
	call := application.NewCaller(s.chain, httptest.NewRequest(http.MethodGet, "/", nil), s.handler.config.Origin)
	if _, err := call(t.Context(), application.Call{Method: "GET", Target: "/x"}); !errors.Is(err, application.ErrAborted) {
		t.Errorf("got %v, want %v", err, application.ErrAborted)
	}
}

// A call carries the user's address and browser, but none of the user's credentials.
func TestCallCarriesTheVisitorNotTheirCredentials(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	client := httptest.NewRequest(http.MethodPost, "https://romm.example.com/x", strings.NewReader("body"))
	for _, name := range []string{
		"Cookie", "Authorization", "Connection", "Upgrade", "Range", "If-None-Match", "Accept-Encoding", "Content-Type", "Content-Length",
		"Remote-User", "Remote_User", "Origin", "Referer", "Te", "Transfer-Encoding", "Sec-Fetch-Mode", "Sec-Websocket-Key",
	} {
		client.Header[name] = []string{"x"}
	}
	client.Header.Set("User-Agent", "Firefox")
	client.Header.Set("X-Forwarded-For", "198.51.100.7")
	client.RemoteAddr = "192.0.2.9:1"
	s.chain.serve = func(w http.ResponseWriter, r *http.Request) error {
		if len(r.Header) != 3 || r.UserAgent() != "Firefox" || r.Header.Get("Cookie") != "a=b" || r.Header.Get("X-Forwarded-For") == "" {
			t.Errorf("got the header %v, want User-Agent, X-Forwarded-For and the call's cookie", r.Header)
		}
		if r.Host != "romm.example.com" || r.RemoteAddr != client.RemoteAddr || r.TLS != client.TLS || r.RequestURI != "/y?z" {
			t.Errorf("got the request %+v, want the call's target and the user's address", r)
		}
		w.WriteHeader(http.StatusTeapot)
		_, err := w.Write(make([]byte, application.AnswerLimit+1))
		return err
	}
	answer, err := application.NewCaller(s.chain, client, s.handler.config.Origin)(t.Context(), application.Call{Method: "GET", Target: "/y?z", Cookie: "a=b"})
	if err != nil || answer.Status != http.StatusTeapot || len(answer.Body) != application.AnswerLimit {
		t.Errorf("got %d with %d bytes, %v; want 418 with %d", answer.Status, len(answer.Body), err, application.AnswerLimit)
	}
}

// A call with an answer that other users need, too, carries nothing from the user who
// causes it: a header field of 17 KiB would make RomM answer 400 for all of them.
func TestCallForOthersTooCarriesNoHeader(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	client := httptest.NewRequest(http.MethodGet, "/x", nil)
	client.Header.Set("X-Junk", strings.Repeat("a", 17<<10))
	client.Header.Set("User-Agent", "x")
	_, err := application.NewCaller(s.chain, client, s.handler.config.Origin)(t.Context(), application.Call{Method: "GET", Target: "/y", Header: http.Header{"Accept": {"x"}}, Bare: true})
	if err != nil || len(s.seen) != 1 || len(s.seen[0].Header) != 1 || s.seen[0].Header.Get("Accept") != "x" {
		t.Errorf("got the requests %v, %v, want one with the Accept header alone", s.seen, err)
	}
}

// A user who leaves does not leave a sign-in half done.
func TestCallOutlivesItsVisitor(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s.chain.serve = func(_ http.ResponseWriter, r *http.Request) error { return r.Context().Err() }
	if _, err := application.NewCaller(s.chain, httptest.NewRequest(http.MethodGet, "/", nil), s.handler.config.Origin)(ctx, application.Call{Method: "GET", Target: "/x"}); err != nil {
		t.Errorf("the call ended with %v, want it to outlive its request", err)
	}
}
