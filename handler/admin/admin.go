// Package admin serves the gates' part of Caddy's admin API, below
// /romm_oidc/. Who may reach that API is Caddy's to decide: it listens on
// localhost and checks Host and Origin.
package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/caddyserver/caddy/v2"

	"github.com/romm-oidc/caddy-romm-oidc/handler/romm"
)

func init() {
	caddy.RegisterModule(API{})
}

// Gate is a gate as an operator manages it.
type Gate interface {
	// ID names the gate, as its folder in storage does.
	ID() string
	// Links are the links of its users to RomM accounts.
	Links() *romm.Links
	// Rotate gives it new keys.
	Rotate(ctx context.Context) error
}

// Gates returns the gates of the running configuration. The root package sets it.
var Gates func() []Gate

// API is the admin API's module.
type API struct{}

// CaddyModule returns the module's information.
func (API) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "admin.api.romm_oidc", New: func() caddy.Module { return new(API) }}
}

// Routes returns the API's routes.
func (a API) Routes() []caddy.AdminRoute {
	return []caddy.AdminRoute{
		{Pattern: LinksPath, Handler: caddy.AdminHandlerFunc(a.serveLinks)},
		{Pattern: RotatePath, Handler: caddy.AdminHandlerFunc(a.rotateKeys)},
	}
}

// LinksPath lists the links with GET, and removes those of the e-mail address
// in the query's email with DELETE.
const LinksPath = "/romm_oidc/links"

// Link is a link, and the gate that it belongs to.
type Link struct {
	Gate string `json:"gate"`
	romm.Link
}

func (a API) serveLinks(w http.ResponseWriter, r *http.Request) error {
	switch r.Method {
	case http.MethodGet:
		return a.listLinks(w, r)
	case http.MethodDelete:
		return a.forgetLinks(w, r)
	}
	return caddy.APIError{HTTPStatus: http.StatusMethodNotAllowed, Err: errors.New("method not allowed")}
}

func (API) listLinks(w http.ResponseWriter, r *http.Request) error {
	all := []Link{}
	for _, gate := range Gates() {
		links, err := gate.Links().List(r.Context())
		if err != nil {
			return fmt.Errorf("gate %s: %w", gate.ID(), err)
		}
		for _, link := range links {
			all = append(all, Link{Gate: gate.ID(), Link: link})
		}
	}
	return answer(w, all)
}

func (API) forgetLinks(w http.ResponseWriter, r *http.Request) error {
	email := r.URL.Query().Get("email")
	if email == "" {
		return caddy.APIError{HTTPStatus: http.StatusBadRequest, Err: errors.New("email is missing")}
	}
	forgotten := 0
	for _, gate := range Gates() {
		found, err := gate.Links().Forget(r.Context(), email)
		if err != nil {
			return fmt.Errorf("gate %s: %w", gate.ID(), err)
		}
		if found {
			forgotten++
		}
	}
	return answer(w, map[string]int{"forgotten": forgotten})
}

func answer(w http.ResponseWriter, v any) error {
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(v); err != nil {
		return fmt.Errorf("writing the answer: %w", err)
	}
	return nil
}

var _ caddy.AdminRouter = API{}
