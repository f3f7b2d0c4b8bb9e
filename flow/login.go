package flow

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/romm-oidc/caddy-romm-oidc/flow/keyring"
	"golang.org/x/oauth2"
)

// LoginLifetime is how long a login may be under way.
const LoginLifetime = 10 * time.Minute

// MaxLogins is how many logins one browser may have under way: tabs that
// opened at once. The caller drops the oldest.
const MaxLogins = 5

// restartPrefix begins the state of a login that was started in place of one
// whose cookie was missing.
const restartPrefix = "r."

// stateLimit bounds a state that comes back, in bytes. Ours are far shorter.
const stateLimit = 128

// sealLogin is the purpose under which logins are sealed.
const sealLogin = "login"

// Login is a sign-in under way. It costs the server nothing: it is kept sealed
// in a cookie of the browser that began it, and so bound to it.
type Login struct {
	State    string    `json:"s"`
	Nonce    string    `json:"n"`
	Verifier string    `json:"v"` // RFC 7636 section 4.1
	ReturnTo string    `json:"r"` // a local path
	Expires  time.Time `json:"e"`
}

// Restarted reports whether the login was started in place of a lost one.
func (l *Login) Restarted() bool { return strings.HasPrefix(l.State, restartPrefix) }

// Begin starts a login that ends at ReturnTo, or at "/" if that is no
// LocalPath, and returns it with the URL of the authorization request: code
// flow, state, nonce and PKCE with S256, each with 128 bits of chance or more.
func (rp *RelyingParty) Begin(ctx context.Context, returnTo string, restarted bool) (*Login, string, error) {
	provider, err := rp.Provider(ctx)
	if err != nil {
		return nil, "", err
	}
	if !LocalPath(returnTo) {
		returnTo = "/"
	}
	login := &Login{
		State: rand.Text(), Nonce: rand.Text(), Verifier: oauth2.GenerateVerifier(),
		ReturnTo: returnTo, Expires: rp.config.Now().Add(LoginLifetime).Truncate(time.Second),
	}
	if restarted {
		login.State = restartPrefix + login.State
	}
	location := rp.oauth2(provider).AuthCodeURL(login.State, oidc.Nonce(login.Nonce), oauth2.S256ChallengeOption(login.Verifier))
	return login, location, nil
}

// LoginCookie returns the name and value of the cookie that keeps login. The
// name begins with prefix and holds the minute of expiry and a hash of the state.
func (rp *RelyingParty) LoginCookie(ctx context.Context, prefix string, login *Login) (name, value string, err error) {
	keyring, err := rp.config.Keyring(ctx)
	if err != nil {
		return "", "", fmt.Errorf("sealing a login: %w", err)
	}
	var plaintext bytes.Buffer
	encoder := json.NewEncoder(&plaintext)
	encoder.SetEscapeHTML(false) // a query of many "&" would outgrow a cookie
	if err := encoder.Encode(login); err != nil {
		return "", "", fmt.Errorf("encoding a login: %w", err)
	}
	name = prefix + "login_" + strconv.FormatInt(login.Expires.Unix()/60, 36) + "_" + stateHash(login.State)
	return name, keyring.SealText(sealLogin, plaintext.Bytes(), name), nil
}

// stateHash names a state in a cookie's name.
func stateHash(state string) string {
	sum := sha256.Sum256([]byte(state))
	return hex.EncodeToString(sum[:8])
}

// FindLogin returns the login whose state came back, and its cookie's name. It
// returns ErrLoginUnknown if none of cookies holds it, ErrLoginExpired with
// the name if it is too late, and any other error if it could not be opened now.
func (rp *RelyingParty) FindLogin(ctx context.Context, prefix string, cookies []*http.Cookie, state string) (*Login, string, error) {
	if state == "" || len(state) > stateLimit {
		return nil, "", ErrLoginUnknown
	}
	var keyring *keyring.Keyring
	for _, cookie := range cookies {
		if !strings.HasPrefix(cookie.Name, prefix+"login_") || !strings.HasSuffix(cookie.Name, "_"+stateHash(state)) {
			continue
		}
		if keyring == nil {
			var err error
			if keyring, err = rp.config.Keyring(ctx); err != nil {
				return nil, "", fmt.Errorf("opening a login: %w", err)
			}
		}
		plaintext, ok := keyring.OpenText(sealLogin, cookie.Value, cookie.Name)
		var login Login
		if !ok || json.Unmarshal(plaintext, &login) != nil || !equal(login.State, state) {
			continue // RFC 6749 section 10.12: only a state of this browser's own
		}
		if !LocalPath(login.ReturnTo) {
			login.ReturnTo = "/"
		}
		if rp.config.Now().After(login.Expires) {
			return nil, cookie.Name, ErrLoginExpired
		}
		return &login, cookie.Name, nil
	}
	return nil, "", ErrLoginUnknown
}

// LoginCookies returns the names of the login cookies among cookies, oldest first.
func LoginCookies(prefix string, cookies []*http.Cookie) []string {
	type dated struct {
		minute int64
		name   string
	}
	var logins []dated
	for _, cookie := range cookies {
		rest, ok := strings.CutPrefix(cookie.Name, prefix+"login_")
		if !ok {
			continue
		}
		minute, _, _ := strings.Cut(rest, "_")
		at, err := strconv.ParseInt(minute, 36, 64)
		if err != nil {
			at = 0 // not one of ours: first to go
		}
		logins = append(logins, dated{at, cookie.Name})
	}
	slices.SortStableFunc(logins, func(a, b dated) int { return cmp.Compare(a.minute, b.minute) })
	names := make([]string, len(logins))
	for i, login := range logins {
		names[i] = login.name
	}
	return names
}

// equal compares secrets in constant time.
func equal(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }
