package handler

import (
	"context"
	"crypto/tls"
	"net/http"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/romm-oidc/caddy-romm-oidc/flow/session"
)

const (
	// workQueue is how many pieces of work of a kind may wait.
	workQueue = 4096
	// workers is how many of a kind are done at a time: each costs Authelia the
	// derivation of a key.
	workers = 4
	// heldEvery is how often the sessions that hold something open are looked at.
	heldEvery = 2 * time.Second
)

// work is what the gate does beside the requests.
type work chan func(context.Context)

// add returns false when too much waits already.
func (w work) add(do func(context.Context)) bool {
	select {
	case w <- do:
		return true
	default:
		return false
	}
}

// do works until ctx ends.
func (w work) do(ctx context.Context, logger func() *zap.Logger) {
	for {
		select {
		case <-ctx.Done():
			return
		case piece := <-w:
			recovered(logger, func() { piece(ctx) })
		}
	}
}

// recovered keeps a panic of what stands behind the gate from ending the process.
func recovered(logger func() *zap.Logger, do func()) {
	defer func() {
		if p := recover(); p != nil {
			logger().Error("work beside the requests panicked", zap.Any("panic", p))
		}
	}()
	do()
}

// Run does the gate's work beside the requests until ctx ends, and returns
// when all of it has stopped. It is called once.
func (s *State) Run(ctx context.Context) {
	var all sync.WaitGroup
	defer all.Wait()
	for range workers {
		all.Go(func() { s.checks.do(ctx, s.logger) })
		all.Go(func() { s.ends.do(ctx, s.logger) })
	}
	ticker := time.NewTicker(heldEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			recovered(s.logger, s.attendHeld)
		}
	}
}

// attendHeld has the sessions checked that hold a socket, stream or transfer:
// no request may come of them for hours.
func (s *State) attendHeld() {
	if last := s.last.Load(); last != nil {
		s.Sessions.Held(func(held *session.Session) { last.gate.attend(held, visitOf(held)) })
	}
}

// kept is the last configuration that answered a request, and the chain that
// it answered with. It changes with every reload.
type kept struct {
	gate  *Gate
	chain Chain
}

func (g *Gate) keep(chain Chain) {
	if last := g.State.last.Load(); last == nil || last.gate != g {
		g.State.last.Store(&kept{g, chain.Keep()})
	}
}

func (s *State) logger() *zap.Logger {
	if last := s.last.Load(); last != nil {
		return last.gate.Logger
	}
	return zap.NewNop()
}

// caller returns the Caller for what no request asks for, in the name of
// whoever was seen with the session last.
func (s *State) caller(v *visit) (Caller, bool) {
	last := s.last.Load()
	if last == nil {
		return nil, false
	}
	return callerFor(last.chain, v.from.Load().request(last.gate.Origin), last.gate.Origin), true
}

// visitor is how a browser shows itself to the application, which tells
// devices apart by it.
type visitor struct {
	address   string
	agent     []string
	forwarded []string
}

// see remembers who comes with a session, once in this process.
func (v *visit) see(r *http.Request) {
	if v.from.Load() == nil {
		v.from.Store(&visitor{r.RemoteAddr, r.Header["User-Agent"], r.Header["X-Forwarded-For"]})
	}
}

// request returns a request as the visitor could have sent it.
func (v *visitor) request(origin Origin) *http.Request {
	r := &http.Request{
		Method: http.MethodGet, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Host: origin.Host, Header: make(http.Header),
	}
	if origin.Secure() {
		r.TLS = &tls.ConnectionState{Version: tls.VersionTLS13, HandshakeComplete: true, ServerName: origin.Host}
	}
	if v == nil { // nobody was seen yet
		return r
	}
	r.RemoteAddr = v.address
	for name, values := range map[string][]string{"User-Agent": v.agent, "X-Forwarded-For": v.forwarded} {
		if len(values) > 0 {
			r.Header[name] = values
		}
	}
	return r
}
