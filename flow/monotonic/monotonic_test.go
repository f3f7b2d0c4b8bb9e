// Intervals by the monotonic clock.

package monotonic

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestNumbersGrowWithTheClock(t *testing.T) {
	t.Parallel()
	for name, now := range map[string]time.Time{
		"the clock": time.Now(), "a wall clock only": time.Now().Round(0),
		"1970": time.Unix(0, 0), "2100": time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC),
	} {
		at := Nanoseconds(now)
		if at <= 0 {
			t.Errorf("%s: %d, want it positive: 0 means never", name, at)
		}
		if got := Nanoseconds(now.Add(time.Minute)) - at; got != int64(time.Minute) {
			t.Errorf("%s: a minute later is %d ns later", name, got)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		began := Seconds(time.Now())
		time.Sleep(time.Hour)
		if got := Seconds(time.Now()) - began; got != 3600 {
			t.Errorf("after an hour: %d seconds", got)
		}
	})
}

// A record that was stored before the clock was set back has times in the future.
func TestStoredTimes(t *testing.T) {
	t.Parallel()
	now := time.Now()
	for name, c := range map[string]struct{ got, want time.Time }{
		"the past":         {Past(now.Add(-time.Hour).Round(0), now), now.Add(-time.Hour)},
		"the future":       {Past(now.Add(time.Hour).Round(0), now), now},
		"an expiry":        {Near(now.Add(time.Hour).Round(0), now), now.Add(time.Hour)},
		"an expiry before": {Near(now.Add(-time.Hour).Round(0), now), now.Add(-time.Hour)},
	} {
		if !c.got.Equal(c.want) || !c.got.Round(0).Equal(c.want.Round(0)) {
			t.Errorf("%s: got %s, want %s", name, c.got, c.want)
		}
	}
}

func TestReached(t *testing.T) {
	t.Parallel()
	now := time.Now()
	for name, c := range map[string]struct {
		at   time.Time
		want bool
	}{
		"past":                    {now.Add(-time.Second), true},
		"now":                     {now, true},
		"future":                  {now.Add(time.Second), false},
		"past by the wall clock":  {now.Add(-time.Second).Round(0), true},
		"future by the wall only": {now.Add(time.Second).Round(0), false},
	} {
		if Reached(c.at, now) != c.want {
			t.Errorf("%s: got %v, want %v", name, !c.want, c.want)
		}
	}
}
