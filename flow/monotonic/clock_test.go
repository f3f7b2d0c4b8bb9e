// Steps of the wall clock.

package monotonic

import (
	"slices"
	"testing"
	"time"
	"unsafe"
)

// machine is a computer with two clocks.
type machine struct{ wall, mono time.Duration }

var booted = time.Now()

// now is what time.Now returns there.
func (m *machine) now() time.Time {
	now := booted.Add(m.mono)
	*(*uint64)(unsafe.Pointer(&now)) += uint64(int64((m.wall-m.mono)/time.Second)) << 30 // the wall clock's part of time.Time
	return now
}

// pass lets both clocks run.
func (m *machine) pass(d time.Duration) { m.wall, m.mono = m.wall+d, m.mono+d }

// A large step counts when somebody else confirms it. It is ignored for as long as
// they say something else, and for an hour if they say nothing.
func TestClockIsDoubted(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		step, elsewhere time.Duration // what happened to the machine's clock, and how far another one is ahead of the start
		says, follows   bool
	}{
		"set forth":                  {15 * 24 * time.Hour, 0, true, false},
		"set back":                   {-15 * 24 * time.Hour, 0, true, false},
		"set right":                  {20 * 365 * 24 * time.Hour, 20 * 365 * 24 * time.Hour, true, true},
		"suspended":                  {8 * time.Hour, 8 * time.Hour, true, true},
		"set forth, no word":         {time.Hour, 0, false, false},
		"the other is wrong, too":    {time.Hour, 50 * time.Hour, true, true},
		"corrected by a few minutes": {5 * time.Minute, 0, false, true},
	} {
		m := new(machine)
		c := NewClock(m.now)
		m.pass(time.Minute)
		m.wall += row.step
		if row.says {
			c.Compare(booted.Add(row.elsewhere + m.mono).Round(0))
		}
		now := c.Now()
		want := booted.Add(m.mono)
		if row.follows {
			want = m.now()
		}
		if off := now.Round(0).Sub(want.Round(0)); off.Abs() > time.Second || now.Sub(booted) != m.mono {
			t.Errorf("%s: the time is off by %s, want none; its monotonic reading is %s, want %s", name, off, now.Sub(booted), m.mono)
		}
		m.wall -= row.step // back
		if row.follows {
			continue
		}
		if off := c.Now().Round(0).Sub(m.now().Round(0)); off.Abs() > time.Second {
			t.Errorf("%s, and back: the time is off by %s", name, off)
		}
	}
}

// Without a word of another clock, a step counts after an hour; with one against
// it, never.
func TestClockThatStaysAhead(t *testing.T) {
	t.Parallel()
	for _, says := range []bool{false, true} {
		m := new(machine)
		c := NewClock(m.now)
		m.wall += 24 * time.Hour
		for range 70 {
			if says {
				c.Compare(booted.Add(m.mono).Round(0))
			}
			c.Now()
			m.pass(time.Minute)
		}
		ahead := c.Now().Round(0).Sub(booted.Add(m.mono).Round(0))
		if says && ahead.Abs() > time.Second || !says && ahead < 23*time.Hour {
			t.Errorf("after 70 minutes, with another clock against it %t: %s ahead", says, ahead)
		}
	}
}

// A clock that is set forth and back is doubted anew when it is set forth again.
func TestClockIsSetTwice(t *testing.T) {
	t.Parallel()
	m := new(machine)
	c := NewClock(m.now)
	for range 5 {
		m.wall += 24 * time.Hour
		if ahead := c.Now().Round(0).Sub(booted.Add(m.mono).Round(0)); ahead.Abs() > time.Second {
			t.Errorf("set forth: the time is %s ahead, want it doubted", ahead)
		}
		m.wall -= 24 * time.Hour
		c.Now()
		m.pass(45 * time.Minute)
	}
}

// Many requests read the clock while the provider confirms a step. None of them takes
// the step for a new one.
func TestClockIsReadDuringTheVerdict(t *testing.T) {
	t.Parallel()
	m := new(machine)
	var c *Clock
	late := make(chan time.Time, 1)
	c = NewClock(func() time.Time {
		now := m.now()
		select {
		case now = <-late: // a request that read the machine's clock, and was then held up
			c.trust(m.now())
		default:
		}
		return now
	})
	var noticed []Verdict
	c.Notice = func(_ time.Duration, what Verdict) { noticed = append(noticed, what) }
	m.pass(time.Minute)
	before := m.now()
	m.wall += 24 * time.Hour
	m.pass(time.Second)
	late <- before
	if ahead := c.Now().Round(0).Sub(booted.Round(0)); ahead < 23*time.Hour {
		t.Errorf("the time is %s ahead, want that of the machine", ahead)
	}
	if c.Now(); len(noticed) != 0 {
		t.Errorf("noticed %v, want nothing", noticed)
	}
}

// An operator learns of each step once, and of its outcome.
func TestStepsAreNoticed(t *testing.T) {
	t.Parallel()
	m := new(machine)
	c := NewClock(m.now)
	var noticed []string
	c.Notice = func(step time.Duration, what Verdict) {
		noticed = append(noticed, step.String()+[]string{" doubted", " believed", " undone"}[what])
	}
	c.Now()
	for _, step := range []time.Duration{time.Minute, 24 * time.Hour, -24 * time.Hour, 2 * time.Hour} {
		m.wall += step
		c.Now()
		m.pass(time.Second)
		c.Now()
	}
	c.Compare(m.now().Round(0))
	want := []string{"24h0m0s doubted", "24h0m0s undone", "2h0m0s doubted", "2h0m0s believed"}
	if !slices.Equal(noticed, want) {
		t.Errorf("noticed %q, want %q", noticed, want)
	}
}

// A provider that sends no time confirms what the machine says.
func TestClockWithoutDate(t *testing.T) {
	t.Parallel()
	m := new(machine)
	c := NewClock(m.now)
	m.wall += 24 * time.Hour
	c.Compare(time.Time{})
	if ahead := c.Now().Round(0).Sub(booted.Round(0)); ahead < 23*time.Hour {
		t.Errorf("the time is %s ahead, want that of the machine", ahead)
	}
}

// A suspended machine is noticed, whatever its length and what is said of it. A
// clock that runs on, or is set back, is no pause.
func TestPaused(t *testing.T) {
	t.Parallel()
	m := new(machine)
	c := NewClock(m.now)
	step := func(what string, by time.Duration, want bool) {
		t.Helper()
		m.pass(time.Hour)
		before := c.Paused()
		m.wall += by
		c.Now()
		if got := c.Paused() != before; got != want {
			t.Errorf("%s: a pause was found: %t, want %t", what, got, want)
		}
		if want && c.Paused() != Nanoseconds(m.now()) {
			t.Errorf("%s: the pause is over at %d, want now", what, c.Paused())
		}
	}
	step("nothing", 0, false)
	step("NTP", 2*time.Second, false)
	step("two minutes", 2*time.Minute, true)
	step("nothing more", 0, false)
	step("eight hours", 8*time.Hour, true)
	step("nothing more", 0, false)
	step("eight hours again", 8*time.Hour, true)
	step("set back", -16*time.Hour, false)
	c.Compare(m.now().Round(0))
	step("a week", 7*24*time.Hour, true)
	c.Compare(m.now().Round(0))
	step("nothing after it was confirmed", 0, false)
}
