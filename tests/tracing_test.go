// Traces: with Caddy's tracing on, a request's trace has the steps of the gate.

package tests

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"go.opentelemetry.io/contrib/exporters/autoexport"
	otelcodes "go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/romm-oidc/caddy-romm-oidc/tests/authelia"
)

// exported has the spans of Caddy in this process, if a test turns tracing on.
var exported = tracetest.NewInMemoryExporter()

func init() {
	autoexport.RegisterSpanExporter("romm_oidc_test", func(context.Context) (sdktrace.SpanExporter, error) { return exported, nil })
}

// traced starts a stack with tracing on.
func traced(t *testing.T) *stack {
	t.Helper()
	t.Setenv("OTEL_TRACES_EXPORTER", "romm_oidc_test")
	t.Setenv("OTEL_BSP_SCHEDULE_DELAY", "20")
	exported.Reset()
	s := start(t, options{directive: rolesByMail + recheckSoon, site: "tracing {\n span site\n}\nreverse_proxy %s {\n" + freshConnections + "\n}"})
	t.Cleanup(s.unload)
	return s
}

// ours returns the gate's spans so far.
func ours() []tracetest.SpanStub {
	return slices.DeleteFunc(exported.GetSpans(), func(span tracetest.SpanStub) bool {
		return span.InstrumentationScope.Name != "github.com/romm-oidc/caddy-romm-oidc"
	})
}

// below returns the names of the gate's spans below a span, at any depth.
func below(spans []tracetest.SpanStub, root tracetest.SpanStub) (names []string) {
	parents := map[trace.SpanID]trace.SpanID{}
	for _, span := range spans {
		parents[span.SpanContext.SpanID()] = span.Parent.SpanID()
	}
	for _, span := range spans {
		for id := span.Parent.SpanID(); id.IsValid() && span.SpanContext.TraceID() == root.SpanContext.TraceID(); id = parents[id] {
			if id == root.SpanContext.SpanID() && !slices.Contains(names, span.Name) {
				names = append(names, span.Name)
			}
		}
	}
	return names
}

// find waits for a span of the gate with this name and returns it.
func find(t *testing.T, name string) (found tracetest.SpanStub) {
	t.Helper()
	eventually(t, func() bool {
		spans := ours()
		i := slices.IndexFunc(spans, func(span tracetest.SpanStub) bool { return span.Name == name })
		if i >= 0 {
			found = spans[i]
		}
		return i >= 0
	})
	return found
}

// The trace of a callback has the steps of the sign-in, and those of later
// requests have the confirmation and the re-check. Nothing in them names a user.
func TestTraces(t *testing.T) {
	s := traced(t)
	alice := s.as("alice")
	signIn := find(t, "sign-in")
	want := []string{
		"provider token", "provider userinfo", "RomM sign-in", "RomM login request", "RomM callback", "storage load", "storage store", "storage lock",
	}
	var missing []string
	eventually(t, func() bool { // the parent is exported after its children, and others may follow
		names := below(ours(), signIn)
		missing = slices.DeleteFunc(slices.Clone(want), func(name string) bool { return slices.Contains(names, name) })
		return len(missing) == 0
	})
	if !signIn.Parent.IsValid() || signIn.Parent.TraceID() != signIn.SpanContext.TraceID() {
		t.Error("the sign-in has no parent, want the request's span")
	}
	find(t, "provider metadata")
	s.as("bob") // a new account, so that others are confirmed again
	for _, name := range []string{"RomM confirmation", "re-check"} {
		eventually(t, func() bool {
			if !alice.in() {
				t.Fatal("alice is out")
			}
			return slices.ContainsFunc(ours(), func(span tracetest.SpanStub) bool { return span.Name == name && span.Parent.IsValid() })
		})
	}
	s.authelia.Misbehave(func(m *authelia.Misbehaviour) { m.Fail("userinfo", authelia.Fault{Status: 502}) })
	eventually(t, func() bool {
		alice.in()
		return slices.ContainsFunc(ours(), func(span tracetest.SpanStub) bool {
			return span.Name == "re-check" && span.Status.Code == otelcodes.Error
		})
	})
	for _, span := range ours() {
		if len(span.Attributes)+len(span.Events)+len(span.Links) > 0 || span.Status.Description != "" {
			t.Errorf("the span %s has attributes, events or a description, which could name a user: %+v", span.Name, span)
		}
		if text := fmt.Sprint(span.Name, span.Attributes, span.Events, span.Status); strings.Contains(text, "alice") {
			t.Errorf("a span names alice: %s", text)
		}
	}
}
