// Large downloads and uploads.

package handler

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// A download that outlives the session's idle time is use of the session: it
// is not cut off, and the session lives on.
func TestTransferOutlivesIdleTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, nil) // idle: an hour
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
			t.Errorf("%d %q", w.Code, w.Body)
		}
		time.Sleep(50 * time.Minute)
		s.chain.serve = func(http.ResponseWriter, *http.Request) error { return nil }
		if w := s.do(t, "/api/next", "Cookie", ticket); w.Code != http.StatusOK {
			t.Errorf("after it: %d %s", w.Code, w.Body)
		}
		time.Sleep(61 * time.Minute)
		if w := s.do(t, "/api/next", "Cookie", ticket); w.Code != http.StatusUnauthorized {
			t.Errorf("after an hour of nothing: %d", w.Code)
		}
	})
}

// copied is a writer that counts what reaches its ReadFrom.
type copied struct {
	*httptest.ResponseRecorder
	n int64
}

func (c *copied) ReadFrom(from io.Reader) (int64, error) {
	n, err := io.Copy(c.ResponseRecorder, from)
	c.n += n
	return n, err
}

// What is copied reaches the ReadFrom of the writer below, unless the answer is mute.
func TestReadFromPassesThrough(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	for _, mute := range []bool{false, true} {
		below := &copied{ResponseRecorder: httptest.NewRecorder()}
		w := &answerWriter{ResponseWriter: below, handler: s.handler, status: http.StatusOK, mute: mute}
		n, err := io.Copy(w, struct{ io.Reader }{bytes.NewReader(make([]byte, 1000))})
		if want := int64(1000); n != want || err != nil || (below.n == want) == mute {
			t.Errorf("mute %v: %d copied, %d below, %v", mute, n, below.n, err)
		}
	}
}

// An upload that is asked about first and refused closes its connection: to
// go on it would have to be read.
func TestRefusedUploadClosesItsConnection(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	for _, expect := range []string{"", "100-continue"} {
		w := s.do(t, "PUT /api/upload", "Expect", expect)
		if closes := w.Header().Get("Connection") == "close"; w.Code != http.StatusUnauthorized || closes != (expect != "") {
			t.Errorf("Expect %q: %d, closes: %v", expect, w.Code, closes)
		}
	}
}
