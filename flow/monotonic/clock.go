// Clock: what time it is, if the machine may be wrong about it.

package monotonic

import (
	"sync"
	"sync/atomic"
	"time"
)

const (
	// clockStep is the least step of the wall clock that Clock doubts. Smaller ones
	// are what NTP corrects.
	clockStep = 10 * time.Minute
	// clockDoubt is how long Clock doubts a step that it hears nothing about.
	clockDoubt = time.Hour
	// pauseStep is how far the wall clock has to run ahead of the monotonic one to
	// count as a pause. On Linux, the monotonic clock stops while the machine is
	// suspended.
	pauseStep = 10 * time.Second
)

// Clock is the clock of a process. If the wall clock moves by a large step, either
// the machine was suspended and the step is right, or the clock was set and the
// step may be wrong: a session that was used a minute ago would seem unused for
// weeks. So Clock continues at its own pace until Compare has told which it was,
// or for an hour. All methods may be called concurrently.
type Clock struct {
	// Notice, if not nil, is told of each step that is doubted, and later whether it
	// was right. It is set before use, and must not call the clock.
	Notice func(step time.Duration, what Verdict)

	read   func() time.Time
	paused atomic.Int64            // see Paused
	known  atomic.Pointer[reading] // the last one that was right
	off    atomic.Bool             // step is not 0

	mu      sync.Mutex
	step    time.Duration // by which the wall clock was last found ahead of known
	doubted time.Time     // when it was first doubted; zero: it is not
}

// Verdict is what a Clock makes of a step of the wall clock.
type Verdict int

const (
	// Doubted is a step that does not count yet.
	Doubted Verdict = iota
	// Believed is a step that counts from now on.
	Believed
	// Undone is a step that was taken back before it counted.
	Undone
)

// NewClock returns a clock that reads now, and takes its first time for right. A
// nil now is [time.Now].
func NewClock(now func() time.Time) *Clock {
	if now == nil {
		now = time.Now
	}
	c := &Clock{read: now}
	c.known.Store(newReading(now()))
	return c
}

// Now returns the time.
func (c *Clock) Now() time.Time {
	now := c.read()
	if c.known.Load().step(now).Abs() < time.Second && !c.off.Load() {
		return now
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	known := c.known.Load()
	if now.Before(known.monotonic) { // it was read before the step that counts now
		return known.steady(now)
	}
	step := known.step(now)
	if step-c.step >= pauseStep {
		c.paused.Store(Nanoseconds(now))
	}
	switch {
	case step.Abs() < clockStep || !c.doubted.IsZero() && now.Sub(c.doubted) >= clockDoubt:
		c.trust(now)
		return now
	case c.doubted.IsZero():
		c.doubted = now
		c.notice(step, Doubted)
	}
	c.step = step
	c.off.Store(true)
	return known.steady(now)
}

// reading is a time as both clocks of the machine had it.
type reading struct{ monotonic, wall time.Time }

func newReading(now time.Time) *reading { return &reading{now, now.Round(0)} }

// step returns by how much the wall clock of now is ahead of the time by the
// clock's own pace.
func (r *reading) step(now time.Time) time.Duration {
	return now.Round(0).Sub(r.wall) - now.Sub(r.monotonic)
}

// steady returns the time by the clock's own pace.
func (r *reading) steady(now time.Time) time.Time { return r.monotonic.Add(now.Sub(r.monotonic)) }

func (c *Clock) notice(step time.Duration, what Verdict) {
	if c.Notice != nil {
		c.Notice(step, what)
	}
}

// trust takes now for right. It needs c.mu.
func (c *Clock) trust(now time.Time) {
	if !c.doubted.IsZero() {
		step, what := c.known.Load().step(now), Believed
		if step.Abs() < clockStep {
			step, what = c.step, Undone
		}
		c.notice(step, what)
	}
	c.known.Store(newReading(now))
	c.step, c.doubted = 0, time.Time{}
	c.off.Store(false)
}

// Compare tells the clock what time it is elsewhere, which decides a doubt. A zero
// time means that the other machine did not say, and decides for the wall clock.
func (c *Clock) Compare(elsewhere time.Time) {
	now := c.read()
	known := c.known.Load()
	step, steady := known.step(now), known.steady(now)
	if step.Abs() < clockStep {
		return
	}
	if elsewhere.IsZero() || elsewhere.Sub(now.Round(0)).Abs() <= elsewhere.Sub(steady.Round(0)).Abs() {
		c.Now() // notes a pause
		c.mu.Lock()
		defer c.mu.Unlock()
		c.trust(now)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.doubted = now // the hour begins anew
}

// Paused returns when the wall clock was last found ahead, 0 for never, as
// [Nanoseconds]: the machine may have been suspended before that.
func (c *Clock) Paused() int64 { return c.paused.Load() }
