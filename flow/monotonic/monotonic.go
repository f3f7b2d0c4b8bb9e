// Package monotonic measures intervals inside the process. The wall clock does
// not: an administrator or NTP may set it at any time, by seconds or by years.
//
// A [time.Time] of [time.Now] carries a reading of the monotonic clock, which
// Sub, Before and After use. A number of Unix seconds or nanoseconds does not:
// to keep a moment as a number, keep what this package returns. Such numbers
// mean nothing to another process and are never stored or shown.
package monotonic

import "time"

// start anchors the numbers, and origin keeps them positive, also for the times
// that tests make up, so that 0 can mean never.
var start = time.Now()

const origin = 100 * 365 * 24 * time.Hour

// Nanoseconds returns t as a number that grows with the monotonic clock. If t
// has no monotonic reading, use [Near] first.
func Nanoseconds(t time.Time) int64 { return int64(origin + t.Sub(start)) }

// Seconds is Nanoseconds in whole seconds.
func Seconds(t time.Time) int64 { return Nanoseconds(t) / int64(time.Second) }

// Near returns t, which may come from storage, as the wall clock sees it from
// now, with a monotonic reading if now has one.
func Near(t, now time.Time) time.Time { return now.Add(t.Sub(now)) }

// Past is Near for a time that cannot be later than now. If the wall clock says
// so, it was set back after t, and t counts as now.
func Past(t, now time.Time) time.Time { return now.Add(min(0, t.Sub(now))) }

// Reached reports whether now is t or later by either clock. The monotonic clock
// stands still while the machine is suspended, so that a moment of another
// machine, such as the end of a token, may have come by the wall clock alone.
func Reached(t, now time.Time) bool {
	return !now.Before(t) || !now.Round(0).Before(t.Round(0))
}
