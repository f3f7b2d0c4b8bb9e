// RomM's clock, which has to agree with Caddy's.

package romm

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/handler/application"
	"github.com/romm-oidc/caddy-romm-oidc/handler/problem"
)

// clockLeeway is how far RomM's clock may be off before it is named as the cause
// of a refused sign-in. RomM itself refuses an ID token of two minutes ahead.
const clockLeeway = time.Minute

// clockError says by how much RomM's clock is off. A refusal that it causes says
// nothing about the user's account.
type clockError string

func (e clockError) Error() string { return string(e) }

// ofClock reports whether a sign-in was refused because of RomM's clock.
func ofClock(err error) bool {
	_, ok := errors.AsType[clockError](err)
	return ok
}

// orClock returns refused, or if RomM's clock is off by answer's Date, that as the
// cause: RomM refuses an ID token of another time without saying so.
func (a *App) orClock(answer *application.Answer, refused *problem.Problem) error {
	date, err := http.ParseTime(answer.Header.Get("Date"))
	if err != nil {
		return refused
	}
	ahead := date.Sub(a.now()).Round(time.Second)
	if ahead.Abs() < clockLeeway {
		return refused
	}
	word := "ahead of"
	if ahead < 0 {
		word = "behind"
	}
	off := clockError(fmt.Sprintf("RomM's clock is %s %s Caddy's", ahead.Abs(), word))
	clock := refused.Because(fmt.Errorf("%w: %w", off, refused.Cause))
	clock.Hint = string(off) + ", so RomM takes the sign-in for one of another time. Compare both with another clock, and set them by NTP."
	return clock
}
