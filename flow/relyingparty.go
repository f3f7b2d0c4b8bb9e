package flow

import (
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/flow/keyring"
	"golang.org/x/oauth2"
)

// ClientAuth is how the relying party authenticates at the token endpoint. It
// is never guessed: a first wrong try would count towards the provider's rate limit.
type ClientAuth int

const (
	// ClientAuthBasic is client_secret_basic (RFC 6749 section 2.3.1).
	ClientAuthBasic ClientAuth = iota
	// ClientAuthPost is client_secret_post.
	ClientAuthPost
)

// Config is one client at one provider.
type Config struct {
	Issuer        string
	ClientID      string
	ClientSecret  string
	ClientAuth    ClientAuth
	RedirectURI   string
	Scopes        []string // must hold openid
	UsernameClaim string   // empty: preferred_username
	GroupsClaim   string   // empty: groups
	Client        *http.Client
	Keyring       func(context.Context) (*keyring.Keyring, error) // may have to wait for storage
	Now           func() time.Time                                // nil: time.Now
}

// RelyingParty runs the authorization code flow at one provider (OpenID
// Connect Core 1.0 section 3.1). All methods may be called at once.
type RelyingParty struct {
	config Config

	mu       sync.Mutex // guards what follows; never held while the provider is asked
	provider *Provider
	loaded   time.Time // when provider was
	flight   *discovery
	failed   error // of the last attempt, until nextTry
	nextTry  time.Time
}

// New returns the relying party of cfg. It asks nothing of anybody.
func New(cfg Config) *RelyingParty {
	if cfg.UsernameClaim == "" {
		cfg.UsernameClaim = "preferred_username"
	}
	if cfg.GroupsClaim == "" {
		cfg.GroupsClaim = "groups"
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &RelyingParty{config: cfg}
}

// Issuer returns the issuer URL of the provider.
func (rp *RelyingParty) Issuer() string { return rp.config.Issuer }

// oauth2 returns the client's view of provider.
func (rp *RelyingParty) oauth2(provider *Provider) *oauth2.Config {
	style := oauth2.AuthStyleInHeader
	if rp.config.ClientAuth == ClientAuthPost {
		style = oauth2.AuthStyleInParams
	}
	return &oauth2.Config{
		ClientID: rp.config.ClientID, ClientSecret: rp.config.ClientSecret, RedirectURL: rp.config.RedirectURI, Scopes: rp.config.Scopes,
		Endpoint: oauth2.Endpoint{AuthURL: provider.AuthorizationEndpoint, TokenURL: provider.TokenEndpoint, AuthStyle: style},
	}
}
