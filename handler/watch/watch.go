// Package watch lets the operator of a gate follow one sign-in, step by step. It
// keeps no token, code or cookie, and forgets the report a minute after the time for
// which the operator asked.
package watch

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"slices"
	"sync"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/flow/span"
)

const (
	// longest bounds how long a gate waits for the sign-in.
	longest = time.Hour
	// kept is how long the report can be read after the wait is over.
	kept = time.Minute
	// stepLimit bounds the steps of a report.
	stepLimit = 200
)

// Step is something that happened on the way.
type Step struct {
	Name   string        `json:"name"`
	At     time.Duration `json:"at"`             // when it began, in nanoseconds since the operator asked
	Took   time.Duration `json:"took,omitempty"` // in nanoseconds; 0 for a moment
	Failed bool          `json:"failed,omitempty"`
}

// Claims are what the provider said of the user.
type Claims struct {
	Subject     string   `json:"sub"`
	Username    string   `json:"username"`
	Email       string   `json:"email"`
	Name        string   `json:"name,omitempty"`
	Groups      []string `json:"groups"`
	FromIDToken []string `json:"from_id_token,omitempty"` // those that userinfo did not name
	Lacking     []string `json:"lacking,omitempty"`       // scopes that were asked for and did not come
}

// Request is what the browser's request looked like at the gate.
type Request struct {
	Client    string `json:"client"`    // the address that limits count
	Peer      string `json:"peer"`      // where the connection came from
	Host      string `json:"host"`      // that was asked for
	Forwarded string `json:"forwarded"` // the header fields of proxies in between, by their names
}

// Refusal is why a sign-in failed.
type Refusal struct {
	Code   string `json:"code"`
	Title  string `json:"title"`
	Cause  string `json:"cause,omitempty"`
	Hint   string `json:"hint,omitempty"`
	Doctor string `json:"doctor,omitempty"` // the code of the doctor that explains it
}

// Account is the application's account of a user.
type Account struct {
	ID       int    `json:"id"`
	Username string `json:"username"`
	Email    string `json:"email"`
	Role     string `json:"role,omitempty"` // in the application, when the gate last saw it
}

// Report is what happened so far.
type Report struct {
	Done    bool     `json:"done"`
	Steps   []Step   `json:"steps"`
	Request *Request `json:"request,omitempty"`
	Claims  *Claims  `json:"claims,omitempty"`
	Role    string   `json:"role,omitempty"` // that the settings give to the user
	Account *Account `json:"account,omitempty"`
	Refusal *Refusal `json:"refusal,omitempty"`
}

// SignIn is the sign-in that the operator of a gate follows. The zero value follows
// none.
type SignIn struct {
	mu     sync.Mutex
	marker string // of the address at which it begins; empty: none is followed
	state  string // of the login that began there; empty: none yet
	came   bool   // that login's response arrived
	began  time.Time
	until  time.Time
	report Report
}

// Follow begins to wait for the sign-in that begins with the marker it returns.
// What was followed before is forgotten.
func (s *SignIn) Follow(wait time.Duration) (marker string) {
	wait = min(max(wait, 0), longest)
	s.mu.Lock()
	defer s.mu.Unlock()
	marker = rand.Text()
	s.forget()
	s.marker, s.began = marker, time.Now()
	s.until = s.began.Add(wait)
	time.AfterFunc(wait+kept, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.marker == marker {
			s.forget()
		}
	})
	return marker
}

func (s *SignIn) forget() { s.marker, s.state, s.came, s.report = "", "", false, Report{} }

// Begin says that a login with state begins at the address with marker. Until a
// response arrives, the last login counts: a link preview may open the address
// before the user does.
func (s *SignIn) Begin(marker, state string, request Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.marker == "" || subtle.ConstantTimeCompare([]byte(marker), []byte(s.marker)) != 1 || s.came || s.report.Done || time.Now().After(s.until) {
		return
	}
	s.state, s.report.Request = state, &request
	s.step("the browser opened the address", time.Now())
}

// Came says that the response to the login with state arrived. If that login is
// followed, the steps of the work under the context that Came returns are noted.
func (s *SignIn) Came(ctx context.Context, state string) context.Context {
	noted := s.note(state, func() {
		s.came = true
		s.step("the browser came back from the provider", time.Now())
	})
	if !noted {
		return ctx
	}
	return span.Record(ctx, func(name span.Name, began time.Time, err error) {
		s.note(state, func() {
			if s.step(string(name), began); len(s.report.Steps) > 0 {
				last := &s.report.Steps[len(s.report.Steps)-1]
				last.Took, last.Failed = time.Since(began), err != nil
			}
		})
	})
}

// Restarted says that the response to the login with state came without that login's
// cookie, so that another one begins in its place.
func (s *SignIn) Restarted(state, next string) {
	s.note(state, func() {
		s.step("the browser came back without the cookie of the sign-in, which begins again", time.Now())
		s.state = next
	})
}

// Knows adds what the provider said of the user.
func (s *SignIn) Knows(state string, claims *Claims, role string) {
	s.note(state, func() { s.report.Claims, s.report.Role = claims, role })
}

// Ended says that the login with state ended, with a session if refusal is nil.
func (s *SignIn) Ended(state string, refusal *Refusal) {
	s.note(state, func() { s.report.Done, s.report.Refusal = true, refusal })
}

// note runs do if the login with state is followed and has not ended.
func (s *SignIn) note(state string, do func()) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.marker == "" || state == "" || state != s.state || s.report.Done {
		return false
	}
	do()
	return true
}

func (s *SignIn) step(name string, began time.Time) {
	if len(s.report.Steps) < stepLimit {
		s.report.Steps = append(s.report.Steps, Step{Name: name, At: began.Sub(s.began)})
	}
}

// Report returns what happened to the sign-in with marker, and false if that is not
// followed, or no longer.
func (s *SignIn) Report(marker string) (Report, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.marker == "" || subtle.ConstantTimeCompare([]byte(marker), []byte(s.marker)) != 1 {
		return Report{}, false
	}
	report := s.report
	report.Steps = slices.Clone(report.Steps)
	slices.SortStableFunc(report.Steps, func(a, b Step) int { return int(a.At - b.At) })
	if report.Steps == nil {
		report.Steps = []Step{}
	}
	return report, true
}
