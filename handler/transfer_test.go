// Large downloads and uploads.

package handler

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// A download that takes longer than the idle time is use of the session. It is not cut
// off, and the session continues.
func TestTransferOutlivesIdleTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, nil) // idle: an hour
		ctx, stop := context.WithCancel(t.Context())
		go s.handler.config.Gate.Sessions.Run(ctx)
		defer synctest.Wait()
		defer stop()
		ticket := s.ticket(t, alice)
		s.chain.serve = func(w http.ResponseWriter, _ *http.Request) error {
			for range 5 {
				time.Sleep(40 * time.Minute)
				if _, err := w.Write([]byte("part")); err != nil {
					return err
				}
			}
			return nil
		}
		if w := s.do(t, "/download", "Cookie", ticket); w.Body.String() != strings.Repeat("part", 5) {
			t.Errorf("download: got %d %q, want all five parts", w.Code, w.Body)
		}
		time.Sleep(50 * time.Minute)
		s.chain.serve = func(http.ResponseWriter, *http.Request) error { return nil }
		if w := s.do(t, "/api/next", "Cookie", ticket); w.Code != http.StatusOK {
			t.Errorf("50 minutes after the download: got %d %s, want 200", w.Code, w.Body)
		}
		time.Sleep(61 * time.Minute)
		if w := s.do(t, "/api/next", "Cookie", ticket); w.Code != http.StatusUnauthorized {
			t.Errorf("after another 61 minutes: got %d, want 401", w.Code)
		}
	})
}

// copied is a response writer that counts the bytes that reach its ReadFrom.
type copied struct {
	*httptest.ResponseRecorder
	n int64
}

func (c *copied) ReadFrom(from io.Reader) (int64, error) {
	n, err := io.Copy(c.ResponseRecorder, from)
	c.n += n
	return n, err
}

// Copied content reaches the ReadFrom of the underlying writer, unless the response
// is muted.
func TestReadFromPassesThrough(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	for _, muted := range []mute{loud, away} {
		below := &copied{ResponseRecorder: httptest.NewRecorder()}
		w := &answerWriter{ResponseWriter: below, in: &incoming{handler: s.handler}, status: http.StatusOK, mute: muted}
		n, err := io.Copy(w, struct{ io.Reader }{bytes.NewReader(make([]byte, 1000))})
		if want := int64(1000); n != want || err != nil || (below.n == want) != (muted == loud) {
			t.Errorf("mute %v: got %d bytes copied, %d in ReadFrom, %v; want %d copied", muted, n, below.n, err, want)
		}
	}
}

// The client asks with Expect before it uploads. A refusal closes the connection,
// which could otherwise continue only after the body was read.
func TestRefusedUploadClosesItsConnection(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	for _, expect := range []string{"", "100-continue"} {
		w := s.do(t, "PUT /api/upload", "Expect", expect)
		if closes := w.Header().Get("Connection") == "close"; w.Code != http.StatusUnauthorized || closes != (expect != "") {
			t.Errorf("Expect %q: got %d, connection closed: %v; want 401, closed: %v", expect, w.Code, closes, expect != "")
		}
	}
}
