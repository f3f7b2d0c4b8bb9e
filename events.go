// Events through Caddy's events app, so that other modules can react to what
// happens at a gate.

package rommoidc

import (
	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyevents"
	"go.uber.org/zap"

	"github.com/romm-oidc/caddy-romm-oidc/handler/event"
)

// eventPrefix begins the names of the events.
const eventPrefix = "romm_oidc."

// eventsQueued is how many events of a gate may wait for their subscribers.
const eventsQueued = 1024

// emitter hands the events of one configuration to its events app.
type emitter struct {
	app    *caddyevents.App
	ctx    caddy.Context
	logger *zap.Logger
}

func newEmitter(ctx caddy.Context) (*emitter, error) {
	app, err := ctx.App("events")
	if err != nil {
		return nil, err
	}
	events, _ := app.(*caddyevents.App) // no other module has that name
	return &emitter{events, ctx, ctx.Logger()}, nil
}

// emission is an event on its way to the subscribers.
type emission struct {
	to    *emitter
	event *event.Event
}

// report counts e and hands it to the subscribers. It does not wait for them.
func (g *pooledGate) report(e *event.Event, to *emitter) {
	countEvent(e)
	if !to.app.ShouldEmit(eventPrefix + string(e.Name)) {
		return
	}
	select {
	case g.emissions <- emission{to, e}:
		g.startEmitting()
	default:
		to.logger.Warn("event lost: its subscribers are too slow", zap.String("event", string(e.Name)))
	}
}

// startEmitting starts a goroutine that emits until no event waits, unless one runs.
func (g *pooledGate) startEmitting() {
	if len(g.emissions) > 0 && g.running.Err() == nil && g.emitting.CompareAndSwap(false, true) {
		go g.emit()
	}
}

// emit calls the subscribers, one event after the other, while events wait and the
// gate runs.
func (g *pooledGate) emit() {
	defer g.startEmitting() // for an event that came after the last look
	defer g.emitting.Store(false)
	for g.running.Err() == nil {
		select {
		case e := <-g.emissions:
			e.to.emit(e.event)
		default:
			return
		}
	}
}

// emit calls the subscribers of one event. A panic of theirs must not end Caddy.
func (to *emitter) emit(e *event.Event) {
	defer func() {
		if p := recover(); p != nil {
			to.logger.Error("subscriber of an event panicked", zap.String("event", string(e.Name)), zap.Any("panic", p))
		}
	}()
	to.app.Emit(to.ctx, eventPrefix+string(e.Name), e.Data())
}
