// The run-time state of a session: what the gate knows about it and does not store.

package handler

import (
	"crypto/tls"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/flow/monotonic"
	"github.com/romm-oidc/caddy-romm-oidc/flow/session"
	"github.com/romm-oidc/caddy-romm-oidc/handler/request"
)

// confirmedFor is how long the application's session counts as alive after it was last seen alive.
const confirmedFor = time.Minute

// sessionRuntime is what the gate knows about a live session beside its record.
// It is not stored: after a restart it begins anew.
type sessionRuntime struct {
	confirmedAt     atomic.Int64 // when the application's session was last seen alive, as all moments here by the monotonic clock; 0: never
	client          atomic.Pointer[clientHint]
	configuration   atomic.Int64 // the number of the configuration that the application's session is of
	checkAt         atomic.Int64 // when the provider is to be asked again
	checkedAt       atomic.Int64 // when it last answered; 0: never
	check           atomic.Pointer[check]
	failed          atomic.Int32 // checks since checkedAt
	usedAt          atomic.Int64 // when the last request came; 0: never
	pausing         sync.Mutex   // held while a request ends a pause
	provenUntil     atomic.Int64 // until when the provider's last answer about the user counts; 0: unknown
	unansweredSince atomic.Int64 // since when it is due and the provider does not answer; 0: it does
	refusedSince    atomic.Int64 // since when the application refuses a change; 0: it does not
	renewAt         atomic.Int64 // before when a navigation is not sent to the provider again
	brokered        atomic.Pointer[brokering]
	stamp           atomic.Pointer[stamp]
	verdict         atomic.Pointer[verdict]
}

// verdict is what a policy decided about a record; it holds until either changes.
type verdict struct {
	record  *session.Record
	policy  *Policy
	permits bool
}

// runtimeOf returns the run-time state of s.
func runtimeOf(s *session.Session) *sessionRuntime {
	return s.Attachment(newRuntime).(*sessionRuntime) //nolint:errcheck // the gate attaches nothing else
}

func newRuntime() any { return new(sessionRuntime) }

func (v *sessionRuntime) confirm(now time.Time) { v.confirmedAt.Store(monotonic.Nanoseconds(now)) }

// signedIn notes that h has just signed the session in to the application.
func (v *sessionRuntime) signedIn(h *Handler) {
	v.configuration.Store(h.number)
	v.confirm(h.now())
}

// confirmed reports whether the application's session was seen alive lately,
// and after the application last failed.
func (v *sessionRuntime) confirmed(now time.Time, failedAt int64) bool {
	at := v.confirmedAt.Load()
	return at != 0 && at > failedAt && monotonic.Nanoseconds(now)-at < int64(confirmedFor)
}

func (v *sessionRuntime) permitted(record *session.Record, policy *Policy) bool {
	known := v.verdict.Load()
	if known == nil || known.record != record || known.policy != policy {
		known = &verdict{record: record, policy: policy, permits: policy.Permits(&record.Identity)}
		v.verdict.Store(known)
	}
	return known.permits
}

// stamp is a record's identity in the form in which it goes upstream, made
// once a record.
type stamp struct {
	record                    *session.Record
	cookie                    string
	user, email, name, groups []string
}

func (v *sessionRuntime) stampOf(record *session.Record, cookieName string) *stamp {
	known := v.stamp.Load()
	if known == nil || known.record != record {
		known = newStamp(record, cookieName)
		v.stamp.Store(known)
	}
	return known
}

// clientHint is the client's address and browser, by which the application
// tells devices apart.
type clientHint struct {
	address   string
	agent     []string
	forwarded []string
}

// rememberClient remembers the client of a session, once in this process.
func (v *sessionRuntime) rememberClient(r *http.Request) {
	if v.client.Load() == nil {
		v.client.Store(&clientHint{r.RemoteAddr, r.Header["User-Agent"], r.Header["X-Forwarded-For"]})
	}
}

// request returns a request as the client could have sent it.
func (c *clientHint) request(origin request.Origin) *http.Request {
	r := &http.Request{
		Method: http.MethodGet, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Host: origin.Host, Header: make(http.Header),
	}
	if origin.Secure() {
		r.TLS = &tls.ConnectionState{Version: tls.VersionTLS13, HandshakeComplete: true, ServerName: origin.Host}
	}
	if c == nil { // no request was seen yet
		return r
	}
	r.RemoteAddr = c.address
	for name, values := range map[string][]string{"User-Agent": c.agent, "X-Forwarded-For": c.forwarded} {
		if len(values) > 0 {
			r.Header[name] = values
		}
	}
	return r
}
