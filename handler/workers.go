// Background work: checks of sessions, and what follows from their ends.

package handler

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
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
	// heldEvery is how often the sessions that hold something open are looked at, and
	// the accounts that wait to be shut.
	heldEvery = 2 * time.Second
)

// errQueueFull is why a piece of work is not done.
var errQueueFull = errors.New("too many pieces of work wait")

// Waiting returns how many pieces of work wait: of re-checks, it also counts
// the sessions in memory that failed their last one.
func (g *Gate) Waiting() map[background.Work]int {
	waiting := map[background.Work]int{
		background.Recheck: g.checks.len(), background.SignOut: g.ends.len(), background.Tombstone: g.Sessions.Unpersisted(),
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

// workQueue is background work of one kind. Goroutines do it that end when no piece
// waits.
type workQueue struct {
	logger  func() *zap.Logger
	mu      sync.Mutex
	ctx     context.Context //nolint:containedctx // from open to wait; else nil
	waiting []func(context.Context)
	busy    int // goroutines
	all     sync.WaitGroup
}

// add returns false when the queue is full.
func (q *workQueue) add(do func(context.Context)) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.waiting) >= workQueueSize {
		return false
	}
	q.waiting = append(q.waiting, do)
	q.startWorker()
	return true
}

// len returns how many pieces wait.
func (q *workQueue) len() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.waiting)
}

// startWorker starts a goroutine if there is room for one. It needs q.mu.
func (q *workQueue) startWorker() {
	if q.ctx != nil && q.busy < workers {
		q.busy++
		q.all.Go(q.work)
	}
}

// work does pieces until none waits or the queue is closed.
func (q *workQueue) work() {
	for {
		q.mu.Lock()
		ctx := q.ctx
		if len(q.waiting) == 0 || ctx == nil || ctx.Err() != nil {
			q.busy--
			q.mu.Unlock()
			return
		}
		piece := q.waiting[0]
		q.waiting[0] = nil
		q.waiting = q.waiting[1:]
		q.mu.Unlock()
		recovered(q.logger, func() { piece(ctx) })
	}
}

// open lets the work be done until ctx ends.
func (q *workQueue) open(ctx context.Context) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.ctx = ctx
	for range min(workers, len(q.waiting)) {
		q.startWorker()
	}
}

// wait closes the queue, and waits for the pieces that were begun.
func (q *workQueue) wait() {
	q.mu.Lock()
	q.ctx = nil // no goroutine is started from now on
	q.mu.Unlock()
	q.all.Wait()
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
	for _, queue := range []*workQueue{&g.checks, &g.ends} {
		queue.open(ctx)
		defer queue.wait()
	}
	var others sync.WaitGroup
	defer others.Wait()
	ticker := time.NewTicker(heldEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			recovered(g.logger, g.recheckHeld)
			g.alone(&others, &g.confirming, func() { g.confirmSockets(ctx) })
			if g.shuts.len() > 0 {
				g.Sessions.Use()
				g.alone(&others, &g.shutting, func() { g.retryShuts(ctx) })
			}
		}
		if over := g.Sessions.Resting(); over != nil {
			ticker.Stop()
			select {
			case <-ctx.Done():
				return
			case <-over:
			}
			ticker.Reset(heldEvery)
		}
	}
}

// alone does something in a goroutine of all, unless it is being done.
func (g *Gate) alone(all *sync.WaitGroup, running *atomic.Bool, do func()) {
	if running.CompareAndSwap(false, true) {
		all.Go(func() {
			defer running.Store(false)
			recovered(g.logger, do)
		})
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
