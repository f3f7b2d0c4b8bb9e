// One request on its way through the gate, and what is known of it so far.

package handler

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/flow"
	"github.com/romm-oidc/caddy-romm-oidc/flow/session"
	"github.com/romm-oidc/caddy-romm-oidc/handler/application"
	"github.com/romm-oidc/caddy-romm-oidc/handler/problem"
	"github.com/romm-oidc/caddy-romm-oidc/handler/request"
)

// incoming is one request, the way to answer it, and what the gate has found
// out about it. It belongs to the request's goroutine.
type incoming struct {
	handler *Handler
	w       http.ResponseWriter
	r       *http.Request
	chain   application.Chain
	path    string // normal, see request.NormalPath
	plain   bool   // the client wrote the path in its normal form
	upgrade bool   // the request opens a WebSocket
	unknown bool   // there is a ticket, and storage could not tell whether it is good

	ticket  string           // the name of the cookie with the ticket; empty: none
	session *session.Session // nil while no session was found
	former  *session.Session // in which the browser began the sign-in whose response this is; nil: none or not known
	runtime *sessionRuntime  // of session
	user    *flow.Identity   // nil if it is not known

	stamped *session.Record // with which the request was last passed on
	answer  answerWriter    // to the first request that is passed on for session
	stream  stream          // of those

	credential []string           // the Authorization header field with which the application is called; nil: none
	call       application.Caller // made at first need
	at         time.Time          // see now
	added      int                // bytes of cookies; see makeRoom
}

// now returns the time of the request: the clock is read once for all questions
// that do not follow a wait.
func (in *incoming) now() time.Time {
	if in.at.IsZero() {
		in.at = in.handler.now()
	}
	return in.at
}

// class says how a refusal of the request has to look.
func (in *incoming) class() request.Class {
	app := in.handler.config.Application
	_, page := in.own()
	page = page || app.Intent(in.r, in.path) == application.SignIn ||
		// What a page downloads names that page.
		request.AcceptsDocument(in.r) && (app.Page(in.path) || in.r.Header.Get("Referer") == "")
	return request.Classify(in.r, app.Socket(in.path), page)
}

// access says what the request may do without a session.
func (in *incoming) access() application.Access {
	return in.handler.config.Application.Access(in.r, in.path, in.plain)
}

// socket reports whether the request belongs to the application's sockets:
// WebSockets, and the polling that stands in for them.
func (in *incoming) socket() bool {
	return in.upgrade || in.handler.config.Application.Socket(in.path)
}

// shared returns the context for work that other requests wait for, too: it does
// not end when this client leaves.
func (in *incoming) shared() context.Context { return context.WithoutCancel(in.r.Context()) }

// Caller returns the way to call the application on behalf of this client.
func (in *incoming) Caller() application.Caller {
	if in.call == nil {
		in.call = application.NewCaller(in.chain, in.r, in.handler.config.Origin)
		if in.credential != nil {
			in.call = authorized(in.call, in.credential)
		}
	}
	return in.call
}

// forwarded returns the request as the application learns of it. upstream is
// the application's session that it is stamped with, empty for a credential.
func (in *incoming) forwarded(upstream string) application.Forwarded {
	return application.Forwarded{Request: in.r, Path: in.path, Session: upstream, Client: in}
}

// own returns the name of the gate's own endpoint that the request is for,
// which is empty for the callback, and false if it is for the application.
func (in *incoming) own() (name string, ok bool) {
	if !request.Under(in.path, request.Base) {
		return "", false
	}
	return strings.TrimPrefix(in.path[len(request.Base):], "/"), true
}

// lookup returns the session that the request's ticket opens, nil if there is
// none. A provider's response in a form comes without a ticket: then it is the
// session that the sign-in began in. An error says that storage could not tell.
func (in *incoming) lookup() (*session.Session, error) {
	var ticket string
	if ticket, in.ticket = in.handler.cookies.TicketOf(in.r); ticket == "" {
		return in.former, nil
	}
	s, err := in.handler.config.Gate.Sessions.LookupAt(in.r.Context(), ticket, in.now())
	if err != nil {
		in.unknown = true
		return nil, problem.StorageUnavailable.Because(err)
	}
	return s, nil
}

// findSession looks for the session of the request, and ends one that was
// unproven for too long, which makes the request anonymous, or that the
// policy no longer permits, which is an error.
func (in *incoming) findSession() error {
	s, err := in.lookup()
	if s == nil {
		return err
	}
	h, record := in.handler, s.Record()
	if since := unprovenSince(record, in.now()); !since.IsZero() && h.outlived(record) {
		in.endSession(s, reasonUnproven)
		return nil
	}
	in.user = &record.Identity
	v := runtimeOf(s)
	view := v.viewOf(h, record, s.ID())
	in.chain.Identify(view.values)
	switch verdict := &view.verdict; {
	case verdict.lacksScope:
		if record.UnprovenSince.IsZero() {
			_ = h.loseProof(in.r.Context(), s, record.Tokens, h.now()) // if storage is away, the next request tries again
		}
	case verdict.refused != nil && h.letsNewerIn(s, record):
		in.endSession(s, reasonOutdated)
		return nil
	case verdict.refused != nil:
		in.endSession(s, problem.Of(verdict.refused).Code) // which shuts the account
		return verdict.refused
	}
	v.rememberClient(in.r)
	in.session, in.runtime = s, v
	if in.ticket == h.cookies.Former {
		http.SetCookie(in.w, h.cookies.Set(h.cookies.Ticket, request.CookieValue(in.r, in.ticket), h.config.Lifetime))
		http.SetCookie(in.w, h.cookies.Unset(in.ticket))
	}
	return nil
}

// forgetSession makes the request anonymous: its session has ended.
func (in *incoming) forgetSession() {
	in.dropTicket(in.session)
	in.session, in.runtime = nil, nil
}

// endSession ends s and takes its ticket from the browser.
func (in *incoming) endSession(s *session.Session, reason string) {
	in.handler.end(in.acting(in.r.Context()), s, reason)
	in.dropTicket(s)
}

// dropTicket takes the ticket from the browser. s is the session that it
// opens, nil if it opens none: then a former name may be that of another gate.
func (in *incoming) dropTicket(s *session.Session) {
	cookies := &in.handler.cookies
	http.SetCookie(in.w, cookies.Unset(cookies.Ticket))
	if _, name := cookies.TicketOf(in.r); s != nil && name != "" && name == cookies.Former {
		http.SetCookie(in.w, cookies.Unset(name))
	}
}

// early reports whether the request came as TLS early data, which an attacker
// who recorded it can replay (RFC 8470 section 5.2), and would change something.
// A proxy in front says so in a header field. It need not be trusted: a client
// that sends the field is only refused more.
func (in *incoming) early() bool {
	_, own := in.own()
	early := in.r.TLS != nil && !in.r.TLS.HandshakeComplete || len(in.r.Header["Early-Data"]) > 0
	return early && (own || !request.IsSafe(in.r.Method))
}
