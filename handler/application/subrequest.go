package application

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"github.com/romm-oidc/caddy-romm-oidc/handler/request"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// callTimeout bounds one brokered call whose context has no earlier deadline.
const callTimeout = 15 * time.Second

// AnswerLimit bounds what is kept of a brokered answer's body where the call
// names no limit, in bytes.
const AnswerLimit = 64 << 10

// Call is a request of the gate's own, on a visitor's behalf.
type Call struct {
	Method string
	Target string // path and query
	Cookie string // the whole Cookie header field
	Header http.Header
	Limit  int // of the answer's body, in bytes; 0: 64 KiB
	// Bare says that the answer serves others too: nothing of the visitor's
	// header goes along, which could be made to spoil it.
	Bare bool
}

// Answer is what came back.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte // its beginning, of at most Limit bytes
	Cut    bool   // the body was longer
}

// Caller puts a call through the rest of the handler chain.
type Caller func(ctx context.Context, call Call) (*Answer, error)

// NewCaller returns the Caller for what visitor asked through chain. Each call
// is a new request with the visitor's address and browser, so that the
// application sees who it is for, but with none of its credentials.
func NewCaller(chain Chain, visitor *http.Request, origin request.Origin) Caller {
	return func(ctx context.Context, call Call) (*Answer, error) {
		limit := callTimeout
		if deadline, ok := ctx.Deadline(); ok {
			limit = min(limit, time.Until(deadline))
		}
		// Not the visitor's context: a closed tab must not leave a sign-in half done.
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

// newRequest builds the request of call in the visitor's name.
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
	for name, values := range visitor.Header {
		if !call.Bare && carried(name) {
			r.Header[name] = slices.Clip(values)
		}
	}
	maps.Copy(r.Header, call.Header)
	if call.Cookie != "" {
		r.Header.Set("Cookie", call.Cookie)
	}
	return r, nil
}

// carried reports whether a visitor's header field goes along with a call.
func carried(name string) bool {
	switch name {
	case "Cookie", "Authorization", "Proxy-Authorization", "Origin", "Referer",
		"Connection", "Keep-Alive", "Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade",
		"Range", "Accept-Encoding", "Expect", "Early-Data":
		return false
	}
	return !strings.HasPrefix(name, "If-") && !strings.HasPrefix(name, "Content-") &&
		!strings.HasPrefix(name, "Sec-") && !strings.HasPrefix(name, "Access-Control-") &&
		!strings.HasPrefix(name, ":") && !request.IsIdentityField(name)
}

// ErrAborted is what a panic in the chain becomes.
var ErrAborted = errors.New("the handler chain aborted the request")

// serveRecovered serves r and turns a panic into an error: reverse_proxy
// panics with http.ErrAbortHandler, and outside the server's own goroutine
// that would end the process.
func serveRecovered(chain Chain, w http.ResponseWriter, r *http.Request) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: %v", ErrAborted, p)
		}
	}()
	return chain.Serve(w, r)
}

// recorder keeps an answer's status, header and the beginning of its body, and
// swallows the rest without an error, since an error here would abort the chain.
type recorder struct {
	header http.Header
	status int
	body   []byte
	limit  int // 0: AnswerLimit
	cut    bool
}

// NewRecorder returns a recorder that keeps limit bytes of a body, 64 KiB if 0.
func NewRecorder(limit int) *recorder { return &recorder{header: make(http.Header), limit: limit} }

// Answer returns what was recorded.
func (a *recorder) Answer() *Answer {
	return &Answer{Status: a.status, Header: a.header, Body: a.body, Cut: a.cut}
}

var _ io.ReaderFrom = (*recorder)(nil)

func (a *recorder) Header() http.Header { return a.header }

func (a *recorder) WriteHeader(status int) {
	if a.status == 0 && status >= 200 {
		a.status = status
	}
}

func (a *recorder) Write(p []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	kept := min(len(p), cmp.Or(a.limit, AnswerLimit)-len(a.body))
	a.body, a.cut = append(a.body, p[:kept]...), a.cut || kept < len(p)
	return len(p), nil
}

func (a *recorder) ReadFrom(from io.Reader) (int64, error) {
	a.WriteHeader(http.StatusOK)
	n, err := io.Copy(struct{ io.Writer }{a}, from)
	if err != nil {
		return n, fmt.Errorf("reading the answer: %w", err)
	}
	return n, nil
}

// FlushError implements what http.ResponseController looks for; there is nothing to flush.
func (a *recorder) FlushError() error { return nil }
