package handler

import (
	"context"
	"crypto/tls"
	"net/http"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/romm-oidc/caddy-romm-oidc/flow/session"
	"github.com/romm-oidc/caddy-romm-oidc/handler/application"
	"github.com/romm-oidc/caddy-romm-oidc/handler/request"
)

const (
	// workQueueSize is how many pieces of work of a kind may wait.
	workQueueSize = 4096
	// workers is how many of a kind are done at a time: each costs Authelia the
	// derivation of a key.
	workers = 4
	// heldEvery is how often the sessions that hold something open are looked at.
	heldEvery = 2 * time.Second
)

// workQueue is what the gate does beside the requests.
type workQueue chan func(context.Context)

// add returns false when too much waits already.
func (w workQueue) add(do func(context.Context)) bool {
	select {
	case w <- do:
		return true
	default:
		return false
	}
}

// do works until ctx ends.
func (w workQueue) do(ctx context.Context, logger func() *zap.Logger) {
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
func (g *Gate) Run(ctx context.Context) {
	var all sync.WaitGroup
	defer all.Wait()
	for range workers {
		all.Go(func() { g.checks.do(ctx, g.logger) })
		all.Go(func() { g.ends.do(ctx, g.logger) })
	}
	ticker := time.NewTicker(heldEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			recovered(g.logger, g.recheckHeld)
		}
	}
}

// recheckHeld has the sessions checked that hold a socket, stream or transfer:
// no request may come of them for hours.
func (g *Gate) recheckHeld() {
	if last := g.last.Load(); last != nil {
		g.Sessions.Held(func(held *session.Session) { last.gate.recheckIfDue(held, runtimeOf(held)) })
	}
}

// lastChain is the last configuration that answered a request, and the chain that
// it answered with. It changes with every reload.
type lastChain struct {
	gate  *Handler
	chain application.Chain
}

func (h *Handler) keep(chain application.Chain) {
	if last := h.config.Gate.last.Load(); last == nil || last.gate != h {
		h.config.Gate.last.Store(&lastChain{h, chain.Keep()})
	}
}

func (g *Gate) logger() *zap.Logger {
	if last := g.last.Load(); last != nil {
		return last.gate.config.Logger
	}
	return zap.NewNop()
}

// caller returns the Caller for what no request asks for, in the name of
// whoever was seen with the session last.
func (g *Gate) caller(v *sessionRuntime) (application.Caller, bool) {
	last := g.last.Load()
	if last == nil {
		return nil, false
	}
	return application.NewCaller(last.chain, v.client.Load().request(last.gate.config.Origin), last.gate.config.Origin), true
}

// clientHint is how a browser shows itself to the application, which tells
// devices apart by it.
type clientHint struct {
	address   string
	agent     []string
	forwarded []string
}

// rememberClient remembers who comes with a session, once in this process.
func (v *sessionRuntime) rememberClient(r *http.Request) {
	if v.client.Load() == nil {
		v.client.Store(&clientHint{r.RemoteAddr, r.Header["User-Agent"], r.Header["X-Forwarded-For"]})
	}
}

// request returns a request as the visitor could have sent it.
func (v *clientHint) request(origin request.Origin) *http.Request {
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
