// Login: a sign-in in progress, kept in a sealed cookie.

package flow

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
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

// formPost is the response mode of Config.FormPost.
const formPost = "form_post"

// LoginLifetime is how long a login may take.
const LoginLifetime = 10 * time.Minute

// What one browser may have in progress, in several tabs: as many logins as fit
// into loginsBytes, and minLogins in any case, unless the pages that they return
// to have such long addresses that they, and the caller's other cookies, exceed
// CookiesLimit.
const (
	minLogins   = 20
	loginsBytes = 4 << 10
)

// CookiesLimit is how many bytes all of the caller's cookies may have together:
// servers accept header lines of 8 KiB.
const CookiesLimit = 7 << 10

// restartPrefix begins the state of a login that replaces one without a cookie.
const restartPrefix = "r."

// stateLimit bounds the state in a response, in bytes. Ours are far shorter.
const stateLimit = 128

// loginName follows the prefix in the names of login cookies.
const loginName = "login_"

// sealLogin is the purpose that logins are sealed for.
const sealLogin = "login"

// Login is a sign-in in progress. It is sealed into a cookie, which binds it to
// the browser that began it and costs the server nothing.
type Login struct {
	State    string
	Nonce    string
	Verifier string // https://datatracker.ietf.org/doc/html/rfc7636#section-4.1
	Scopes   string // what the authorization request asks for, separated by spaces
	Session  string // the caller's; empty: none
	ReturnTo string // a local path
	Expires  time.Time
}

// text returns l as it is sealed, as short as it can be: nothing in it needs an
// escape, whatever the characters of the path.
func (l *Login) text() []byte {
	return []byte(strings.Join([]string{strconv.FormatInt(l.Expires.Unix(), 36), l.State, l.Nonce, l.Verifier, l.Scopes, l.Session, l.ReturnTo}, "\n"))
}

