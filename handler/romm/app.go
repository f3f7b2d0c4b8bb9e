package romm

import (
	"net/http"
	"sync/atomic"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/romm-oidc/caddy-romm-oidc/flow/op"
	"github.com/romm-oidc/caddy-romm-oidc/handler/application"
)

// Config is what one handler instance knows of RomM.
type Config struct {
	Provider    *op.Provider // what RomM signs in against
	ClientID    string       // RomM's, at Provider
	RedirectURI string       // RomM's OIDC_REDIRECT_URI
	Roles       *Roles       // nil: RomM's own roles are left alone
	Clients     Clients      // without a browser that are let in; nil: those with a client token only
	Links       *Links
	Known       *Known
	Now         func() time.Time // nil: time.Now
}

// App is RomM behind a gate. It implements handler.Application.
type App struct {
	config Config
	open   []route // what passes without a session
}

var _ application.Application = (*App)(nil)

// New returns the application of cfg.
func New(cfg Config) *App {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &App{config: cfg, open: routesOf(cfg.Clients)}
}

func (a *App) now() time.Time { return a.config.Now() }

// Known is what one gate knows of RomM. All handler instances of the gate
// share one, and it outlives reloads.
type Known struct {
	calls     singleflight.Group
	heartbeat atomic.Pointer[heartbeat]
	doubted   atomic.Bool // RomM was away: its version may be another
}

// NewKeys returns the state of a gate that has not seen its RomM yet.
func NewKnown() *Known { return new(Known) }

// ServeProvider answers what RomM's own OpenID Connect client asks.
func (a *App) ServeProvider(w http.ResponseWriter, r *http.Request, path string) bool {
	switch path {
	case op.MetadataPath:
		a.config.Provider.ServeMetadata(w, r)
	case op.TokenPath:
		a.config.Provider.ServeToken(w, r)
	case op.JWKSPath:
		a.config.Provider.ServeJWKS(w, r)
	default:
		return false
	}
	return true
}
