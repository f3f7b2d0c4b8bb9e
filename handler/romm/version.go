package romm

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/handler/application"
)

// heartbeatAge is how long RomM's version is taken for granted.
const heartbeatAge = 5 * time.Minute

// heartbeatTimeout bounds how long a refusal waits for RomM's version.
const heartbeatTimeout = 3 * time.Second

// heartbeat is the part of GET /api/heartbeat that matters here.
type heartbeat struct {
	System struct {
		Version         string `json:"VERSION"`
		ShowSetupWizard bool   `json:"SHOW_SETUP_WIZARD"`
	} `json:"SYSTEM"`
	OIDC struct {
		Enabled bool `json:"ENABLED"`
	} `json:"OIDC"`

	at time.Time
}

// version is a RomM release, for comparing; the zero value is unknown.
type version [3]int

// parseVersion reads "5.2.0" or "5.1.1-beta.1"; false for "development" and
// whatever else it cannot read.
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

// before reports whether v is a release before major.minor.patch.
func (v version) before(major, minor, patch int) bool {
	for i, n := range [3]int{major, minor, patch} {
		if v[i] != n {
			return v[i] < n
		}
	}
	return false
}

// askHeartbeat asks RomM. A sign-in asks for itself: whoever asks with it
// could spoil the answer.
func (a *App) askHeartbeat(ctx context.Context, call application.Caller) (*heartbeat, error) {
	return a.readHeartbeat(ctx, call, application.Call{Method: http.MethodGet, Target: "/api/heartbeat"})
}

// shareHeartbeat asks RomM once for all who want to know at the same time,
// strangers among them.
func (a *App) shareHeartbeat(ctx context.Context, call application.Caller) (*heartbeat, error) {
	asked, err, _ := a.config.Known.calls.Do("heartbeat", func() (any, error) {
		return a.readHeartbeat(ctx, call, application.Call{Method: http.MethodGet, Target: "/api/heartbeat", Bare: true})
	})
	if err != nil {
		return nil, err //nolint:wrapcheck // a Problem already
	}
	return asked.(*heartbeat), nil //nolint:errcheck // the function above returns nothing else
}

func (a *App) readHeartbeat(ctx context.Context, call application.Caller, question application.Call) (*heartbeat, error) {
	answer, err := call(ctx, question)
	if err != nil {
		return nil, errUnreachable.Because(err)
	}
	var beat heartbeat
	if answer.Status != http.StatusOK || json.Unmarshal(answer.Body, &beat) != nil || beat.System.Version == "" {
		return nil, unexpected("GET /api/heartbeat", answer)
	}
	beat.at = a.now()
	a.config.Known.heartbeat.Store(&beat)
	return &beat, nil
}

// answers401 reports whether the release answers 401 to nobody, and its page
// understands that: all up to 5.1.0 answer 403, to those who may not as well.
func (v version) answers401() bool { return (version{5, 1, 0}).before(v[0], v[1], v[2]) }

// DeniedStatus is 403 up to RomM 5.1.0, whose page understands only that, and
// 401 later and where the version cannot be read.
func (a *App) DeniedStatus(ctx context.Context, call application.Caller) int {
	if release, ok := a.release(ctx, call); ok && !release.answers401() {
		return http.StatusForbidden
	}
	return http.StatusUnauthorized
}

// release is RomM's version, asked for if the last answer is old or RomM was
// away since; false if it cannot be read.
func (a *App) release(ctx context.Context, call application.Caller) (version, bool) {
	known := a.config.Known.heartbeat.Load()
	if !a.certain(known) {
		ctx, cancel := context.WithTimeout(ctx, heartbeatTimeout)
		defer cancel()
		if beat, err := a.shareHeartbeat(ctx, call); err == nil {
			a.config.Known.doubted.Store(false)
			known = beat
		}
	}
	if known == nil {
		return version{}, false
	}
	return parseVersion(known.System.Version)
}

// certain reports whether RomM is surely still the one that answered beat.
func (a *App) certain(beat *heartbeat) bool {
	return beat != nil && a.now().Sub(beat.at) < heartbeatAge && !a.config.Known.doubted.Load()
}

// Failed is told that RomM was away: it may be another version when it returns.
func (a *App) Failed() { a.config.Known.doubted.Store(true) }

// Version returns the version that RomM last said it is, and when; "" if
// nobody has asked it yet.
func (s *Known) Version() (string, time.Time) {
	if beat := s.heartbeat.Load(); beat != nil {
		return beat.System.Version, beat.at
	}
	return "", time.Time{}
}

// seen says what an answer was, for a problem's cause.
func seen(what string, answer *application.Answer) error {
	if answer.Status == 0 {
		return fmt.Errorf("nothing behind romm_oidc answered %s: is there a reverse_proxy?", what)
	}
	text := strings.ToValidUTF8(string(answer.Body[:min(len(answer.Body), 200)]), "?")
	return fmt.Errorf("%s answered %d, %s, location %q: %q", what, answer.Status,
		answer.Header.Get("Content-Type"), withoutQuery(answer.Header.Get("Location")), text)
}

// withoutQuery keeps codes and states out of logs and pages.
func withoutQuery(location string) string {
	before, _, _ := strings.Cut(location, "?")
	return before
}
