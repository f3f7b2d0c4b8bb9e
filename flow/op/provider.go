// Provider: the OpenID Provider as one configuration of a gate has it.

package op

import (
	"crypto/sha256"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Paths of the endpoints, relative to the issuer. The issuer is the scheme and
// host of RomM's own request, followed by Config.IssuerPath.
const (
	// MetadataPath is fixed by
	// https://openid.net/specs/openid-connect-discovery-1_0.html#ProviderConfigurationRequest.
	MetadataPath = "/.well-known/openid-configuration"
	TokenPath    = "/token"
	JWKSPath     = "/jwks"

	// AuthorizationPath is in the metadata because clients insist on it. RomM
	// redirects browsers there, but only the gate reads that redirect. It is
	// the path of the gate's own sign-in page, so a browser that follows such
	// a redirect still finds a way in.
	AuthorizationPath = "/login"
)

// Algorithms for the signature of an ID token
// (https://datatracker.ietf.org/doc/html/rfc7518#section-3.1).
const (
	ES256 = "ES256"
	RS256 = "RS256"
)

// Config describes the provider and its one client.
type Config struct {
	IssuerPath   string // path of the issuer URL, without a trailing slash
	ClientID     string // RomM's OIDC_CLIENT_ID; if empty, every token request is refused
	ClientSecret string // RomM's OIDC_CLIENT_SECRET; if empty, every token request is refused
	RedirectURI  string // RomM's OIDC_REDIRECT_URI, compared byte by byte (RFC 6749 section 3.1.2.3)
	Algorithm    string // ES256 or RS256; with any other, every token request is refused

	// Report, if not nil, receives every Event. It must not block.
	Report func(Event)

	// Limit, if not nil, counts a token request without a code of this gate,
	// and returns how long its client has to wait, 0 if it need not. RomM's
	// requests have such a code, so that nothing locks RomM out.
	Limit func(*http.Request) time.Duration
}

// Provider is the OpenID Provider of one configuration. All configurations of
// a gate, and all nodes that share its storage, are one provider to RomM.
type Provider struct {
	keys         *Keys
	codes        *Codes
	config       Config
	clientID     [sha256.Size]byte
	clientSecret [sha256.Size]byte
}

// New returns a provider that signs with keys and redeems against codes. The
// gate shares both between all of its configurations. New does no I/O.
func New(keys *Keys, codes *Codes, cfg Config) *Provider {
	if cfg.Report == nil {
		cfg.Report = func(Event) {}
	}
	if cfg.Limit == nil {
		cfg.Limit = func(*http.Request) time.Duration { return 0 }
	}
	return &Provider{
		keys:         keys,
		codes:        codes,
		config:       cfg,
		clientID:     sha256.Sum256([]byte(cfg.ClientID)),
		clientSecret: sha256.Sum256([]byte(cfg.ClientSecret)),
	}
}

// issuer returns the issuer as RomM dialed it
// (https://openid.net/specs/openid-connect-core-1_0.html#IDToken, iss). It
// depends on nothing that a proxy adds: a forged X-Forwarded-Host must not
// decide where RomM sends its secret.
func (p *Provider) issuer(r *http.Request) string {
	scheme := "http"
	if r.TLS != nil {
		scheme = "https"
	}
	return scheme + "://" + r.Host + p.config.IssuerPath
}

// allow returns whether the request has one of methods. If not, it answers 405.
func allow(w http.ResponseWriter, r *http.Request, methods ...string) bool {
	if slices.Contains(methods, r.Method) {
		return true
	}
	w.Header().Set("Allow", strings.Join(methods, ", "))
	writeJSON(w, http.StatusMethodNotAllowed, errorResponse{Error: "invalid_request"})
	return false
}

// writeUnavailable answers 503 while the signing keys are being loaded.
func writeUnavailable(w http.ResponseWriter) {
	w.Header().Set("Retry-After", "1")
	writeJSON(w, http.StatusServiceUnavailable, errorResponse{Error: "temporarily_unavailable"})
}

func writeJSON(w http.ResponseWriter, status int, value any) {
	body, err := json.Marshal(value)
	if err != nil {
		panic(err) // unreachable: every value is a struct of strings and numbers, or encoded already
	}
	header := w.Header()
	header.Set("Content-Type", "application/json")
	header.Set("Cache-Control", "no-store")
	header.Set("Pragma", "no-cache") // https://datatracker.ietf.org/doc/html/rfc6749#section-5.1
	header.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = w.Write(body) // an error means that RomM has closed the connection
}