// parseLogin is the reverse of text.
func parseLogin(text []byte) (*Login, bool) {
	parts := strings.SplitN(string(text), "\n", 7)
	if len(parts) != 7 {
		return nil, false
	}
	expires, err := strconv.ParseInt(parts[0], 36, 64)
	if err != nil {
		return nil, false
	}
	login := &Login{
		State: parts[1], Nonce: parts[2], Verifier: parts[3], Scopes: parts[4], Session: parts[5], ReturnTo: parts[6], Expires: time.Unix(expires, 0).UTC(),
	}
	if !LocalPath(login.ReturnTo) {
		login.ReturnTo = "/"
	}
	return login, true
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
	if err := rp.checkSupport(md); err != nil {
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
	options := []oauth2.AuthCodeOption{oidc.Nonce(login.Nonce), oauth2.S256ChallengeOption(login.Verifier)}
	if slices.Contains(rp.config.Scopes, oidc.ScopeOfflineAccess) { // else it may be dropped (OIDC Core 11)
		options = append(options, oauth2.SetAuthURLParam("prompt", "consent"))
	}
	if rp.config.FormPost {
		options = append(options, oauth2.SetAuthURLParam("response_mode", formPost))
	}
	location := rp.oauth2(md).AuthCodeURL(login.State, options...)
	if rp.config.Push || md.pushRequired {
		location, err = rp.push(ctx, md, location)
	}
	return login, location, err
}

// LoginCookie returns the name and value of the cookie for login. The name
// consists of prefix, the minute of expiry and a hash of the state.
func (rp *RelyingParty) LoginCookie(ctx context.Context, prefix string, login *Login) (name, value string, err error) {
	ring, err := rp.config.Keyring(ctx)
	if err != nil {
		return "", "", fmt.Errorf("sealing a login: %w", err)
	}
	name = prefix + loginName + strconv.FormatInt(login.Expires.Unix()/60, 36) + "_" + stateHash(login.State)
	return name, ring.SealText(sealLogin, login.text(), name), nil
}

// stateHash returns a short hash of a state for the name of its cookie.
func stateHash(state string) string {
	sum := sha256.Sum256([]byte(state))
	return hex.EncodeToString(sum[:8])
}

// FindLogin returns the login with the state of a response, and the name of its
// cookie. It returns ErrLoginUnknown if no cookie holds that login, and
// ErrLoginExpired, with both, if it has expired. Any other error means that
// the keyring is not available now.
func (rp *RelyingParty) FindLogin(ctx context.Context, prefix string, cookies []*http.Cookie, state string) (*Login, string, error) {
	if state == "" || len(state) > stateLimit {
		return nil, "", ErrLoginUnknown
	}
	var ring *keyring.Keyring
	for _, cookie := range cookies {
		if !strings.HasPrefix(cookie.Name, prefix+loginName) || !strings.HasSuffix(cookie.Name, "_"+stateHash(state)) {
			continue
		}
		if ring == nil {
			var err error
			if ring, err = rp.config.Keyring(ctx); err != nil {
				return nil, "", fmt.Errorf("opening a login: %w", err)
			}
		}
		plaintext, ok := ring.OpenText(sealLogin, cookie.Value, cookie.Name)
		login, parsed := parseLogin(plaintext)
		if !ok || !parsed || !sameSecret(login.State, state) {
			continue // only this browser's own state counts (https://datatracker.ietf.org/doc/html/rfc6749#section-10.12)
		}
		if rp.config.Now().After(login.Expires) {
			return login, cookie.Name, ErrLoginExpired
		}
		return login, cookie.Name, nil
	}
	return nil, "", ErrLoginUnknown
}

// LatestReturnTo returns where the latest of the logins among cookies leads, and
// "/" if there is none that can be opened.
func (rp *RelyingParty) LatestReturnTo(ctx context.Context, prefix string, cookies []*http.Cookie) string {
	logins := loginCookies(prefix, cookies)
	if len(logins) == 0 {
		return "/"
	}
	ring, err := rp.config.Keyring(ctx)
	if err != nil {
		return "/"
	}
	for _, cookie := range slices.Backward(logins) {
		if text, ok := ring.OpenText(sealLogin, cookie.Value, cookie.Name); ok {
			if login, ok := parseLogin(text); ok {
				return login.ReturnTo
			}
		}
	}
	return "/"
}

// SurplusLogins returns the names of the login cookies, oldest first, that the
// browser has to drop for another cookie of that many bytes. prefix is that of all of
// the caller's cookies: together they must not outgrow what servers accept, or a link
// of another site could lock the user out.
func SurplusLogins(prefix string, cookies []*http.Cookie, bytes int) []string {
	logins, others := loginCookies(prefix, cookies), OtherCookies(prefix, cookies)
	for _, cookie := range logins {
		bytes += len(cookie.Name) + len(cookie.Value)
	}
	var names []string
	for len(logins) > 0 && (bytes+others > CookiesLimit || bytes > loginsBytes && len(logins) >= minLogins) {
		oldest := logins[0]
		logins = logins[1:]
		bytes -= len(oldest.Name) + len(oldest.Value)
		names = append(names, oldest.Name)
	}
	return names
}

// OtherCookies returns how many bytes the caller's cookies have that hold no login.
func OtherCookies(prefix string, cookies []*http.Cookie) (bytes int) {
	for _, cookie := range cookies {
		if strings.HasPrefix(cookie.Name, prefix) && !strings.HasPrefix(cookie.Name, prefix+loginName) {
			bytes += len(cookie.Name) + len(cookie.Value)
		}
	}
	return bytes
}

// loginCookies returns the login cookies among cookies, oldest first.
func loginCookies(prefix string, cookies []*http.Cookie) []*http.Cookie {
	prefix += loginName
	var logins []*http.Cookie
	for _, cookie := range cookies {
		if strings.HasPrefix(cookie.Name, prefix) {
			logins = append(logins, cookie)
		}
	}
	minute := func(c *http.Cookie) int64 {
		text, _, _ := strings.Cut(strings.TrimPrefix(c.Name, prefix), "_")
		at, err := strconv.ParseInt(text, 36, 64)
		if err != nil {
			return 0 // not ours: the first to be dropped
		}
		return at
	}
	slices.SortStableFunc(logins, func(a, b *http.Cookie) int { return cmp.Compare(minute(a), minute(b)) })
	return logins
}

// sameSecret compares in constant time.
func sameSecret(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }
