// Which clock is off: this machine's, measured against the provider's.

package flow

import (
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/flow/span"
)

// ClockError says that a token of the provider was issued too far from now. Of
// an ID token, it comes with ErrIDTokenInvalid.
type ClockError struct {
	Issued   time.Duration // how far the token's time is ahead of this machine's clock
	Provider time.Duration // how far the provider's clock is ahead of it, by the Date of its last response
	Measured bool          // there was such a Date
}

// Error names both clocks.
func (e *ClockError) Error() string {
	text := fmt.Sprintf("iat is too old or in the future, %s", aheadOrBehind(e.Issued))
	switch {
	case !e.Measured:
		return text + "; the provider sends no Date to compare"
	case e.clockIsOff():
		return fmt.Sprintf("%s: the provider's clock is %s by its Date, so set both clocks by NTP", text, aheadOrBehind(e.Provider))
	}
	return text + ", although the provider's clock agrees with this machine's by its Date: the token is old, or made by another machine"
}

// Hint says for the operator which clock is off, empty if none is known to be.
func (e *ClockError) Hint() string {
	if !e.clockIsOff() {
		return ""
	}
	return fmt.Sprintf("The clock of {provider} is %s: compare both with another one, and set them by NTP.", aheadOrBehind(e.Provider))
}

func (e *ClockError) clockIsOff() bool { return e.Measured && e.Provider.Abs() > idTokenLeeway/2 }

func aheadOrBehind(d time.Duration) string {
	word := "ahead of"
	if d < 0 {
		word = "behind"
	}
	return fmt.Sprintf("%s %s Caddy's clock", d.Abs().Round(time.Second), word)
}

// providerClock is how far the provider's clock is ahead of this machine's.
type providerClock struct{ ahead atomic.Pointer[time.Duration] }

// clockTransport measures the provider's clock, and how long it takes to answer.
type clockTransport struct {
	base    http.RoundTripper
	rp      *RelyingParty
	compare func(time.Time)
}

func (t clockTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	base := t.base
	if base == nil {
		base = http.DefaultTransport
	}
	_, end := span.Start(r.Context(), t.rp.spanOf(r.URL))
	answer, err := base.RoundTrip(r)
	end(err)
	t.rp.noteAnswer(r, answer, err)
	if err != nil {
		return nil, err
	}
	if answer.StatusCode == http.StatusNotFound || answer.StatusCode == http.StatusGone {
		t.rp.contradicted(r.Context())
	}
	date, err := http.ParseTime(answer.Header.Get("Date"))
	t.compare(date)
	if err == nil {
		ahead := date.Sub(t.rp.config.Now())
		t.rp.clock.ahead.Store(&ahead)
	}
	return answer, nil
}

// clockError describes a token that was issued at a time too far from now.
func (rp *RelyingParty) clockError(issued time.Time) *ClockError {
	e := &ClockError{Issued: issued.Sub(rp.config.Now())}
	if ahead := rp.clock.ahead.Load(); ahead != nil {
		e.Provider, e.Measured = *ahead, true
	}
	return e
}
