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

// An upgraded RomM is noticed: at the next refusal after it was away, else
// within five minutes. Until then it is not asked again.
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
		{"at first", func() {}, http.StatusForbidden, 1},
		{"upgraded unseen", func() { running = "5.2.0" }, http.StatusForbidden, 1},
		{"five minutes later", func() { now = now.Add(heartbeatAge) }, http.StatusUnauthorized, 2},
		{"downgraded unseen", func() { running = "5.0.0" }, http.StatusUnauthorized, 2},
		{"after it was away", app.Failed, http.StatusForbidden, 3},
		{"and again", func() {}, http.StatusForbidden, 3},
		{"a pre-release of the next", func() { running = "5.1.1-beta.1"; app.Failed() }, http.StatusUnauthorized, 4},
		{"a build without a version", func() { running = "development"; app.Failed() }, http.StatusUnauthorized, 5},
	} {
		step.change()
		if got := app.DeniedStatus(t.Context(), call); got != step.want || asked != step.asked {
			t.Errorf("%s: %d after %d questions, want %d after %d", step.name, got, asked, step.want, step.asked)
		}
	}
}

// A refusal asks for RomM's version in a stranger's name, whose header RomM
// may answer 400 to, and waits no longer than a refusal may. Somebody who
// signs in meanwhile asks for themselves.
func TestStrangerSpoilsNoSignIn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		app := New(Config{Release: NewReleaseCache()})
		go app.DeniedStatus(t.Context(), func(ctx context.Context, call application.Call) (*application.Answer, error) {
			if !call.Bare {
				t.Error("others get an answer to the stranger's own header")
			}
			<-ctx.Done()
			return nil, ctx.Err()
		})
		synctest.Wait()
		_, err := app.SignIn(t.Context(), func(context.Context, application.Call) (*application.Answer, error) {
			time.Sleep(2 * heartbeatTimeout)
			return &application.Answer{Status: http.StatusOK, Body: []byte(`{"SYSTEM":{"VERSION":"5.2.0"},"OIDC":{"ENABLED":false}}`)}, nil
		}, flow.Identity{})
		if !errors.Is(err, errDisabled) { // by its own answer
			t.Error(err)
		}
	})
}
