// Telling an application that is down from a client's broken request.

package handler

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
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
func TestBrokenBodyIsNotAnApplicationFailure(t *testing.T) {
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
					t.Error("the chain's error is lost")
				}
				if s.app.failed != row.failed || (s.handler.config.Gate.failedAt.Load() != 0) != (row.failed > 0) {
					t.Errorf("taken for failed %d times", s.app.failed)
				}
			})
		}
	}
}
