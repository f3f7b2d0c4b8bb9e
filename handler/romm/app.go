// RomM behind one handler, and what all handlers of a gate share.

package romm

import (
	"net/http"
	"time"

	"go.uber.org/zap"

	"github.com/romm-oidc/caddy-romm-oidc/flow/op"
	"github.com/romm-oidc/caddy-romm-oidc/handler/application"
	"github.com/romm-oidc/caddy-romm-oidc/handler/event"
)

// Config configures an App.
type Config struct {
	Provider    *op.Provider       // the provider that RomM signs in against
	ClientID    string             // of RomM at Provider
	RedirectURI string             // RomM's OIDC_REDIRECT_URI
	Roles       *Roles             // nil: RomM's own roles are left alone
	Clients     Clients            // clients without a browser to let in; nil: only those with a client token
	Links       *Links             // shared by all handlers of the gate
	Release     *ReleaseCache      // shared by all handlers of the gate
	Now         func() time.Time   // nil: time.Now
	Logger      *zap.Logger        // nil: none
	Report      func(*event.Event) // gets the events of accounts; nil: they are lost
}

// App is RomM behind a gate. It implements [application.Application].
type App struct {
	config Config
	open   []route // the routes that need no session
}

var _ application.Application = (*App)(nil)

// New returns an App for cfg, of which all but Roles, Clients, Now, Logger and Report are required.
func New(cfg Config) *App {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Logger == nil {
		cfg.Logger = zap.NewNop()
	}
	if cfg.Report == nil {
		cfg.Report = func(*event.Event) {}
	}
	return &App{config: cfg, open: routesOf(cfg.Clients)}
}

func (a *App) now() time.Time { return a.config.Now() }

// ServeProvider answers the requests of RomM's OpenID Connect client.
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
