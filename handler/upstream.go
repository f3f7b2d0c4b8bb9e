// Passing requests to the application, and its responses back.

package handler

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/handler/application"
	"github.com/romm-oidc/caddy-romm-oidc/handler/request"
)

// answerWriter is the one writer through which all responses of the
// application reach the browser. It has the header rewritten once, buffers
// nothing, and gives access to the writer below it (Unwrap).
//
// A response that says that the application forgot the session, to a request
// that may be repeated, makes it mute: nothing of the response reaches the
// browser, and the gate repeats the request with a new session.
type answerWriter struct {
	http.ResponseWriter
	handler *Handler
	runtime *sessionRuntime // nil for an unstamped request
	repeats bool            // the request may be repeated
	mute    bool
	status  int           // 0 until the final header
	kept    *bytes.Buffer // the body of a request that can change accounts; nil: not kept

	cancel context.CancelFunc // of the request; nil where the deadlines below do that
	before before
}

// before is the state of a request and of its response's header before the
// chain ran, so that neither a mute response nor the chain's rewrites leave a
// trace. Few header fields are set that early.
type before struct {
	names  [4]string
	values [4][]string
	n      int

	target     url.URL
	requestURI string
}

func (b *before) remember(w http.ResponseWriter, r *http.Request) (complete bool) {
	for name, values := range w.Header() {
		if b.n == len(b.names) {
			return false
		}
		b.names[b.n], b.values[b.n] = name, values
		b.n++
	}
	b.target, b.requestURI = *r.URL, r.RequestURI
	return true
}

// restore puts header back.
func (b *before) restore(header http.Header) {
	clear(header)
	for i := range b.n {
		header[b.names[i]] = b.values[i]
	}
}

// request returns a copy of r with the URL that it had.
func (b *before) request(r *http.Request) *http.Request {
	again := r.Clone(r.Context())
	again.URL, again.RequestURI = &b.target, b.requestURI
	return again
}

// Unwrap lets http.ResponseController reach the server's own writer.
func (w *answerWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// WriteHeader passes the header on, rewritten; informational ones too.
func (w *answerWriter) WriteHeader(status int) {
	if w.status != 0 {
		return
	}
	liveness := w.handler.config.Application.Filter(w.Header(), w.runtime != nil)
	if status >= 200 || status == http.StatusSwitchingProtocols {
		w.status = status
	}
	if w.runtime != nil {
		switch liveness {
		case application.Alive:
			w.runtime.confirm(w.handler.now())
		case application.Forgotten:
			if w.runtime.confirmed(w.handler.now(), w.handler.config.Gate.failedAt.Load()) {
				// It lived a moment ago: the application may have lost all
				// its sessions, and no user's next write must meet that.
				w.handler.applicationFailed()
			}
			if w.repeats && w.status != 0 {
				w.mute = true
				w.before.restore(w.Header())
				return
			}
		case application.Unknown:
		}
		w.Header().Add("Content-Security-Policy", request.FrameAncestors) // beside the application's own
	}
	if status >= http.StatusBadGateway && status <= http.StatusGatewayTimeout {
		w.handler.applicationFailed()
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *answerWriter) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	if w.mute {
		return len(p), nil
	}
	if w.kept != nil {
		w.keep(p)
	}
	return w.ResponseWriter.Write(p)
}

// ReadFrom keeps the way open for sendfile.
func (w *answerWriter) ReadFrom(from io.Reader) (int64, error) {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	to := io.Writer(w.ResponseWriter)
	switch {
	case w.mute:
		to = io.Discard
	case w.kept != nil:
		from = io.TeeReader(from, keeper{w})
	}
	n, err := io.Copy(to, from)
	if err != nil {
		return n, fmt.Errorf("copying the answer: %w", err)
	}
	return n, nil
}

// FlushError implements what http.ResponseController looks for.
func (w *answerWriter) FlushError() error {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	if w.mute {
		return nil
	}
	return http.NewResponseController(w.ResponseWriter).Flush()
}

// Abort ends the transfer at once, in both directions: further reads and
// writes fail. It is called when the session ends.
func (w *answerWriter) Abort() {
	control := http.NewResponseController(w.ResponseWriter)
	past := time.Unix(1, 0)
	_ = control.SetReadDeadline(past)  // a writer that has no deadlines has no transfer to end either
	_ = control.SetWriteDeadline(past) // the same
	if w.cancel != nil {
		w.cancel()
	}
}

// requestBody notes that the client's body could not be read: then the client
// made the request fail, and not the application.
type requestBody struct {
	io.ReadCloser
	broken atomic.Bool
}

func (b *requestBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		b.broken.Store(true)
	}
	return n, err
}

// serve passes r to chain, and notes if the application could not be reached:
// reverse_proxy returns an error then, not a response.
func (h *Handler) serve(chain application.Chain, w http.ResponseWriter, r *http.Request) error {
	var body *requestBody
	if r.Body != nil && r.Body != http.NoBody {
		body = &requestBody{ReadCloser: r.Body}
		r.Body = body
	}
	err := chain.Serve(w, r)
	if err != nil && !errors.Is(err, context.Canceled) && (body == nil || !body.broken.Load()) {
		h.applicationFailed()
	}
	return err
}
