// RelyingParty: one client at one provider.

package flow

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/sync/singleflight"

	"github.com/romm-oidc/caddy-romm-oidc/flow/keyring"
)

// Config describes one client at one provider. All fields without a default
// are required.
type Config struct {
	Issuer        string
	ClientID      string
	ClientSecret  string     // empty with ClientAuthKey
	ClientAuth    ClientAuth // default ClientAuthBasic
	ClientKeys    ClientKeys // for ClientAuthKey; default none
	RedirectURI   string
	IDTokenAlg    string   // what the provider signs ID tokens and logout tokens with; default RS256
	UserinfoAlg   string   // what it signs userinfo with; default: it does not sign it
	Push          bool     // push authorization requests, even where the provider does not require it
	FormPost      bool     // ask for the response in a form (https://openid.net/specs/oauth-v2-form-post-response-mode-1_0.html)
	PinUnverified bool     // an address that is not verified is replaced, instead of refusing its user
	Scopes        []string // must include openid
	UsernameClaim string   // name of the claim with the user name
	GroupsClaim   string   // name of the claim with the groups
	RuleGroups    []string // groups that the operator's rules name; no limit drops them
	Client        *http.Client
	Keyring       func(context.Context) (*keyring.Keyring, error) // may wait for storage
	Now           func() time.Time                                // default time.Now
	Compare       func(time.Time)                                 // gets the Date of each response, zero if it has none; default none
}

// RelyingParty runs the authorization code flow at one provider
// (https://openid.net/specs/openid-connect-core-1_0.html#CodeFlowAuth). All
// methods may be called concurrently.
type RelyingParty struct {
	config    Config
	discovery singleflight.Group
	clock     *providerClock
	away      atomic.Bool // the provider did not answer the last request

	mu      sync.Mutex // guards the fields below; never held during a request to the provider
	known   *metadata
	loaded  time.Time // when known was read
	failed  error     // of the last attempt, until nextTry
	nextTry time.Time

	mismatch error // see Mismatch

	pushFailed error // the provider's refusal of a pushed request, until nextPush
	nextPush   time.Time
}

// New returns the relying party for cfg. It does no I/O.
func New(cfg Config) *RelyingParty {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.IDTokenAlg == "" { // https://openid.net/specs/openid-connect-registration-1_0.html#ClientMetadata
		cfg.IDTokenAlg = oidc.RS256
	}
	if cfg.Compare == nil {
		cfg.Compare = func(time.Time) {}
	}
	rp := &RelyingParty{config: cfg, clock: new(providerClock)}
	if cfg.Client != nil {
		client := *cfg.Client
		client.Transport = clockTransport{base: client.Transport, rp: rp, compare: cfg.Compare}
		rp.config.Client = &client
	}
	return rp
}

// Issuer returns the issuer URL of the provider.
func (rp *RelyingParty) Issuer() string { return rp.config.Issuer }

// LacksScope reports whether the sign-in that tokens are from did not ask for a
// scope that a sign-in asks for now.
func (rp *RelyingParty) LacksScope(tokens Tokens) bool {
	asked := strings.Fields(tokens.Scopes)
	return len(asked) > 0 && slices.ContainsFunc(rp.config.Scopes, func(scope string) bool {
		return scope != oidc.ScopeOfflineAccess && !slices.Contains(asked, scope)
	})
}
