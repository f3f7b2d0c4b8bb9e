// /romm_oidc/sign-in: one sign-in that the operator follows.

package admin

import (
	"context"
	"net/http"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"
)

// SignInPath is where POST begins to wait for a sign-in, and GET returns what
// happened to it.
const SignInPath = "/romm_oidc/sign-in"

// Followed is a sign-in that a gate waits for.
type Followed struct {
	Gate    string `json:"gate"`
	Address string `json:"address"` // to open in a browser
	Marker  string `json:"marker"`  // in the address; only the admin API tells it
}

// followWait is how long a gate waits without the parameter wait.
const followWait = 5 * time.Minute

func followSignIn(_ context.Context, r *http.Request) (any, error) {
	gates, values, err := parse(r, "wait")
	if err != nil {
		return nil, err
	}
	if len(gates) > 1 {
		return nil, refuse(http.StatusBadRequest, "there are %d gates: name one by its ID, as status shows it", len(gates))
	}
	wait := followWait
	if text, ok := values["wait"]; ok {
		if wait, err = time.ParseDuration(text); err != nil || wait <= 0 {
			return nil, refuse(http.StatusBadRequest, "wait must be a duration like 5m")
		}
	}
	address, marker := gates[0].FollowSignIn(wait)
	caddy.Log().Named(moduleID).Info("waiting for a sign-in to follow", zap.String("gate", gates[0].ID()), zap.Duration("wait", wait))
	return Followed{gates[0].ID(), address, marker}, nil
}

func followedSignIn(ctx context.Context, r *http.Request) (any, error) {
	gates, values, err := parse(r, "marker")
	if err != nil {
		return nil, err
	}
	for _, gate := range gates {
		if report, ok := gate.FollowedSignIn(ctx, values["marker"]); ok {
			return report, nil
		}
	}
	return nil, refuse(http.StatusNotFound, "no sign-in with this marker is followed, or no longer")
}
