// RomM's release, read from its heartbeat, and what depends on it.

package romm

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/romm-oidc/caddy-romm-oidc/handler/application"
)

// The releases in which RomM changed what this package depends on.
var (
	v40  = version{4, 0, 0}
	v431 = version{4, 3, 1}
	v44  = version{4, 4, 0}
	v48  = version{4, 8, 0}
	v50  = version{5, 0, 0}
	v510 = version{5, 1, 0}
	v521 = version{5, 2, 1} // or a later one: what came after 5.2.0 is not released yet
)

// heartbeatAge is how long a heartbeat is trusted.
const heartbeatAge = 5 * time.Minute

// heartbeatTimeout bounds how long a refusal waits for a heartbeat.
const heartbeatTimeout = 3 * time.Second

// heartbeatLimit bounds a heartbeat, in bytes. It lists the folders of all
// platforms.
const heartbeatLimit = 4 << 20

// ReleaseCache remembers the last heartbeat of RomM. All handlers of a gate
// share one, and it outlives reloads.
type ReleaseCache struct {
	calls     singleflight.Group
	heartbeat atomic.Pointer[heartbeat]
	doubted   atomic.Bool // RomM was unreachable since: it may have been upgraded
}

// NewReleaseCache returns an empty cache.
func NewReleaseCache() *ReleaseCache { return new(ReleaseCache) }

// heartbeat is the part of RomM's GET /api/heartbeat that the gate reads.
type heartbeat struct {
	System struct {
		Version         string `json:"VERSION"`
		ShowSetupWizard bool   `json:"SHOW_SETUP_WIZARD"`
	} `json:"SYSTEM"`
	OIDC struct {
		Enabled bool `json:"ENABLED"`
	} `json:"OIDC"`

	at      time.Time
	release version // from System.Version
}

// version is the number of a RomM release. The zero value is unknown.
type version [3]int

func (v version) known() bool { return v != version{} }

// parseVersion reads a version such as "5.2.0" or "5.1.1-beta.1". It returns
// false for "development" and everything else that is not a number.
func parseVersion(s string) (version, bool) {
	release, _, _ := strings.Cut(strings.TrimPrefix(s, "v"), "-")
	parts := strings.Split(release, ".")
	if len(parts) != 3 {
		return version{}, false
	}
	var v version
	for i, part := range parts {
		n, err := strconv.Atoi(part)
		if err != nil || n < 0 {
			return version{}, false
		}
		v[i] = n
	}
	return v, true
}

// before reports whether v is a release before other.
func (v version) before(other version) bool { return slices.Compare(v[:], other[:]) < 0 }

// askHeartbeat asks RomM for its heartbeat. A sign-in does not share the
// response with other requests, because an attacker could spoil it.
func (a *App) askHeartbeat(ctx context.Context, call application.Caller) (*heartbeat, error) {
	return a.readHeartbeat(ctx, call, application.Call{Method: http.MethodGet, Target: "/api/heartbeat"})
}

// shareHeartbeat asks RomM once for all requests that need a heartbeat at the
// same time, including anonymous ones.
func (a *App) shareHeartbeat(ctx context.Context, call application.Caller) (*heartbeat, error) {
	asked, err, _ := a.config.Release.calls.Do("heartbeat", func() (any, error) {
		return a.readHeartbeat(ctx, call, application.Call{Method: http.MethodGet, Target: "/api/heartbeat", Bare: true})
	})
	if err != nil {
		return nil, err // a Problem
	}
	return asked.(*heartbeat), nil //nolint:errcheck // readHeartbeat returns no other type
}

func (a *App) readHeartbeat(ctx context.Context, call application.Caller, question application.Call) (*heartbeat, error) {
	question.Limit = heartbeatLimit
	answer, err := call(ctx, question)
	if err != nil {
		return nil, errUnreachable.Because(err)
	}
	var beat heartbeat
	if err := decode("GET /api/heartbeat", answer, &beat); err != nil {
		return nil, err
	}
	if beat.System.Version == "" {
		return nil, unexpected("GET /api/heartbeat", answer)
	}
	beat.at = a.now()
	beat.release, _ = parseVersion(beat.System.Version)
	a.config.Release.heartbeat.Store(&beat)
	return &beat, nil
}

// answers401 reports whether the release answers anonymous requests with 401,
// and its page understands that. Releases up to 5.1.0 answer 403, as they do to
// users without the permission.
func (v version) answers401() bool { return v510.before(v) }

// DeniedStatus returns 403 for RomM up to 5.1.0, because its page understands
// only that, and 401 for later releases and if the release is unknown.
func (a *App) DeniedStatus(ctx context.Context, call application.Caller) int {
	if release := a.release(ctx, call); release.known() && !release.answers401() {
		return http.StatusForbidden
	}
	return http.StatusUnauthorized
}

// release returns RomM's release, zero if it is unknown. It asks RomM if the last
// heartbeat is old or RomM was unreachable since.
func (a *App) release(ctx context.Context, call application.Caller) version {
	known := a.config.Release.heartbeat.Load()
	if !a.certain(known) {
		ctx, cancel := context.WithTimeout(ctx, heartbeatTimeout)
		defer cancel()
		if beat, err := a.shareHeartbeat(ctx, call); err == nil {
			a.config.Release.doubted.Store(false)
			known = beat
		}
	}
	if known == nil {
		return version{}
	}
	return known.release
}

// certain reports whether RomM must still be of the release in beat.
func (a *App) certain(beat *heartbeat) bool {
	return beat != nil && a.now().Sub(beat.at) < heartbeatAge && !a.config.Release.doubted.Load()
}

// Failed notes that RomM was unreachable: it may be of another release when it
// returns.
func (a *App) Failed() { a.config.Release.doubted.Store(true) }

// Version returns the version that RomM last reported, and when. It returns ""
// if RomM has not reported one yet.
func (c *ReleaseCache) Version() (string, time.Time) {
	if beat := c.heartbeat.Load(); beat != nil {
		return beat.System.Version, beat.at
	}
	return "", time.Time{}
}
