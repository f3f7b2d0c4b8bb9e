package handler

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
)

// brokenBody cannot be read to its end, as one whose chunks are malformed.
type brokenBody struct{}

func (brokenBody) Read([]byte) (int, error) {
	return 0, errors.New("http: invalid byte in chunk length")
}
func (brokenBody) Close() error { return nil }

// Anybody can send a body that breaks off. reverse_proxy cannot tell it from an
// application that is away; the gate does, or every write of everybody would
// ask first whether its session lives. Without a body it is the application.
func TestBrokenBodyIsNotTheApplications(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		method string
		body   io.ReadCloser
		failed int
	}{
		"a broken body": {http.MethodPost, brokenBody{}, 0},
		"no body":       {http.MethodGet, http.NoBody, 1},
		"a whole body":  {http.MethodPost, io.NopCloser(http.NoBody), 1},
	} {
		for path, signedIn := range map[string]bool{"/open": false, "/api/x": true} {
			t.Run(name+" "+path, func(t *testing.T) {
				t.Parallel()
				f := newFixture(t, nil)
				f.chain.serve = func(_ http.ResponseWriter, r *http.Request) error {
					if _, err := io.Copy(io.Discard, r.Body); err != nil {
						return err
					}
					return errors.New("dial tcp: connection refused")
				}
				r := httptest.NewRequest(row.method, "https://romm.example.com"+path, row.body)
				r.TLS.HandshakeComplete = true
				if signedIn {
					r.Header.Set("Cookie", f.ticket(t, alice))
				}
				if err := f.handler.ServeHTTP(httptest.NewRecorder(), r, f.chain); err == nil {
					t.Error("the chain's error is lost")
				}
				if f.app.failed != row.failed || (f.handler.config.Gate.failedAt.Load() != 0) != (row.failed > 0) {
					t.Errorf("taken for failed %d times", f.app.failed)
				}
			})
		}
	}
}

// The application lost the sessions that it had a moment ago. After the first
// response that says so, the write of another user waits for a new session
// instead of meeting the lost one.
func TestWriteAfterAnotherUserLostTheirSession(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	bob := alice
	bob.Subject, bob.Username = "2", "bob"
	tickets := []string{f.ticket(t, alice), f.ticket(t, bob)}
	var hits atomic.Int64
	f.forgetful(&hits)
	for i, ticket := range tickets {
		if w := f.do(t, "/api/x", "Cookie", ticket); w.Code != http.StatusOK || f.app.signIns != 0 {
			t.Fatalf("user %d before the loss: status %d after %d sign-ins, want 200 after none", i, w.Code, f.app.signIns)
		}
	}
	delete(f.app.alive, "app-0")
	if w := f.do(t, "/api/x", "Cookie", tickets[0]); w.Body.String() != "for app-i" {
		t.Fatalf("alice's read: got %d %q, want the response for app-i", w.Code, w.Body)
	}
	if w := f.do(t, "POST /api/saves", "Cookie", tickets[1]); w.Code != http.StatusOK || w.Body.String() != "for app-ii" {
		t.Errorf("bob's write: got %d %q, want the response for app-ii", w.Code, w.Body)
	}
}
