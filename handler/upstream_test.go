// Telling an application that is down from a client's broken request.

package handler

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
)

// brokenBody is a request body that fails midway, as malformed chunks do.
type brokenBody struct{}

func (brokenBody) Read([]byte) (int, error) {
	return 0, errors.New("http: invalid byte in chunk length")
}
func (brokenBody) Close() error { return nil }

// An attacker sends a body that breaks off. For reverse_proxy this looks like an
// application that is down. The gate tells the two apart: otherwise it would confirm
// the session before every write of every user.
func TestBrokenBodyIsNotAnApplicationFailure(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		method string
		body   io.ReadCloser
		failed int
	}{
		"broken body":   {http.MethodPost, brokenBody{}, 0},
		"no body":       {http.MethodGet, http.NoBody, 1},
		"complete body": {http.MethodPost, io.NopCloser(http.NoBody), 1},
	} {
		for path, signedIn := range map[string]bool{"/open": false, "/api/x": true} {
			t.Run(name+" "+path, func(t *testing.T) {
				t.Parallel()
				s := newSite(t, nil)
				s.chain.serve = func(_ http.ResponseWriter, r *http.Request) error {
					if _, err := io.Copy(io.Discard, r.Body); err != nil {
						return err
					}
					return errors.New("dial tcp: connection refused")
				}
				r := httptest.NewRequest(row.method, "https://romm.example.com"+path, row.body)
				r.TLS.HandshakeComplete = true
				if signedIn {
					r.Header.Set("Cookie", s.ticket(t, alice))
				}
				doubts, w := s.handler.config.Gate.doubts.Load(), httptest.NewRecorder()
				answered := signedIn && row.failed > 0
				if err := s.handler.ServeHTTP(w, r, s.chain); (err == nil) != answered || answered && w.Code != http.StatusBadGateway {
					t.Errorf("ServeHTTP returned %v and answered %d, want the chain's error, or 502 for a user of an application that is down", err, w.Code)
				}
				if s.app.failed != row.failed || (s.handler.config.Gate.doubts.Load() > doubts) != (row.failed > 0) {
					t.Errorf("Failed was called %d times, want %d", s.app.failed, row.failed)
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
	s := newSite(t, nil)
	bob := alice
	bob.Subject, bob.Username = "2", "bob"
	tickets := []string{s.ticket(t, alice), s.ticket(t, bob)}
	s.forgetSessions()
	for i, ticket := range tickets {
		if w := s.do(t, "/api/x", "Cookie", ticket); w.Code != http.StatusOK || s.app.signIns != 0 {
			t.Fatalf("user %d before the loss: status %d after %d sign-ins, want 200 after none", i, w.Code, s.app.signIns)
		}
	}
	delete(s.app.alive, "app-0")
	if w := s.do(t, "/api/x", "Cookie", tickets[0]); w.Body.String() != "for app-i" {
		t.Fatalf("alice's read: got %d %q, want the response for app-i", w.Code, w.Body)
	}
	if w := s.do(t, "POST /api/saves", "Cookie", tickets[1]); w.Code != http.StatusOK || w.Body.String() != "for app-ii" {
		t.Errorf("bob's write: got %d %q, want the response for app-ii", w.Code, w.Body)
	}
}
