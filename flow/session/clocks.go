// The store's two clocks: Unix seconds are stored and shown, ticks measure
// intervals in memory.

package session

import "github.com/romm-oidc/caddy-romm-oidc/flow/monotonic"

// unix returns the time of the wall clock in Unix seconds.
func (s *Store) unix() int64 { return s.now().Unix() }

// tick returns the time of the process's own clock in seconds. Setting the wall
// clock does not change it; another process has other ticks.
func (s *Store) tick() int64 { return monotonic.Seconds(s.now()) }

// clockJump is a change of the wall clock that no drift explains, in seconds.
const clockJump = 600

// clockSet reports whether the wall clock was set, or the machine slept, since
// the last call or since New.
func (s *Store) clockSet() bool {
	ahead := s.unix() - s.tick()
	jump := ahead - s.clockAhead.Swap(ahead)
	return jump > clockJump || jump < -clockJump
}

// tickOf returns the tick of a time in the past. A time in the future, which
// comes from before the wall clock was set back, counts as now.
func (s *Store) tickOf(unix int64) int64 {
	now := s.now()
	return monotonic.Seconds(now) - max(0, now.Unix()-unix)
}

// unixOf returns when a tick was, by the wall clock as it is now.
func (s *Store) unixOf(tick int64) int64 {
	now := s.now()
	return now.Unix() - (monotonic.Seconds(now) - tick)
}
