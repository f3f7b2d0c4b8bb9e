// Downloads, uploads and streams: nothing is buffered, and the end of a session aborts them.

package tests

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/tests/romm"
)

// protocols returns HTTP clients for a signed-in browser, one for each version
// of HTTP.
func (b *browser) protocols() map[string]*http.Client {
	b.t.Helper()
	http1 := transport.Clone()
	b.t.Cleanup(http1.CloseIdleConnections)
	http1.ForceAttemptHTTP2 = false
	http1.TLSClientConfig.NextProtos = []string{"http/1.1"}
	http1.TLSNextProto = map[string]func(string, *tls.Conn) http.RoundTripper{}
	return map[string]*http.Client{
		"HTTP/1.1": {Transport: http1, Jar: b.client.Jar},
		"HTTP/2.0": {Transport: transport, Jar: b.client.Jar},
	}
}

// streaming is an answer that RomM may still be writing.
type streaming struct {
	*bufio.Reader
	head *http.Response
}

// stream sends a request and returns the answer before it is complete.
func (b *browser) stream(client *http.Client, target string) streaming {
	b.t.Helper()
	r, err := http.NewRequestWithContext(b.t.Context(), http.MethodGet, public+target, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	answer, err := client.Do(r)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { _ = answer.Body.Close() })
	return streaming{bufio.NewReader(answer.Body), answer}
}

// frugal runs do, and fails the test if the heap of this process, which holds
// the client and both servers, grows by more than 48 MiB during it.
func frugal(t *testing.T, do func()) {
	t.Helper()
	var before, now runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	done := make(chan struct{})
	go func() {
		defer close(done)
		do()
	}()
	peak := before.HeapInuse
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for {
		select {
		case <-done:
			if grown := int64(peak) - int64(before.HeapInuse); grown > 48<<20 {
				t.Errorf("the heap grew by %d MiB, want at most 48", grown>>20)
			}
			return
		case <-ticker.C:
			runtime.ReadMemStats(&now)
			peak = max(peak, now.HeapInuse)
		}
	}
}

// A large download is streamed, as a whole and in ranges.
func TestBigDownload(t *testing.T) {
	const size = 256 << 20
	s := start(t, options{directive: rolesByMail, romm: func(o *romm.Options) { o.ContentSize = 1 << 40 }})
	s.romm.Fault("/api/roms/download", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", fmt.Sprint(size))
		_, _ = io.CopyN(w, zeros{}, size)
	})
	b := s.as("alice")
	unhurried := *b.client
	unhurried.Timeout = 0 // the race detector takes a minute for it on a busy machine
	frugal(t, func() {
		answer := b.stream(&unhurried, "/api/roms/download")
		if n, err := io.Copy(io.Discard, answer); n != size || err != nil {
			t.Errorf("downloaded %d bytes, want %d; error: %v", n, size, err)
		}
	})
	// The last bytes of a terabyte.
	answer := b.do("/api/roms/1/content/demo.nes", "Range", "bytes=-1000")
	want := make([]byte, 1000)
	content := romm.Content(1 << 40)
	_, _ = content.Seek(-1000, io.SeekEnd)
	_, _ = io.ReadFull(content, want)
	if answer.StatusCode != http.StatusPartialContent || answer.body != string(want) ||
		answer.Header.Get("Content-Range") != "bytes 1099511626776-1099511627775/1099511627776" {
		t.Errorf("the last bytes of the file are answered %d, want 206 with exactly these; header: %v", answer.StatusCode, answer.Header)
	}
}

// zeros is an endless file.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// HEAD and conditional requests are answered without content, and keep their
// header fields.
func TestConditionalDownload(t *testing.T) {
	s := start(t, options{directive: rolesByMail})
	b := s.as("alice")
	const target = "/api/roms/1/content/demo.nes"
	head := b.do("HEAD " + target)
	if head.StatusCode != http.StatusOK || head.ContentLength != 1<<20 || head.Header.Get("Accept-Ranges") != "bytes" || head.Header.Get("ETag") == "" {
		t.Errorf("HEAD answered %d with a length of %d, want 200 and 1 MiB with Accept-Ranges and ETag; header: %v", head.StatusCode, head.ContentLength, head.Header)
	}
	if answer := b.do(target, "Range", "bytes=0-9", "If-Range", `"another"`); answer.StatusCode != http.StatusOK {
		t.Errorf("a range of another version of the file answered %d, want 200 with the whole file", answer.StatusCode)
	}
	if answer := b.do(target, "If-None-Match", head.Header.Get("ETag")); answer.StatusCode != http.StatusNotModified || answer.body != "" {
		t.Errorf("a current copy is answered %d with %d bytes, want 304 without content", answer.StatusCode, len(answer.body))
	}
}

