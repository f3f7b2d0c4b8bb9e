// What the gate reports of its users: the audit log has it, the metrics, and
// Caddy's events.

package handler

import (
	"context"

	"go.uber.org/zap"

	"github.com/romm-oidc/caddy-romm-oidc/flow/session"
	"github.com/romm-oidc/caddy-romm-oidc/handler/event"
	"github.com/romm-oidc/caddy-romm-oidc/handler/problem"
)

// report reports e.
func (h *Handler) report(e *event.Event) {
	e.Gate = h.config.Gate.Sessions.Gate()
	e.Log(h.config.Logger)
	h.config.Report(e)
}

// Report reports e for the configuration in force.
func (g *Gate) Report(e *event.Event) {
	if h := g.inForce(); h != nil {
		h.report(e)
	}
}

// reportRefusal reports a refusal, with what is known of its user. Requests
// without a session are everyday: they are counted, and logged for debugging.
func (h *Handler) reportRefusal(in *incoming, refusal *problem.Problem, signIn bool) {
	everyday := refusal.Code == problem.NotSignedIn.Code || refusal.Code == problem.Prefetch.Code
	if everyday {
		h.config.Observe(event.Refusals, refusal.Code)
		if !h.config.Logger.Core().Enabled(zap.DebugLevel) {
			return
		}
	}
	e := &event.Event{
		Name: event.Refused, ClientIP: in.chain.ClientIP(), Code: refusal.Code, Reference: refusal.Reference, Doctor: refusal.DoctorCode(), Status: refusal.Status,
		Method: in.r.Method, Path: loggedPath(in.r), SignIn: signIn, Cause: refusal.Cause, User: refusal.User, Subject: refusal.Subject,
	}
	if everyday {
		e.Debug(h.config.Logger)
		return
	}
	if e.Subject == "" && in.user != nil {
		e.User, e.Subject = in.user.Username, in.user.Subject
	}
	if s := in.session; s != nil {
		e.SessionID, e.Account = s.ID().String(), s.Record().Upstream.Account
	}
	h.report(e)
}

// about is an event about the user of a record.
func about(name event.Name, record *session.Record) *event.Event {
	return &event.Event{Name: name, User: record.Identity.Username, Subject: record.Identity.Subject, Account: record.Upstream.Account}
}

// signedIn reports that s began.
func (h *Handler) signedIn(in *incoming, s *session.Session) {
	e := about(event.SignedIn, s.Record())
	e.SessionID, e.ClientIP = s.ID().String(), in.chain.ClientIP()
	h.report(e)
}

// reportEnd reports the end of a session that this node ended.
func (g *Gate) reportEnd(ctx context.Context, end session.End) {
	e := &event.Event{Name: event.Ended}
	switch {
	case end.Session != nil:
		e = about(event.Ended, end.Session.Record())
	case end.Head != nil:
		e.User = end.Head.User
	}
	if end.Reason == reasonSignedOut {
		e.Name = event.SignedOut
	}
	e.SessionID, e.ClientIP = end.ID.String(), clientOf(ctx)
	e.Reason, e.By = label(end.Reason)
	g.Report(e)
}

// clientKey is the key of the address of the client that acts.
type clientKey struct{}

// acting returns ctx with the client that ends sessions by its request.
func (in *incoming) acting(ctx context.Context) context.Context {
	return context.WithValue(ctx, clientKey{}, in.chain.ClientIP())
}

func clientOf(ctx context.Context) string {
	address, _ := ctx.Value(clientKey{}).(string)
	return address
}
