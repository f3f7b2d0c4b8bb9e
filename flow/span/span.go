// Package span measures the steps of the gate's work: each is a span of the
// trace that the request belongs to, if it belongs to one, and a duration for
// the metrics. Nothing personal is recorded: a name, a duration, and whether the
// step failed.
package span

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
)

// Name is the name of a span. It comes from a fixed list.
type Name string

// Observe gets the duration of each span, if it is not nil. The root package
// sets it before the first one.
var Observe func(name Name, took time.Duration)

// scope is the instrumentation scope of the spans.
const scope = "github.com/romm-oidc/caddy-romm-oidc"

// Start starts a span below the one in ctx. The caller ends it once, with the
// error of the step. Without a trace in ctx, there is no span, only a duration.
func Start(ctx context.Context, name Name) (context.Context, func(error)) {
	began := time.Now()
	parent := trace.SpanFromContext(ctx)
	var step trace.Span
	if parent.SpanContext().IsValid() {
		ctx, step = parent.TracerProvider().Tracer(scope).Start(ctx, string(name))
	}
	return ctx, func(err error) {
		if Observe != nil {
			Observe(name, time.Since(began))
		}
		if record, ok := ctx.Value(recorder{}).(Recorder); ok {
			record(name, began, err)
		}
		if step == nil {
			return
		}
		if err != nil { // without its text, which may name a user
			step.SetStatus(codes.Error, "")
		}
		step.End()
	}
}

// Recorder gets a step when it ends.
type Recorder func(name Name, began time.Time, err error)

// recorder is the key of the Recorder in a context.
type recorder struct{}

// Record returns ctx with a recorder of the spans below it.
func Record(ctx context.Context, r Recorder) context.Context {
	return context.WithValue(ctx, recorder{}, r)
}

// Continue returns ctx with the span of the request in from, for work that
// outlives the request.
func Continue(ctx, from context.Context) context.Context {
	if parent := trace.SpanFromContext(from); parent.SpanContext().IsValid() {
		return trace.ContextWithSpan(ctx, parent)
	}
	return ctx
}
