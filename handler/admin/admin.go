// Package admin extends Caddy's admin API by the gates, below /romm_oidc/.
// Caddy controls access to that API: it listens on localhost and checks Host
// and Origin. No response contains a ticket or a token.
package admin

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/romm-oidc/caddy-romm-oidc/flow"
	"github.com/romm-oidc/caddy-romm-oidc/flow/session"
	"github.com/romm-oidc/caddy-romm-oidc/handler/event"
	"github.com/romm-oidc/caddy-romm-oidc/handler/romm"
	"github.com/romm-oidc/caddy-romm-oidc/handler/watch"
)

func init() {
	caddy.RegisterModule(API{})
}

// Gate is a gate as the operator manages it.
type Gate interface {
	// ID is the name of the gate and of its folder in the storage.
	ID() string
	// Issuer is the provider's issuer URL.
	Issuer() string
	// Sessions are the sessions of the gate's users.
	Sessions() *session.Store
	// EndTokens ends the access tokens of the users with these keys and of those
	// that match selects, and returns how many of them this node knew.
	EndTokens(ctx context.Context, userKeys []string, match func(*flow.Identity) bool, reason string) (int, error)
	// EndAllTokens is EndTokens for all users.
	EndAllTokens(ctx context.Context, reason string) (int, error)
	// AccountsChanged makes all nodes forget what they know of RomM's accounts and of
	// clients' credentials.
	AccountsChanged(ctx context.Context)
	// Links assign RomM accounts to the gate's users.
	Links() *romm.Links
	// Status returns the gate's state. It may send a request to the provider,
	// and writes to the storage.
	Status(ctx context.Context) Status
	// Report reports what the operator changed.
	Report(e *event.Event)
	// Rotate creates new keys now.
	Rotate(ctx context.Context) error
	// FollowSignIn waits for one sign-in at the address it returns, which has the
	// marker that it returns too.
	FollowSignIn(wait time.Duration) (address, marker string)
	// FollowedSignIn returns what happened to the sign-in with marker, and false if that
	// is not followed.
	FollowedSignIn(ctx context.Context, marker string) (watch.Report, bool)
}

// Gates returns the gates of the running configuration. The root package sets it.
var Gates func() []Gate

// API is the module that adds the routes to the admin API.
type API struct{}

// CaddyModule returns the Caddy module information.
func (API) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: moduleID, New: func() caddy.Module { return new(API) }}
}

const moduleID = "admin.api.romm_oidc"

// Routes returns the routes. Each matches one path exactly. All of them take
// the query parameter gate, the ID of the only gate to act on.
func (API) Routes() []caddy.AdminRoute {
	return []caddy.AdminRoute{
		{Pattern: HealthPath, Handler: methods{http.MethodGet: serveHealth}},
		{Pattern: StatusPath, Handler: methods{http.MethodGet: serveStatus}},
		{Pattern: SessionsPath, Handler: methods{http.MethodGet: listSessions, http.MethodDelete: endSessions}},
		{Pattern: SessionsPath + "/{id}", Handler: methods{http.MethodDelete: endSession}},
		{Pattern: LinksPath, Handler: methods{http.MethodGet: listLinks, http.MethodPatch: moveLink, http.MethodDelete: forgetLinks}},
		{Pattern: TrustPath, Handler: methods{http.MethodPost: trustLink}},
		{Pattern: RotatePath, Handler: methods{http.MethodPost: rotateKeys}},
		{Pattern: SignInPath, Handler: methods{http.MethodPost: followSignIn, http.MethodGet: followedSignIn}},
	}
}

// timeout bounds a request: the storage may be slow, or hang.
const timeout = time.Minute

// methods are the handlers of a path, by method.
type methods map[string]func(ctx context.Context, r *http.Request) (any, error)

// ServeHTTP implements caddy.AdminHandler.
func (m methods) ServeHTTP(w http.ResponseWriter, r *http.Request) error {
	serve, ok := m[r.Method]
	if !ok {
		allowed := make([]string, 0, len(m))
		for method := range m {
			allowed = append(allowed, method)
		}
		slices.Sort(allowed)
		w.Header().Set("Allow", strings.Join(allowed, ", ")) // RFC 9110 section 15.5.6
		return refuse(http.StatusMethodNotAllowed, "method %s is not allowed here, only %s", r.Method, w.Header().Get("Allow"))
	}
	ctx, cancel := context.WithTimeout(r.Context(), timeout)
	defer cancel()
	response, err := serve(ctx, r)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	if coded, ok := response.(interface{ StatusCode() int }); ok {
		w.WriteHeader(coded.StatusCode())
	}
	if err := json.NewEncoder(w).Encode(response); err != nil {
		return fmt.Errorf("writing the response: %w", err)
	}
	return nil
}

// parse returns the gates that r selects, and its parameters.
func parse(r *http.Request, names ...string) ([]Gate, map[string]string, error) {
	values, err := query(r, names...)
	if err != nil {
		return nil, nil, err
	}
	gates, err := selected(values)
	return gates, values, err
}

// query returns the parameters of r. It refuses all but those in names and
// gate: a request with a misspelled parameter must not act on more than meant.
func query(r *http.Request, names ...string) (map[string]string, error) {
	values := make(map[string]string, len(names))
	for name, given := range r.URL.Query() {
		switch {
		case name != "gate" && !slices.Contains(names, name):
			return nil, refuse(http.StatusBadRequest, "the parameter %q is unknown here", name)
		case len(given) > 1 || given[0] == "" && name != "strict":
			return nil, refuse(http.StatusBadRequest, "the parameter %s must have one value", name)
		}
		values[name] = given[0]
	}
	return values, nil
}

// selected returns the gate of the parameter gate, or all gates without it.
func selected(values map[string]string) ([]Gate, error) {
	gates := Gates()
	if len(gates) == 0 {
		return nil, refuse(http.StatusNotFound, "the running configuration has no romm_oidc gate")
	}
	if id, ok := values["gate"]; ok {
		if gates = slices.DeleteFunc(gates, func(g Gate) bool { return g.ID() != id }); len(gates) == 0 {
			return nil, refuse(http.StatusNotFound, "no gate has the id %q", id)
		}
	}
	slices.SortFunc(gates, func(a, b Gate) int { return strings.Compare(a.ID(), b.ID()) })
	return gates, nil
}

func refuse(status int, format string, args ...any) error {
	return caddy.APIError{HTTPStatus: status, Err: fmt.Errorf(format, args...)}
}

// unavailable returns an error for a failure of the storage of gate.
func unavailable(gate Gate, err error) error {
	return refuse(http.StatusServiceUnavailable, "gate %s: %w", gate.ID(), err)
}

// ended logs that the sessions and tokens in n ended. err is why that was not
// persisted, nil if it was; ended returns the response for it.
func ended(gate Gate, n Ended, err error, fields ...zap.Field) error {
	caddy.Log().Named(moduleID).Info("sessions ended", append(fields, zap.String("gate", gate.ID()), zap.Int("sessions", n.Ended), zap.Int("access_tokens", n.Tokens))...)
	if err != nil {
		err = fmt.Errorf("%d sessions and %d access tokens ended on this node, but the end is not persisted, so other nodes do not know of it yet; will retry: %w", n.Ended, n.Tokens, err)
		return unavailable(gate, err)
	}
	return nil
}

// reason is why a session ended: in logs and metrics.
const reason = "operator"

var (
	_ caddy.AdminRouter  = API{}
	_ caddy.AdminHandler = methods(nil)
)
