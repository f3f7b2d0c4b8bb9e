// Requests end with their session, by their context.

package handler

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"sync"
	"testing"
	"time"
)

// The end of a session, its requests, and the contexts made of them, in any order.
func TestStreamEnds(t *testing.T) {
	t.Parallel()
	for range 200 {
		s := &stream{Context: t.Context()}
		var all sync.WaitGroup
		all.Go(s.Abort)
		for range 3 {
			all.Go(func() {
				ctx, cancel := context.WithCancel(s)
				defer cancel()
				<-ctx.Done()
				if !errors.Is(s.Err(), context.Canceled) {
					t.Errorf("Err = %v, want canceled", s.Err())
				}
			})
		}
		all.Wait()
		s.over()
	}
}

// Contexts below a stream cost no goroutine each.
func TestStreamCostsNoGoroutine(t *testing.T) {
	s := &stream{Context: t.Context()}
	before := runtime.NumGoroutine()
	for range 100 {
		ctx, cancel := context.WithCancel(s)
		defer cancel()
		ctx, cancel = context.WithTimeout(ctx, time.Hour)
		defer cancel()
		_ = ctx.Done()
	}
	if n := runtime.NumGoroutine() - before; n > 50 {
		t.Errorf("%d goroutines for 100 contexts, want none", n)
	}
}

// A file that the chain copies itself stops with the session, though nothing looks
// at the context while it does, and what was sent does not look like the whole.
func TestCopyEndsWithItsSession(t *testing.T) {
	t.Parallel()
	for name, serve := range map[string]func(io.Writer, io.Reader) (int64, error){
		"written": func(w io.Writer, r io.Reader) (int64, error) { return io.Copy(struct{ io.Writer }{w}, r) },
		"copied":  func(w io.Writer, r io.Reader) (int64, error) { return io.Copy(w, r) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, nil)
			ticket := s.ticket(t, alice)
			var sent int64
			s.chain.serve = func(w http.ResponseWriter, _ *http.Request) error {
				sent, _ = serve(w, &endingReader{bytes.NewReader(make([]byte, 64<<20)), func() { _, _ = s.handler.config.Gate.Sessions.EndAll(t.Context(), "x") }})
				return nil
			}
			r := httptest.NewRequest(http.MethodGet, "https://romm.example.com/download", nil)
			r.TLS.HandshakeComplete = true
			r.Header.Set("Cookie", ticket)
			defer func() {
				if err, _ := recover().(error); !errors.Is(err, http.ErrAbortHandler) || sent > copyPart {
					t.Errorf("got the panic %v after %d bytes, want the connection cut within %d", err, sent, copyPart)
				}
			}()
			_ = s.handler.ServeHTTP(httptest.NewRecorder(), r, s.chain)
		})
	}
}

// endingReader calls end at its first read.
type endingReader struct {
	*bytes.Reader
	end func()
}

func (r *endingReader) Read(p []byte) (int, error) {
	if r.end != nil {
		r.end()
		r.end = nil
	}
	return r.Reader.Read(p)
}

// WriteTo hides that of bytes.Reader, which a file does not have either.
func (r *endingReader) WriteTo(w io.Writer) (int64, error) {
	return io.Copy(w, struct{ io.Reader }{r})
}
