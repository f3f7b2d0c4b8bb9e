package op

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// The endpoints. All but IssuerPath are relative to the issuer, which is the
// scheme and host of RomM's own request followed by IssuerPath.
const (
	IssuerPath   = "/api/oauth/openid"
	MetadataPath = "/.well-known/openid-configuration" // OIDC Discovery 1.0 section 4
	TokenPath    = "/token"
	JWKSPath     = "/jwks"

	// AuthorizationPath is named in the metadata because clients insist on
	// it. RomM sends browsers there, the gate only reads that redirect. It is
	// the gate's own sign-in page, so that a browser that gets there all the
	// same is not lost.
	AuthorizationPath = "/login"
)

// The algorithms of an ID token's signature (RFC 7518 section 3.1).
const (
	ES256 = "ES256"
	RS256 = "RS256"
)

// Config says who the one client is.
type Config struct {
	ClientID     string // RomM's OIDC_CLIENT_ID; empty: every token request is refused
	ClientSecret string // RomM's OIDC_CLIENT_SECRET; empty: every token request is refused
	RedirectURI  string // RomM's OIDC_REDIRECT_URI, compared byte by byte (RFC 6749 section 3.1.2.3)
	Algorithm    string // ES256 or RS256; default ES256

	// Report, if any, hears of every Event as it happens and must not block.
	// The error is nil for EventRedeemed and never holds anything secret or
	// personal. For EventRefused and EventStranger it prints as one of the
	// Refusal constants, or, in the one case that is no refusal, says how
	// signing went wrong. Anybody can bring about any number of EventStranger.
	Report func(event string, err error)
}

// What Config.Report is called with.
const (
	EventRedeemed = "code_redeemed"            // RomM got an ID token
	EventRefused  = "token_request_refused"    // RomM, by its secret or its code, got none
	EventStranger = "token_request_unknown"    // whoever it was that got none, it was not RomM
	EventKeys     = "signing_keys_unavailable" // loading the keys in the background went wrong
)

// Provider is the OpenID Provider of one handler instance. All instances of a
// gate, and all nodes that share its storage, are one provider to RomM.
type Provider struct {
	state        *Keys
	config       Config
	clientID     [sha256.Size]byte
	clientSecret [sha256.Size]byte
}

// New returns a provider over the state that it shares with every other
// instance of the gate. It neither dials nor reads; Prepare does.
func New(state *Keys, cfg Config) *Provider {
	if cfg.Algorithm == "" {
		cfg.Algorithm = ES256
	}
	if cfg.Report == nil {
		cfg.Report = func(string, error) {}
	}
	return &Provider{
		state:        state,
		config:       cfg,
		clientID:     sha256.Sum256([]byte(cfg.ClientID)),
		clientSecret: sha256.Sum256([]byte(cfg.ClientSecret)),
	}
}

// Prepare loads the gate's keys, and makes them at the gate's first start, so
// that the endpoints hardly wait for storage. It waits only while there are
// none in memory; after that it returns at once and reads them again in the
// background when that is due. Call it before a sign-in, and now and then from
// a worker, so that an idle node learns of a rotation too.
func (p *Provider) Prepare(ctx context.Context) error {
	keys, err := p.state.await(ctx, p.config.Report)
	if err != nil {
		return err
	}
	if _, ok := keys.current(p.config.Algorithm, p.state.now()); !ok {
		return fmt.Errorf("no signing key for %q: the algorithm is %s or %s", p.config.Algorithm, ES256, RS256)
	}
	return nil
}

// issuer is the issuer as RomM dialled it (OIDC Core 1.0 section 2, iss). It
// depends on nothing that a proxy adds: a forged X-Forwarded-Host must not
// choose whom RomM sends its secret to.
func issuer(r *http.Request) string {
	scheme := "http"
	if r.TLS != nil {
		scheme = "https"
	}
	return scheme + "://" + r.Host + IssuerPath
}

// allow answers 405 and returns false for a method that is none of methods.
func allow(w http.ResponseWriter, r *http.Request, methods ...string) bool {
	if slices.Contains(methods, r.Method) {
		return true
	}
	w.Header().Set("Allow", strings.Join(methods, ", "))
	writeJSON(w, http.StatusMethodNotAllowed, errorResponse{Error: "invalid_request"})
	return false
}

// unavailable answers 503 while the keys are being loaded.
func unavailable(w http.ResponseWriter) {
	w.Header().Set("Retry-After", "1")
	writeJSON(w, http.StatusServiceUnavailable, errorResponse{Error: "temporarily_unavailable"})
}

func writeJSON(w http.ResponseWriter, status int, value any) {
	body, err := json.Marshal(value)
	if err != nil {
		panic(err) // never: every value written here is a struct of strings and numbers, or encoded already
	}
	header := w.Header()
	header.Set("Content-Type", "application/json")
	header.Set("Cache-Control", "no-store")
	header.Set("Pragma", "no-cache") // RFC 6749 section 5.1
	header.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = w.Write(body) // RomM went away: there is nobody to tell
}

// Outcome returns what became of a code at this node's token endpoint.
func (p *Provider) Outcome(code string) Outcome { return p.state.Outcome(code) }
