// Package background keeps watch over the work that no request waits for: a
// provider that is down for weeks would otherwise leave no trace, and "a
// disabled user is out within minutes" would silently be untrue.
package background

import (
	"context"
	"errors"
	"sync"
	"time"

	"go.uber.org/zap"
)

// Work is a kind of work. It is a label of the metrics.
type Work string

// The kinds of work.
const (
	Recheck   Work = "recheck"   // of sessions at the provider
	Refresh   Work = "refresh"   // of their tokens
	SignOut   Work = "sign_out"  // of ended sessions from the application
	Revoke    Work = "revoke"    // of their tokens at the provider
	Shut      Work = "shut"      // of the other credentials of users who lost access
	Tombstone Work = "tombstone" // which tells other nodes that a session ended
	Sweep     Work = "sweep"     // of what expired in storage
)

// All returns every kind of work, in the order in which lists have them.
func All() []Work { return []Work{Recheck, Refresh, SignOut, Revoke, Shut, Tombstone, Sweep} }

// Outcome is what came of a piece of work. It is a label of the metrics.
type Outcome string

// The outcomes.
const (
	OK      Outcome = "ok"
	Refused Outcome = "refused" // by the one who was asked, for good
	Failed  Outcome = "failed"
)

// Outcomes returns the outcomes that a kind of work can have.
func Outcomes(work Work) []Outcome {
	if work == Refresh {
		return []Outcome{OK, Refused, Failed}
	}
	return []Outcome{OK, Failed}
}

// meanings are what a failure means for users, and what the log says at its end.
var meanings = map[Work]struct{ failing, again string }{
	Recheck: {
		"re-checks fail: users who are disabled or lose a group at the provider stay signed in until it answers, will retry",
		"re-checks work again",
	},
	Refresh: {
		"tokens are not refreshed: sessions continue unchecked after their tokens expire, and their users pass through the provider, will retry",
		"tokens are refreshed again",
	},
	SignOut: {
		"sign-outs at the application fail: users who signed out keep a valid session in the application until it expires",
		"sign-outs at the application work again",
	},
	Revoke: {
		"tokens are not revoked: those of ended sessions stay valid at the provider until they expire",
		"tokens are revoked again",
	},
	Shut: {
		"accounts are not shut: client tokens and passwords of users who lost access still work at the application",
		"accounts are shut again",
	},
	Tombstone: {
		"cannot persist session ends: these sessions have ended on this node, but remain valid on other nodes and after a restart, will retry",
		"session ends are persisted again",
	},
	Sweep: {
		"expired sessions are not removed from storage: users do not notice, but it grows, will retry",
		"expired sessions are removed from storage again",
	},
}

// quiet is the least time between two warnings about one kind of work, so that
// work that fails for one user only does not fill the log.
const quiet = 10 * time.Minute

// Monitor notes the outcomes of a gate's work. Its methods may be called
// concurrently.
type Monitor struct {
	logger func() *zap.Logger

	// Count counts an outcome. It is set before use, or nil.
	Count func(work Work, outcome Outcome)

	mu    sync.Mutex // guards kinds
	kinds map[Work]*streak
}

// streak is what was last seen of a kind of work.
type streak struct {
	since  time.Time // the first failure of the streak; zero if there is none
	err    error     // the last failure
	said   bool      // the log has a warning that the work fails
	warned time.Time // the last warning
}

// New returns a Monitor that logs to what logger returns.
func New(logger func() *zap.Logger) *Monitor {
	return &Monitor{logger: logger, kinds: make(map[Work]*streak)}
}

// Done notes the outcome of one piece of work. The log gets one warning at the
// first failure, and one line when the work succeeds again. Work that was
// cancelled does not count.
func (m *Monitor) Done(work Work, err error) {
	if errors.Is(err, context.Canceled) {
		return
	}
	outcome := OK
	if err != nil {
		outcome = Failed
	}
	m.done(work, outcome, err)
}

// Refused notes that the one who was asked answered, and refused. Nothing is
// wrong with the work itself.
func (m *Monitor) Refused(work Work) { m.done(work, Refused, nil) }

func (m *Monitor) done(work Work, outcome Outcome, err error) {
	if m.Count != nil {
		m.Count(work, outcome)
	}
	switch failing, again := m.note(work, err, time.Now()); {
	case failing:
		m.logger().Warn(meanings[work].failing, zap.String("work", string(work)), zap.Error(err))
	case again:
		m.logger().Info(meanings[work].again, zap.String("work", string(work)))
	}
}

// note reports whether the log is to say that the work fails, or that it succeeds again.
func (m *Monitor) note(work Work, err error, now time.Time) (failing, again bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.kinds[work]
	if s == nil {
		s = new(streak)
		m.kinds[work] = s
	}
	if err == nil {
		again = s.said
		s.since, s.err, s.said = time.Time{}, nil, false
		return false, again
	}
	if s.since.IsZero() {
		s.since = now
	}
	s.err = err
	if s.said || !s.warned.IsZero() && now.Sub(s.warned) < quiet {
		return false, false
	}
	s.said, s.warned = true, now
	return true, false
}

// Failure is work that failed the last time.
type Failure struct {
	Work  Work
	Since time.Time
	Err   error
}

// Failing returns the work that failed the last time.
func (m *Monitor) Failing() (all []Failure) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, work := range All() {
		if s := m.kinds[work]; s != nil && s.err != nil {
			all = append(all, Failure{work, s.since, s.err})
		}
	}
	return all
}
