// The gate's own requests through the handler chain.

package application

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/handler/request"
)

// callTimeout bounds a call if its context has no earlier deadline.
const callTimeout = 15 * time.Second

// answerLimit bounds how much of a response body is kept, in bytes, if the call
// sets no limit.
const answerLimit = 64 << 10

// Call is a request that the gate makes on behalf of a visitor.
type Call struct {
	Method string
	Target string      // path and query
	Cookie string      // the whole Cookie header field
	Header http.Header // sent in addition, in place of the visitor's; may be nil
	Form   url.Values  // the body; nil: none
	Limit  int         // of the response body, in bytes; 0: 64 KiB
	// Bare leaves out the visitor's header. It is set if several visitors share
	// the response, which one visitor's header must not be able to spoil.
	Bare bool
}

// Answer is the response to a Call.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte // the first Limit bytes of the body
	Cut    bool   // the body is longer than Limit
}

// Caller sends a call through the rest of the handler chain.
type Caller func(ctx context.Context, call Call) (*Answer, error)

// NewCaller returns a Caller on behalf of visitor. Each call is a new request
// with the visitor's address and browser, so that the application sees which
// client it is for, but with none of the visitor's credentials.
func NewCaller(chain Chain, visitor *http.Request, origin request.Origin) Caller {
	return func(ctx context.Context, call Call) (*Answer, error) {
		limit := callTimeout
		if deadline, ok := ctx.Deadline(); ok {
			limit = min(limit, time.Until(deadline))
		}
		// A closed tab must not leave a sign-in half done, so the visitor's
		// cancellation does not apply.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), limit)
		defer cancel()
		r, err := newRequest(ctx, visitor, origin, call)
		if err != nil {
			return nil, err
		}
		answer := NewRecorder(call.Limit)
		if err := serveRecovered(chain, answer, chain.Fresh(answer, r, visitor)); err != nil {
			return nil, fmt.Errorf("calling %s %s: %w", call.Method, r.URL.Path, err)
		}
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("calling %s %s: %w", call.Method, r.URL.Path, err)
		}
		return answer.Answer(), nil
	}
}

// newRequest builds the request for call on behalf of visitor.
func newRequest(ctx context.Context, visitor *http.Request, origin request.Origin, call Call) (*http.Request, error) {
	u, err := url.ParseRequestURI(call.Target)
	if err != nil {
		return nil, fmt.Errorf("parsing the target of a call: %w", err)
	}
	r := (&http.Request{
		Method: call.Method, URL: u, RequestURI: call.Target, Host: origin.Host,
		Proto: visitor.Proto, ProtoMajor: visitor.ProtoMajor, ProtoMinor: visitor.ProtoMinor,
		RemoteAddr: visitor.RemoteAddr, TLS: visitor.TLS,
		Header: make(http.Header, len(visitor.Header)), Body: http.NoBody,
	}).WithContext(ctx)
	if !call.Bare {
		carry(r.Header, visitor.Header)
	}
	maps.Copy(r.Header, call.Header)
	if call.Cookie != "" {
		r.Header.Set("Cookie", call.Cookie)
	}
	if call.Form != nil {
		body := call.Form.Encode()
		r.Body, r.ContentLength = io.NopCloser(strings.NewReader(body)), int64(len(body))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	return r, nil
}

// errAborted is the error of a call during which the chain panicked.
var errAborted = errors.New("the handler chain aborted the request")

// serveRecovered serves r and turns a panic into an error. reverse_proxy panics
// with http.ErrAbortHandler, which outside the server's own goroutine would end
// the process.
func serveRecovered(chain Chain, w http.ResponseWriter, r *http.Request) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: %v", errAborted, p)
		}
	}()
	return chain.Serve(w, r)
}

// Recorder is an http.ResponseWriter that keeps the status, the header and the
// beginning of the body. It discards the rest without an error, because an
// error would abort the chain.
type Recorder struct {
	header http.Header
	status int
	body   []byte
	limit  int // of body, in bytes; 0: answerLimit
	cut    bool
}

// NewRecorder returns a Recorder that keeps limit bytes of a body, 64 KiB if 0.
func NewRecorder(limit int) *Recorder { return &Recorder{header: make(http.Header), limit: limit} }

// Answer returns the recorded response. Its status is 0 if there was none.
func (a *Recorder) Answer() *Answer {
	return &Answer{Status: a.status, Header: a.header, Body: a.body, Cut: a.cut}
}

var _ io.ReaderFrom = (*Recorder)(nil)

// Header implements http.ResponseWriter.
func (a *Recorder) Header() http.Header { return a.header }

// WriteHeader implements http.ResponseWriter.
func (a *Recorder) WriteHeader(status int) {
	if a.status == 0 && status >= 200 {
		a.status = status
	}
}

// Write implements http.ResponseWriter.
func (a *Recorder) Write(p []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	kept := min(len(p), cmp.Or(a.limit, answerLimit)-len(a.body))
	a.body, a.cut = append(a.body, p[:kept]...), a.cut || kept < len(p)
	return len(p), nil
}

// ReadFrom implements io.ReaderFrom.
func (a *Recorder) ReadFrom(from io.Reader) (int64, error) {
	a.WriteHeader(http.StatusOK)
	n, err := io.Copy(struct{ io.Writer }{a}, from)
	if err != nil {
		return n, fmt.Errorf("reading the response: %w", err)
	}
	return n, nil
}

// FlushError makes http.ResponseController.Flush succeed; there is nothing to flush.
func (a *Recorder) FlushError() error { return nil }
