// The context of a request that ends with its session.

package handler

import (
	"context"
	"net/http"
	"sync/atomic"
	"time"
)

// stream is the context of a request of a session. It ends with the session, and
// with it what the chain does for the request, in every version of HTTP: a proxy
// stops reading at both of its sides. It costs nothing until the chain waits.
type stream struct {
	context.Context      //nolint:containedctx // it is a context: the one of the request, as the server made it
	socket          bool // the request opened a socket, or polls in place of one
	ended           atomic.Bool
	inner           atomic.Pointer[innerContext] // made when the chain first waits
}

type innerContext struct {
	context.Context //nolint:containedctx // it is a context
	cancel          context.CancelFunc
}

// Abort implements session.Holder. It may come after the request is over.
func (s *stream) Abort() {
	s.ended.Store(true)
	if inner := s.inner.Load(); inner != nil {
		inner.cancel()
	}
}

// over releases what the stream holds when its request is over.
func (s *stream) over() {
	if inner := s.inner.Load(); inner != nil {
		inner.cancel()
	}
}

// Done implements context.Context.
func (s *stream) Done() <-chan struct{} {
	inner := s.inner.Load()
	if inner == nil {
		ctx, cancel := context.WithCancel(s.Context)
		inner = &innerContext{ctx, cancel}
		if !s.inner.CompareAndSwap(nil, inner) {
			cancel()
			inner = s.inner.Load()
		}
		if s.ended.Load() { // Abort may have seen no inner context
			inner.cancel()
		}
	}
	return inner.Done()
}

// Err implements context.Context.
func (s *stream) Err() error {
	if s.ended.Load() {
		return context.Canceled
	}
	return s.Context.Err()
}

// Value implements context.Context. The inner context is found by it: contexts
// below this one are then ended without a goroutine for each.
func (s *stream) Value(key any) any {
	if inner := s.inner.Load(); inner != nil {
		return inner.Value(key)
	}
	return s.Context.Value(key)
}

// endStream ends the work for the request, and if its session has ended, the
// reading of its body: the server would wait for what the client still sends. It
// runs last, so that no one else uses the connection.
func (in *incoming) endStream() {
	in.stream.over()
	if in.stream.ended.Load() {
		_ = http.NewResponseController(in.w).SetReadDeadline(time.Unix(1, 0)) // a writer without deadlines has no connection
	}
}
