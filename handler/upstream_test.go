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
				if err := s.handler.ServeHTTP(httptest.NewRecorder(), r, s.chain); err == nil {
					t.Error("ServeHTTP returned nil, want the chain's error")
				}
				if s.app.failed != row.failed || (s.handler.config.Gate.failedAt.Load() != 0) != (row.failed > 0) {
					t.Errorf("Failed was called %d times, want %d", s.app.failed, row.failed)
				}
			})
		}
	}
}
