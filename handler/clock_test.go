// Re-checks while the wall clock is set.

package handler

import (
	"testing"
	"time"
	"unsafe"

	"github.com/romm-oidc/caddy-romm-oidc/flow/monotonic"
)

// A wall clock that is set back, or ahead and back, leaves no moment in the
// future: re-checks are due as if nothing had happened.
func TestClockIsSetBack(t *testing.T) {
	t.Parallel()
	began := time.Now()
	for _, ahead := range []time.Duration{0, -time.Hour, 15 * 24 * time.Hour, -400 * 24 * time.Hour} {
		at := func(wall, since time.Duration) time.Time {
			now := began.Add(since)
			*(*uint64)(unsafe.Pointer(&now)) += uint64(int64(wall/time.Second)) << 30 // the wall clock's part of time.Time
			return now
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
