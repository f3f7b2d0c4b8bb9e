// RomM's release, and what depends on it.

package romm

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/flow"
	"github.com/romm-oidc/caddy-romm-oidc/handler/application"
)

// An upgrade of RomM is noticed at the next refusal after RomM was unreachable,
// else within five minutes. Until then RomM is not asked again.
func TestDeniedStatusFollowsAnUpgrade(t *testing.T) {
	t.Parallel()
	now, running, asked := time.Unix(1_800_000_000, 0), "5.1.0", 0
	app := New(Config{Release: NewReleaseCache(), Now: func() time.Time { return now }})
	call := func(context.Context, application.Call) (*application.Answer, error) {
		asked++
		return &application.Answer{Status: http.StatusOK, Body: []byte(`{"SYSTEM":{"VERSION":"` + running + `"}}`)}, nil
	}
	for _, step := range []struct {
		name   string
		change func()
		want   int
		asked  int
	}{
		{"first refusal", func() {}, http.StatusForbidden, 1},
		{"after an unnoticed upgrade", func() { running = "5.2.0" }, http.StatusForbidden, 1},
		{"five minutes later", func() { now = now.Add(heartbeatAge) }, http.StatusUnauthorized, 2},
		{"after an unnoticed downgrade", func() { running = "5.0.0" }, http.StatusUnauthorized, 2},
		{"after RomM was unreachable", app.Failed, http.StatusForbidden, 3},
		{"once more", func() {}, http.StatusForbidden, 3},
		{"pre-release of 5.1.1", func() { running = "5.1.1-beta.1"; app.Failed() }, http.StatusUnauthorized, 4},
		{"build without a version", func() { running = "development"; app.Failed() }, http.StatusUnauthorized, 5},
	} {
		step.change()
		if got := app.DeniedStatus(t.Context(), call); got != step.want || asked != step.asked {
			t.Errorf("%s: status %d after %d heartbeats, want %d after %d", step.name, got, asked, step.want, step.asked)
		}
	}
}

// The refusal of an anonymous request shares RomM's heartbeat with other
// refusals, so it carries no header of the client, which could make RomM answer
// 400. A user who signs in during that time does not depend on it.
func TestStrangerSpoilsNoSignIn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		app := New(Config{Release: NewReleaseCache()})
		go app.DeniedStatus(t.Context(), func(ctx context.Context, call application.Call) (*application.Answer, error) {
			if !call.Bare {
				t.Error("the shared heartbeat carries the header of one client, want a bare call")
			}
			<-ctx.Done()
			return nil, ctx.Err()
		})
		synctest.Wait()
		_, err := app.SignIn(t.Context(), func(context.Context, application.Call) (*application.Answer, error) {
			time.Sleep(2 * heartbeatTimeout)
			return &application.Answer{Status: http.StatusOK, Body: []byte(`{"SYSTEM":{"VERSION":"5.2.0"},"OIDC":{"ENABLED":false}}`)}, nil
		}, flow.Identity{})
		if !errors.Is(err, errDisabled) { // from the sign-in's own heartbeat
			t.Errorf("SignIn = %v, want %v", err, errDisabled)
		}
	})
}

func TestVersion(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]struct {
		v  version
		ok bool
	}{
		"5.2.0": {version{5, 2, 0}, true}, "v4.8.1": {version{4, 8, 1}, true}, "5.1.1-beta.1": {version{5, 1, 1}, true},
		"development": {version{}, false}, "": {version{}, false}, "5.2": {version{}, false}, "5.x.0": {version{}, false},
	} {
		if v, ok := parseVersion(text); v != want.v || ok != want.ok {
			t.Errorf("parseVersion(%q) = %v, %v, want %v, %v", text, v, ok, want.v, want.ok)
		}
	}
	if !(version{4, 7, 9}).before(v48) || (version{4, 8, 0}).before(v48) || (version{5, 0, 0}).before(v48) {
		t.Error("before(4.8.0) is wrong for 4.7.9, 4.8.0 or 5.0.0, want true for 4.7.9 only")
	}
}
