// Background work: checks of sessions, and what follows from their ends.

package handler

import (
	"context"
	"errors"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/romm-oidc/caddy-romm-oidc/flow/session"
	"github.com/romm-oidc/caddy-romm-oidc/handler/background"
)

const (
	// workQueueSize is how many pieces of work of a kind may wait.
	workQueueSize = 4096
	// workers is how many pieces of a kind are done at a time: each costs
	// Authelia the derivation of a key.
	workers = 4
	// heldEvery is how often the sessions that hold something open are looked at.
	heldEvery = 2 * time.Second
)

// errQueueFull is why a piece of work is not done.
var errQueueFull = errors.New("too many pieces of work wait")

// Waiting returns how many pieces of work wait: of re-checks, it also counts
// the sessions in memory that failed their last one.
func (g *Gate) Waiting() map[background.Work]int {
	waiting := map[background.Work]int{
		background.Recheck: len(g.checks), background.SignOut: len(g.ends), background.Tombstone: g.Sessions.Unpersisted(),
		background.Shut: g.shuts.len(),
	}
	g.Sessions.Each(func(s *session.Session) {
		if runtimeOf(s).failed.Load() > 0 {
			waiting[background.Recheck]++
		}
	})
	return waiting
}

// Sockets returns how many sockets of sessions are open.
func (g *Gate) Sockets() int { return int(g.sockets.Load()) }

// workQueue is background work of one kind.
type workQueue chan func(context.Context)

// add returns false when the queue is full.
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

// recovered keeps a panic of the chain behind the gate from ending the process.
func recovered(logger func() *zap.Logger, do func()) {
	defer func() {
		if p := recover(); p != nil {
			logger().Error("background work panicked", zap.Any("panic", p))
		}
	}()
	do()
}

// Run does the gate's background work until ctx ends, and returns
// when all of it has stopped. It is called once.
func (g *Gate) Run(ctx context.Context) {
	var all sync.WaitGroup
	defer all.Wait()
	for range workers {
		all.Go(func() { g.checks.do(ctx, g.logger) })
		all.Go(func() { g.ends.do(ctx, g.logger) })
	}
	all.Go(func() { g.repeatShuts(ctx) })
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

// recheckHeld re-checks the sessions that hold a socket, stream or transfer:
// they may send no request for hours.
func (g *Gate) recheckHeld() {
	if last := g.last.Load(); last != nil {
		g.Sessions.Held(func(held *session.Session) {
			last.handler.recheckIfDue(context.Background(), held, runtimeOf(held), last.handler.now())
		})
	}
}