// An upload of 64 MiB is not buffered on the way: RomM gets its beginning
// before the client has sent its end.
func TestUploadIsNotBuffered(t *testing.T) {
	const chunk = 64 << 20
	s := start(t, options{directive: rolesByMail})
	b := s.as("alice")
	fields := b.csrf()
	frugal(t, func() {
		answer := b.send("PUT /api/roms/upload/1", io.LimitReader(zeros{}, chunk), fields...)
		if answer.StatusCode != http.StatusOK || s.romm.UploadedBytes() != chunk {
			t.Errorf("the upload answered %d, want 200 and the whole chunk in RomM: %s", answer.StatusCode, answer.body)
		}
	})
	arrived := make(chan struct{})
	s.romm.Fault("/api/roms/upload/2", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.ReadFull(r.Body, make([]byte, 1000))
		close(arrived)
		_, _ = io.Copy(w, r.Body)
	})
	body, rest := io.Pipe()
	go func() {
		_, _ = rest.Write(make([]byte, 1000))
		<-arrived
		_, _ = rest.Write([]byte("the rest"))
		_ = rest.Close()
	}()
	if answer := b.send("PUT /api/roms/upload/2", body, fields...); answer.body != "the rest" {
		t.Errorf("the upload answered %d %q, want RomM's answer to the rest", answer.StatusCode, answer.body)
	}
}

// A client that sends Expect: 100-continue is refused before it uploads, if it
// is not signed in.
func TestExpectContinue(t *testing.T) {
	s := start(t, options{directive: rolesByMail})
	b := s.as("alice")
	fields := b.csrf()
	ask := func(lines ...string) (*bufio.Reader, io.Writer) {
		conn := dialTLS(t, "http/1.1")
		_, err := io.WriteString(conn, "PUT /api/roms/upload/1 HTTP/1.1\r\nHost: "+publicHost+"\r\nContent-Length: 4\r\nExpect: 100-continue\r\n"+
			strings.Join(append(lines, ""), "\r\n")+"\r\n")
		if err != nil {
			t.Fatal(err)
		}
		return bufio.NewReader(conn), conn
	}
	answer, _ := ask()
	if line, err := answer.ReadString('\n'); err != nil || !strings.HasPrefix(line, "HTTP/1.1 401 ") {
		t.Errorf("an upload without a session is answered %q, want 401; error: %v", line, err)
	}
	answer, conn := ask(b.ticketCookie()+"; romm_csrftoken="+fields[1], "X-Csrftoken: "+fields[1], "Origin: "+public)
	if line, err := answer.ReadString('\n'); err != nil || !strings.HasPrefix(line, "HTTP/1.1 100 ") {
		t.Fatalf("an upload as alice is answered %q, want 100; error: %v", line, err)
	}
	for line := ""; line != "\r\n"; { // RomM's own 100 has header fields, and may arrive first
		var err error
		if line, err = answer.ReadString('\n'); err != nil {
			t.Fatal(err)
		}
	}
	_, _ = io.WriteString(conn, "game")
	final := &http.Response{}
	for final.StatusCode < http.StatusOK { // the other 100 arrives as well
		var err error
		if final, err = http.ReadResponse(answer, nil); err != nil {
			t.Fatal(err)
		}
		_ = final.Body.Close()
	}
	if final.StatusCode != http.StatusOK || s.romm.UploadedBytes() != 4 {
		t.Errorf("the upload answered %d and RomM got %d bytes, want 200 and 4", final.StatusCode, s.romm.UploadedBytes())
	}
}
