// Package admin serves the gates' part of Caddy's admin API, below
// /romm_oidc/. Who may reach that API is Caddy's to decide: it listens on
// localhost and checks Host and Origin. No answer holds a ticket or a token.
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

	"github.com/romm-oidc/caddy-romm-oidc/flow/session"
	"github.com/romm-oidc/caddy-romm-oidc/handler/romm"
)

func init() {
	caddy.RegisterModule(API{})
}

// Gate is a gate as an operator manages it.
type Gate interface {
	// ID names the gate, as its folder in storage does.
	ID() string
	// Issuer is its provider's issuer URL.
	Issuer() string
	// Sessions are those of its users.
	Sessions() *session.Store
	// Links are the links of its users to RomM accounts.
	Links() *romm.Links
	// Status tells how the gate is. It may ask the provider, and try storage.
	Status(ctx context.Context) Status
	// Rotate gives it new keys, as if it were time.
	Rotate(ctx context.Context) error
}

// Gates returns the gates of the running configuration. The root package sets it.
var Gates func() []Gate

// API is the admin API's module.
type API struct{}

// CaddyModule returns the module's information.
func (API) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: moduleID, New: func() caddy.Module { return new(API) }}
}

const moduleID = "admin.api.romm_oidc"

// Routes returns the API's routes. Each is one path, matched exactly. All take
// the query parameter gate, which narrows to the gate of this id.
func (API) Routes() []caddy.AdminRoute {
	return []caddy.AdminRoute{
		{Pattern: StatusPath, Handler: methods{http.MethodGet: serveStatus}},
		{Pattern: SessionsPath, Handler: methods{http.MethodGet: listSessions, http.MethodDelete: endSessions}},
		{Pattern: SessionsPath + "/{id}", Handler: methods{http.MethodDelete: endSession}},
		{Pattern: LinksPath, Handler: methods{http.MethodGet: listLinks, http.MethodPatch: moveLink, http.MethodDelete: forgetLinks}},
		{Pattern: RotatePath, Handler: methods{http.MethodPost: rotateKeys}},
	}
}

// timeout bounds one request: storage may be slow, or hang.
const timeout = time.Minute

// methods are the handlers of one path, by method.
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
		return refuse(http.StatusMethodNotAllowed, "%s is not answered here, only %s", r.Method, w.Header().Get("Allow"))
	}
	ctx, cancel := context.WithTimeout(r.Context(), timeout)
	defer cancel()
	answer, err := serve(ctx, r)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(answer); err != nil {
		return fmt.Errorf("writing the answer: %w", err)
	}
	return nil
}

// asked returns the gates that r is about, and its parameters.
func asked(r *http.Request, names ...string) ([]Gate, map[string]string, error) {
	values, err := query(r, names...)
	if err != nil {
		return nil, nil, err
	}
	gates, err := chosen(values)
	return gates, values, err
}

// query returns the parameters of r. Any but those named is refused: one that
// is misspelt must not leave a request that means more.
func query(r *http.Request, names ...string) (map[string]string, error) {
	values := make(map[string]string, len(names))
	for name, given := range r.URL.Query() {
		switch {
		case name != "gate" && !slices.Contains(names, name):
			return nil, refuse(http.StatusBadRequest, "the parameter %q is unknown here", name)
		case len(given) > 1 || given[0] == "":
			return nil, refuse(http.StatusBadRequest, "the parameter %s must have one value", name)
		}
		values[name] = given[0]
	}
	return values, nil
}

// chosen returns the gates that the parameter gate means: all if it is missing.
func chosen(values map[string]string) ([]Gate, error) {
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

// unavailable says which gate's storage did not do what it was asked.
func unavailable(gate Gate, err error) error {
	return refuse(http.StatusServiceUnavailable, "gate %s: %w", gate.ID(), err)
}

// ended checks the end of sessions that a caller asked for and logs it.
func ended(gate Gate, n int, err error, fields ...zap.Field) error {
	caddy.Log().Named(moduleID).Info("sessions ended", append(fields, zap.String("gate", gate.ID()), zap.Int("sessions", n))...)
	if err != nil {
		err = fmt.Errorf("%d sessions ended here, but storage did not take it, so that other nodes do not know; it is tried again: %w", n, err)
		return unavailable(gate, err)
	}
	return nil
}

// reason is the reason of sessions that end by an operator's hand.
const reason = "operator"

var (
	_ caddy.AdminRouter  = API{}
	_ caddy.AdminHandler = methods(nil)
)
