// Streams, long polls and uploads end with their session.

package tests

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// RomM streams an archive or its log: each part arrives as soon as RomM
// flushes it, and the end of the session aborts the response.
func TestStreams(t *testing.T) {
	for _, protocol := range []string{"HTTP/1.1", "HTTP/2.0"} {
		for name, kind := range map[string]string{"archive": "application/zip", "events": "text/event-stream"} {
			t.Run(protocol+"/"+name, func(t *testing.T) {
				s := start(t, options{directive: rolesByMail})
				read := make(chan struct{}, 1)
				var cut atomic.Bool
				s.romm.Fault("/api/roms/download", func(w http.ResponseWriter, r *http.Request) {
					w.Header().Set("Content-Type", kind)
					w.Header().Set("Trailer", "Checksum")
					control := http.NewResponseController(w)
					for i := range 3 {
						fmt.Fprintf(w, "part %d\n", i)
						if err := control.Flush(); err != nil {
							t.Error(err)
						}
						select { // send the next part once the client has read this one
						case <-read:
						case <-r.Context().Done():
							return
						}
					}
					w.Header().Set("Checksum", "0")
					if r.URL.Query().Has("endless") {
						<-r.Context().Done()
						cut.Store(true)
					}
				})
				b := s.as("alice")
				client := b.protocols()[protocol]
				answer := b.stream(client, "/api/roms/download")
				if answer.head.Proto != protocol {
					t.Fatalf("the answer came over %s, want %s", answer.head.Proto, protocol)
				}
				for i := range 3 {
					if line, err := answer.ReadString('\n'); line != fmt.Sprintf("part %d\n", i) {
						t.Fatalf("the archive's next line is %q, want part %d; error: %v", line, i, err)
					}
					read <- struct{}{}
				}
				if _, err := answer.ReadByte(); !errors.Is(err, io.EOF) || answer.head.Trailer.Get("Checksum") != "0" {
					t.Errorf("the answer ended with the error %v and the trailer %v, want EOF and Checksum: 0", err, answer.head.Trailer)
				}

				answer = b.stream(client, "/api/roms/download?endless")
				for range 3 {
					_, _ = answer.ReadString('\n')
					read <- struct{}{}
				}
				b.fetch("POST /api/logout", "Origin", public)
				if rest, err := io.ReadAll(answer); err == nil {
					t.Errorf("the answer came to a proper end after the sign-out, want it cut off: %q", rest)
				}
				eventually(t, cut.Load)
			})
		}
	}
}

// A pending long poll ends with its session, over each version of HTTP.
func TestLongPollEndsWithItsSession(t *testing.T) {
	for _, protocol := range []string{"HTTP/1.1", "HTTP/2.0"} {
		t.Run(protocol, func(t *testing.T) {
			s := start(t, options{directive: rolesByMail})
			b := s.as("alice")
			waiting, cut := make(chan struct{}), make(chan struct{})
			s.romm.Fault("/ws/socket.io", func(_ http.ResponseWriter, r *http.Request) {
				close(waiting)
				<-r.Context().Done()
				close(cut)
			})
			client := b.protocols()[protocol]
			ended := make(chan error, 1)
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, public+"/ws/socket.io/?EIO=4&transport=polling", nil)
			if err != nil {
				t.Fatal(err)
			}
			go func() {
				answer, err := client.Do(r)
				if err == nil {
					_ = answer.Body.Close()
					if answer.StatusCode == http.StatusOK {
						err = errors.New("it was answered")
					}
				}
				ended <- err
			}()
			select {
			case <-waiting:
			case err := <-ended:
				t.Fatal(err)
			}
			b.fetch("POST /api/logout", "Origin", public)
			select {
			case <-cut:
			case <-time.After(5 * time.Second):
				t.Error("the poll at RomM is still open 5 s after the sign-out")
			}
			if err := <-ended; err != nil && strings.Contains(err.Error(), "it was answered") {
				t.Error(err)
			}
		})
	}
}

// An upload in flight ends with its session.
func TestUploadEndsWithItsSession(t *testing.T) {
	s := start(t, options{directive: rolesByMail})
	b := s.as("alice")
	arrived, cut := make(chan struct{}), make(chan error, 1)
	s.romm.Fault("/api/roms/upload/1", func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.ReadFull(r.Body, make([]byte, 1000))
		close(arrived)
		_, err := io.Copy(io.Discard, r.Body)
		cut <- err
	})
	body, rest := io.Pipe()
	t.Cleanup(func() { _ = rest.Close() })
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPut, public+"/api/roms/upload/1", body)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Origin", public)
	go func() {
		if answer, err := b.client.Do(r); err == nil {
			_ = answer.Body.Close()
		}
	}()
	go func() { _, _ = rest.Write(make([]byte, 1000)) }()
	<-arrived
	b.fetch("POST /api/logout", "Origin", public)
	select {
	case err := <-cut:
		if err == nil {
			t.Error("RomM read the upload to its end, want it cut off")
		}
	case <-time.After(5 * time.Second):
		t.Error("the upload to RomM is still open 5 s after the sign-out")
	}
}
