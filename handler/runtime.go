// The run-time state of a session: what the gate knows about it and does not store.

package handler

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/flow/monotonic"
	"github.com/romm-oidc/caddy-romm-oidc/flow/session"
)

// sessionRuntime is what the gate knows about a live session beside its record.
// It is not stored: after a restart it begins anew.
type sessionRuntime struct {
	confirmation    atomic.Pointer[confirmation] // of the application's session; nil: never
	client          atomic.Pointer[clientHint]
	configuration   atomic.Int64 // the number of the configuration that the application's session is of
	checkAt         atomic.Int64 // when the provider is to be asked again, as all moments here by the monotonic clock
	checkedAt       atomic.Int64 // when it last answered; 0: never
	check           atomic.Pointer[check]
	failed          atomic.Int32 // how many checks failed since checkedAt
	usedAt          atomic.Int64 // when the last request came; 0: never
	pausing         sync.Mutex   // held while a request ends a pause
	provenUntil     atomic.Int64 // until when the provider's last answer about the user counts; 0: unknown
	unansweredSince atomic.Int64 // when the provider first left a due check unanswered; 0: it answered the last one
	refusedSince    atomic.Int64 // when the application first refused a change of claims; 0: it accepted the last one
	renewAt         atomic.Int64 // the earliest time at which a navigation is sent to the provider again
	brokered        atomic.Pointer[brokering]
	view            atomic.Pointer[view]
	role            atomic.Uint64 // the hash of the application's own, as it last confirmed; 0: unknown
	socketsClosed   atomic.Int64  // when closeSockets was last called; 0: never
	socketsDoubted  atomic.Int64  // since when the application does not confirm the session of open sockets; 0: it does
}

// runtimeOf returns the run-time state of s.
func runtimeOf(s *session.Session) *sessionRuntime {
	return s.Attachment(newRuntime).(*sessionRuntime) //nolint:errcheck // the gate attaches nothing else
}

func newRuntime() any { return new(sessionRuntime) }

// confirmedFor is how long the application's word about a session holds: that
// it is alive and belongs to its account.
const confirmedFor = time.Minute

// confirmation is the application's word about its session.
type confirmation struct {
	doubts uint64 // of the gate when the application was asked
	at     int64  // when that was, by the monotonic clock
}

// nowAsked returns the confirmation that an answer to a question asked now gives.
func (h *Handler) nowAsked() *confirmation {
	return &confirmation{doubts: h.config.Gate.doubts.Load(), at: monotonic.Nanoseconds(h.now())}
}

// confirmed reports whether the application's word about its session still
// holds. It does not after the application failed, or after any of its accounts
// changed: a session of the application holds a user name, and that name may now
// be another account's.
func (h *Handler) confirmed(v *sessionRuntime) bool { return h.confirmedAt(v, h.now()) }

func (h *Handler) confirmedAt(v *sessionRuntime, now time.Time) bool {
	last := v.confirmation.Load()
	return last != nil && last.doubts == h.config.Gate.doubts.Load() && monotonic.Nanoseconds(now)-last.at < int64(confirmedFor)
}

// signedIn notes that h has just signed the session in to the application, of
// which asked was the beginning.
func (v *sessionRuntime) signedIn(h *Handler, asked *confirmation) {
	v.configuration.Store(h.number)
	v.confirmation.Store(asked)
}
