// Login: a sign-in in progress, kept in a sealed cookie.

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
	"golang.org/x/oauth2"

	"github.com/romm-oidc/caddy-romm-oidc/flow/keyring"
)

// LoginLifetime is how long a login may take.
const LoginLifetime = 10 * time.Minute

// MaxLogins is the number of logins that one browser may have in progress, in
// several tabs. The caller drops the oldest.
const MaxLogins = 5

// restartPrefix begins the state of a login that replaces one without a cookie.
const restartPrefix = "r."

// stateLimit bounds the state in a response, in bytes. Ours are far shorter.
const stateLimit = 128

// sealLogin is the purpose that logins are sealed for.
const sealLogin = "login"

// Login is a sign-in in progress. It is sealed into a cookie, which binds it to
// the browser that began it and costs the server nothing.
type Login struct {
	State    string    `json:"s"`
	Nonce    string    `json:"n"`
	Verifier string    `json:"v"`           // https://datatracker.ietf.org/doc/html/rfc7636#section-4.1
	ReturnTo string    `json:"r"`           // a local path
	Scopes   string    `json:"c,omitempty"` // what the authorization request asks for, separated by spaces
	Expires  time.Time `json:"e"`
}

// Restarted reports whether state is that of a login that Begin started in place
// of a lost one.
func Restarted(state string) bool { return strings.HasPrefix(state, restartPrefix) }

// Begin starts a login that ends at returnTo, or at "/" if that is not a
// LocalPath. It returns the login and the URL of the authorization request
// (https://openid.net/specs/openid-connect-core-1_0.html#AuthRequest): code
// flow, with state, nonce and a PKCE verifier of at least 128 random bits each.
// restarted marks a login that replaces a lost one.
func (rp *RelyingParty) Begin(ctx context.Context, returnTo string, restarted bool) (*Login, string, error) {
	md, err := rp.metadata(ctx)
	if err != nil {
		return nil, "", err
	}
	if !LocalPath(returnTo) {
		returnTo = "/"
	}
	login := &Login{
		State: rand.Text(), Nonce: rand.Text(), Verifier: oauth2.GenerateVerifier(), Scopes: strings.Join(rp.config.Scopes, " "),
		ReturnTo: returnTo, Expires: rp.config.Now().Add(LoginLifetime).Truncate(time.Second),
	}
	if restarted {
		login.State = restartPrefix + login.State
	}
	location := rp.oauth2(md).AuthCodeURL(login.State, oidc.Nonce(login.Nonce), oauth2.S256ChallengeOption(login.Verifier))
	return login, location, nil
}

// LoginCookie returns the name and value of the cookie for login. The name
// consists of prefix, the minute of expiry and a hash of the state.
func (rp *RelyingParty) LoginCookie(ctx context.Context, prefix string, login *Login) (name, value string, err error) {
	ring, err := rp.config.Keyring(ctx)
	if err != nil {
		return "", "", fmt.Errorf("sealing a login: %w", err)
	}
	var plaintext bytes.Buffer
	encoder := json.NewEncoder(&plaintext)
	encoder.SetEscapeHTML(false) // a query of many "&" would outgrow the cookie
	if err := encoder.Encode(login); err != nil {
		return "", "", fmt.Errorf("encoding a login: %w", err)
	}
	name = prefix + "login_" + strconv.FormatInt(login.Expires.Unix()/60, 36) + "_" + stateHash(login.State)
	return name, ring.SealText(sealLogin, plaintext.Bytes(), name), nil
}

// stateHash returns a short hash of a state for the name of its cookie.
func stateHash(state string) string {
	sum := sha256.Sum256([]byte(state))
	return hex.EncodeToString(sum[:8])
}

// FindLogin returns the login with the state of a response, and the name of its
// cookie. It returns ErrLoginUnknown if no cookie holds that login, and
// ErrLoginExpired, with the name, if it has expired. Any other error means that
// the keyring is not available now.
func (rp *RelyingParty) FindLogin(ctx context.Context, prefix string, cookies []*http.Cookie, state string) (*Login, string, error) {
	if state == "" || len(state) > stateLimit {
		return nil, "", ErrLoginUnknown
	}
	var ring *keyring.Keyring
	for _, cookie := range cookies {
		if !strings.HasPrefix(cookie.Name, prefix+"login_") || !strings.HasSuffix(cookie.Name, "_"+stateHash(state)) {
			continue
		}
		if ring == nil {
			var err error
			if ring, err = rp.config.Keyring(ctx); err != nil {
				return nil, "", fmt.Errorf("opening a login: %w", err)
			}
		}
		plaintext, ok := ring.OpenText(sealLogin, cookie.Value, cookie.Name)
		var login Login
		if !ok || json.Unmarshal(plaintext, &login) != nil || !sameSecret(login.State, state) {
			continue // only this browser's own state counts (https://datatracker.ietf.org/doc/html/rfc6749#section-10.12)
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
			at = 0 // not ours: the first to be dropped
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

// sameSecret compares in constant time.
func sameSecret(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }
