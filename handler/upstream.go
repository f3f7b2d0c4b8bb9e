// Passing requests to the application, and its responses back.

package handler

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/romm-oidc/caddy-romm-oidc/handler/application"
	"github.com/romm-oidc/caddy-romm-oidc/handler/problem"
	"github.com/romm-oidc/caddy-romm-oidc/handler/request"
)

// mute says why nothing of a response reaches the browser.
type mute uint8

const (
	loud      mute = iota // it does
	forgotten             // the application forgot the session of the request
	away                  // something behind the gate says that the application does not answer
)

// answerWriter is the one writer through which all responses of the
// application reach the browser. It has the header rewritten once, buffers
// nothing, and gives access to the writer below it (Unwrap).
//
// Some responses are mute: nothing of them reaches the browser, and the gate
// repeats the request or answers in place of the application.
type answerWriter struct {
	http.ResponseWriter
	in      *incoming
	runtime *sessionRuntime // nil for an unstamped request
	mutes   bool            // the gate can answer in place of the application
	repeats bool            // the request may be repeated
	cut     bool            // the session ended before the whole response was written
	mute    mute
	status  int           // 0 until the final header
	kept    *bytes.Buffer // the body of a request that can change accounts; nil: not kept
	before  before        // set if mutes

	leavesCookies bool // the response must not change the application's cookies in the browser

	// The values of the fields that the gate adds to the header.
	policy, caching [1]string
}

// Unwrap lets http.ResponseController reach the server's own writer.
func (w *answerWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// WriteHeader passes the header on, rewritten; informational ones too.
func (w *answerWriter) WriteHeader(status int) {
	if w.status != 0 {
		return
	}
	h := w.in.handler
	liveness := h.config.Application.Filter(w.Header(), w.runtime != nil, &w.caching)
	if status >= 200 || status == http.StatusSwitchingProtocols {
		w.status = status
	}
	if w.runtime != nil {
		if liveness == application.Forgotten {
			w.leavesCookies = true
			if h.confirmed(w.runtime) {
				// It lived a moment ago: the application may have lost all
				// its sessions.
				h.applicationFailed()
			}
		}
		w.addPolicy()
	}
	if status >= http.StatusBadGateway && status <= http.StatusGatewayTimeout && liveness == application.Unknown {
		h.applicationFailed() // the application itself answers so only if it could not read a session
	}
	if w.mute = w.muted(liveness); w.mute != loud {
		w.before.restore(w.Header())
		return
	}
	if w.leavesCookies {
		dropCookies(w.Header(), h.config.Application.BrowserCookies())
	}
	if w.kept != nil && status/100 == 2 {
		h.config.Gate.doubtAccounts() // before the client can know
	}
	w.ResponseWriter.WriteHeader(status)
}

// addPolicy forbids other sites to show the response in a frame, beside what the
// application's own policy says.
func (w *answerWriter) addPolicy() {
	const name = "Content-Security-Policy"
	header := w.Header()
	if len(header[name]) > 0 {
		header.Add(name, request.FrameAncestors)
		return
	}
	w.policy[0] = request.FrameAncestors
	header[name] = w.policy[:1:1]
}

// muted returns whether the response that begins is to be mute, and why.
func (w *answerWriter) muted(liveness application.Liveness) mute {
	switch {
	case !w.mutes || w.status == 0:
	case liveness == application.Forgotten && (w.repeats ||
		w.status == http.StatusUnauthorized || w.status == http.StatusForbidden):
		return forgotten
	case liveness == application.Unknown && w.status >= http.StatusBadGateway && w.status <= http.StatusGatewayTimeout &&
		w.Header().Get("Content-Length") == "0" && w.in.class() == request.Navigation && !w.in.passesErrors():
		return away
	}
	return loud
}

// dropCookies removes the cookies with these names from a response. The
// application issues some of them anew for a request without a user, bound to no
// user: in the browser of a signed-in user they would fail the next write.
func dropCookies(header http.Header, names []string) {
	lines := header["Set-Cookie"]
	if len(lines) == 0 {
		return
	}
	kept := slices.DeleteFunc(lines, func(line string) bool {
		name, _, _ := strings.Cut(line, "=")
		return slices.Contains(names, strings.TrimSpace(name))
	})
	if len(kept) == 0 {
		delete(header, "Set-Cookie")
		return
	}
	header["Set-Cookie"] = kept
}

// errCut is the error of a write after the end of the session.
var errCut = fmt.Errorf("the session ended: %w", context.Canceled)

// ended reports whether the session of the response ended. It then counts as cut.
func (w *answerWriter) ended() bool {
	if !w.in.stream.ended.Load() { // which never ends without a session
		return false
	}
	w.cut = true
	return true
}

func (w *answerWriter) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	if w.mute != loud {
		return len(p), nil
	}
	if w.kept != nil {
		w.keep(p)
	}
	if w.ended() {
		return 0, errCut
	}
	return w.ResponseWriter.Write(p)
}

// copyPart is how much of a file is copied between two looks at the session.
const copyPart = 4 << 20

// ReadFrom keeps the way open for sendfile.
func (w *answerWriter) ReadFrom(from io.Reader) (int64, error) {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	to := io.Writer(w.ResponseWriter)
	rest, limited := from.(*io.LimitedReader) // sendfile looks below one of these only
	if !limited {
		rest = &io.LimitedReader{R: from, N: math.MaxInt64}
	}
	switch {
	case w.mute != loud:
		to = io.Discard
	case w.kept != nil:
		rest = &io.LimitedReader{R: io.TeeReader(rest, keeper{w}), N: math.MaxInt64}
	}
	var written int64
	for rest.N > 0 {
		if w.ended() {
			if w.kept != nil {
				_, _ = io.Copy(io.Discard, rest)
			}
			return written, errCut
		}
		part := &io.LimitedReader{R: rest.R, N: min(rest.N, copyPart)}
		want := part.N
		n, err := io.Copy(to, part)
		written += n
		rest.N -= want - part.N
		if err != nil {
			return written, fmt.Errorf("copying the answer: %w", err)
		}
		if part.N > 0 { // the end
			break
		}
	}
	return written, nil
}

// FlushError implements what http.ResponseController looks for.
func (w *answerWriter) FlushError() error {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	if w.mute != loud {
		return nil
	}
	return http.NewResponseController(w.ResponseWriter).Flush()
}

// requestBody notes that the client's body could not be read: then the client
// made the request fail, and not the application. It ends with the session.
type requestBody struct {
	io.ReadCloser
	stream *stream // nil: none
	shared bool    // with other requests of its connection: HTTP/2 and 3
	broken atomic.Bool
}

func (b *requestBody) ended() bool { return b.stream != nil && b.stream.ended.Load() }

// Close leaves the body of an ended session to the server where closing it would
// read what the client still sends, for as long as it does. In HTTP/2 and 3 it
// does not, and wakes a reader: the proxy of a WebSocket waits for it.
func (b *requestBody) Close() error {
	if b.ended() && !b.shared {
		return nil
	}
	return b.ReadCloser.Close()
}

func (b *requestBody) Read(p []byte) (int, error) {
	if b.ended() {
		return 0, errCut
	}
	n, err := b.ReadCloser.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		b.broken.Store(true)
	}
	return n, err
}

// serve passes r to chain, and notes if the application could not be reached:
// reverse_proxy returns an error then, not a response.
func (h *Handler) serve(chain application.Chain, w http.ResponseWriter, r *http.Request) (unreachable bool, err error) {
	var body *requestBody
	if r.Body != nil && r.Body != http.NoBody {
		stream, _ := r.Context().(*stream)
		body = &requestBody{ReadCloser: r.Body, stream: stream, shared: r.ProtoMajor > 1}
		r.Body = body
	}
	if answer, ok := w.(*answerWriter); ok && answer.kept != nil {
		var done func()
		r, done = withoutClient(r)
		defer done()
	}
	err = chain.Serve(w, r)
	unreachable = err != nil && chain.Unreachable(err) && !errors.Is(err, context.Canceled) && (body == nil || !body.broken.Load())
	if unreachable {
		h.applicationFailed()
	}
	return unreachable, err
}

// errEmptyAnswer is the cause where something behind the gate says so.
var errEmptyAnswer = errors.New("something behind the gate answered 502, 503 or 504, without a body")

// passesErrors reports whether the site answers errors itself.
func (in *incoming) passesErrors() bool {
	return in.handler.config.PassErrors || in.chain.HandlesErrors()
}

// refuseAway answers a request of a signed-in user that the application does
// not answer, as cause says. A site that answers errors itself gets the error.
func (h *Handler) refuseAway(in *incoming, cause error) error {
	if in.passesErrors() && in.chain.Unreachable(cause) {
		return cause
	}
	if !errors.Is(cause, problem.ApplicationAway) {
		cause = problem.ApplicationAway.Because(cause)
	}
	return h.refuse(in, cause)
}
