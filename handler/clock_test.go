// Re-checks while the wall clock is set.

package handler

import (
	"fmt"
	"testing"
	"time"
	"unsafe"

	"github.com/romm-oidc/caddy-romm-oidc/flow"
	"github.com/romm-oidc/caddy-romm-oidc/flow/monotonic"
)

// withWall returns t as a process reads it after its wall clock was set ahead.
func withWall(t time.Time, ahead time.Duration) time.Time {
	*(*uint64)(unsafe.Pointer(&t)) += uint64(int64(ahead/time.Second)) << 30 // the wall clock's part of time.Time
	return t
}

// A wall clock that is set back, or ahead and back, leaves no moment in the
// future: re-checks are due as if nothing had happened.
func TestClockIsSetBack(t *testing.T) {
	t.Parallel()
	began := time.Now()
	for _, ahead := range []time.Duration{0, -time.Hour, 15 * 24 * time.Hour, -400 * 24 * time.Hour} {
		at := func(wall, since time.Duration) time.Time {
			return withWall(began.Add(since), wall)
		}
		v := new(sessionRuntime)
		v.checked(at(0, 0), at(0, 5*time.Minute))
		h := new(Handler)
		h.config.Now = func() time.Time { return at(ahead, 4*time.Minute) }
		if due := v.checkAt.Load(); due <= monotonic.Nanoseconds(h.now()) || due > monotonic.Nanoseconds(at(ahead, 5*time.Minute)) {
			t.Errorf("clock %s ahead: the re-check is not due after 5 minutes", ahead)
		}
	}
}

// The machine slept for eight hours, during which the process's monotonic clock
// stood still. An access token that is refused afterwards ran out in the sleep, and
// was not withdrawn, so that neither the session ends nor the user's tokens of the
// application.
func TestTokensThatRanOutInTheSleep(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		slept time.Duration
		ended bool
	}{"slept": {8 * time.Hour, false}, "awake": {0, true}, "set back": {-8 * time.Hour, true}} {
		s := newSite(t, nil)
		ticket := s.ticket(t, alice)
		found, err := s.handler.config.Gate.Sessions.Lookup(t.Context(), ticket[len("__Host-romm_oidc="):])
		if err != nil || found == nil {
			t.Fatalf("%s: got %v, %v, want the session", name, found, err)
		}
		tokens := found.Record().Tokens
		tokens.Expires = withWall(time.Now().Add(30*time.Minute), -c.slept)
		if err := s.handler.withdraw(t.Context(), found, tokens); err != nil {
			t.Fatal(err)
		}
		if found.Ended() != c.ended || !c.ended && !s.handler.unproven(found.Record()) {
			t.Errorf("%s: the session ended: %v, want %v, and unproven if it did not", name, found.Ended(), c.ended)
		}
	}
}

// The tokens of a session in use expired weeks ago, by a clock that is wrong. The
// session is unproven from now on, so that it does not end at once.
func TestUnprovenByAWrongClock(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	ticket := s.ticket(t, alice)
	found, err := s.handler.config.Gate.Sessions.Lookup(t.Context(), ticket[len("__Host-romm_oidc="):])
	if err != nil || found == nil {
		t.Fatalf("got %v, %v, want the session", found, err)
	}
	record := *found.Record()
	record.Tokens.Expires = time.Now().Add(-15 * 24 * time.Hour)
	used := fmt.Errorf("%w: the ID token is expired", flow.ErrTokensEnded)
	for name, row := range map[string]struct {
		err     error
		checked time.Duration // ago; 0: never
		least   time.Duration // since when it is unproven at most
	}{
		"of the clock":        {fmt.Errorf("%w: %w", flow.ErrTokensEnded, &flow.ClockError{}), 0, 0},
		"of another cause":    {used, 0, 15 * 24 * time.Hour},
		"it was proven today": {used, 5 * time.Minute, 5 * time.Minute},
	} {
		v := runtimeOf(found)
		v.checkedAt.Store(0)
		if row.checked > 0 {
			v.checkedAt.Store(monotonic.Nanoseconds(time.Now().Add(-row.checked)))
		}
		if since := time.Since(s.handler.unusableSince(found, &record, row.err)); since < row.least || since > row.least+time.Minute {
			t.Errorf("%s: unproven for %s, want %s", name, since, row.least)
		}
	}
}
