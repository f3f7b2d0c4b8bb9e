// Sign-in with a password, logout, RomM's own token endpoint and password resets.

package romm

import (
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	tokenIssuer      = "romm:oauth" //nolint:gosec // a name
	accessTokenLife  = 30 * time.Minute
	refreshTokenLife = 7 * 24 * time.Hour
)

func signInRoutes() []route {
	return []route{
		{methods: "POST", pattern: "/api/login", serve: (*exchange).login},
		{methods: "POST", pattern: "/api/logout", serve: (*exchange).logout},
		{methods: "POST", pattern: "/api/token", serve: (*exchange).token},
		{methods: "GET", pattern: "/api/login/openid", serve: (*exchange).startLogin},
		{methods: "GET", pattern: "/api/oauth/openid", serve: (*exchange).finishLogin},
		{methods: "POST", pattern: "/api/forgot-password", serve: (*exchange).forgotPassword},
		{methods: "POST", pattern: "/api/reset-password", serve: (*exchange).resetPassword},
	}
}

// login accepts a password whatever DISABLE_USERPASS_LOGIN says.
func (x *exchange) login() error {
	name, password, ok := x.r.BasicAuth()
	if !ok {
		return detail{status: http.StatusUnauthorized, text: "Not authenticated", header: "Basic"}
	}
	u, ok, err := x.checkPassword(name, password)
	switch {
	case err != nil:
		return err
	case !ok:
		return detail{status: http.StatusUnauthorized, text: "Incorrect username or password"}
	case u.Disabled:
		return detail{status: http.StatusUnauthorized, text: "Disabled user"}
	}
	x.signIn(u)
	return x.json(http.StatusOK, map[string]string{"msg": "Successfully logged in"})
}

// logout clears this session. A request that is still in flight revives it.
func (x *exchange) logout() error {
	idToken := x.session.data.IDToken
	x.session.data = sessionData{}
	body := map[string]string{"msg": "Successfully logged out"}
	if idToken != "" {
		if meta, err := x.provider.metadata(x.r.Context()); err == nil && meta.EndSessionEndpoint != "" {
			body["oidc_logout_url"] = meta.EndSessionEndpoint + "?" + ordered("id_token_hint", idToken)
		}
	}
	return x.json(http.StatusOK, body)
}

// token is RomM's own OAuth endpoint: password and refresh_token grants, exempt
// from CSRF.
func (x *exchange) token() error {
	if err := x.r.ParseForm(); err != nil {
		return detail{status: http.StatusUnprocessableEntity, text: "Field required"}
	}
	form := x.r.PostForm
	switch form.Get("grant_type") {
	case "password":
		return x.passwordGrant(form)
	case "refresh_token":
		return x.refreshGrant(form.Get("refresh_token"))
	}
	return detail{status: http.StatusBadRequest, text: "Invalid or unsupported grant type"}
}

func (x *exchange) passwordGrant(form url.Values) error {
	if form.Get("username") == "" || form.Get("password") == "" {
		return detail{status: http.StatusBadRequest, text: "Missing username or password"}
	}
	u, ok, err := x.checkPassword(form.Get("username"), form.Get("password"))
	switch {
	case err != nil:
		return err
	case !ok:
		return detail{status: http.StatusUnauthorized, text: "Invalid username or password"}
	case u.Disabled:
		return detail{status: http.StatusUnauthorized, text: "Disabled user"}
	}
	scopes := strings.Fields(form.Get("scope"))
	if len(intersect(scopes, x.scopesOf(u))) < len(scopes) {
		return detail{status: http.StatusForbidden, text: "Insufficient scope"}
	}
	return x.grant(u.Username, strings.Join(scopes, " "))
}

func (x *exchange) refreshGrant(raw string) error {
	invalid := detail{status: http.StatusUnauthorized, text: "Could not validate credentials", header: "Bearer"}
	c, err := x.openToken(raw)
	if err != nil || c["iss"] != tokenIssuer || c["type"] != "refresh" {
		return invalid
	}
	jti, _ := c["jti"].(string)
	name, _ := c["sub"].(string)
	scopes, _ := c["scopes"].(string)
	u, found := x.accounts.byName(name)
	if _, fresh := x.tokens.refresh.take(jti, x.options.Now()); !fresh || !found || u.Disabled {
		return invalid
	}
	return x.grant(u.Username, scopes)
}

func (x *exchange) grant(user, scopes string) error {
	now := x.options.Now()
	mint := func(kind string, life time.Duration, more map[string]any) string {
		c := map[string]any{
			"sub": user, "iss": tokenIssuer, "scopes": scopes, "type": kind, "exp": now.Add(life).Unix(),
		}
		maps.Copy(c, more)
		return x.sign(c)
	}
	jti := uuid4()
	x.tokens.refresh.put(jti, user, now.Add(refreshTokenLife))
	return x.json(http.StatusOK, map[string]any{
		"access_token": mint("access", accessTokenLife, nil), "token_type": "bearer", "expires": int(accessTokenLife.Seconds()),
		"refresh_token":      mint("refresh", refreshTokenLife, map[string]any{"jti": jti}),
		"refresh_expires_in": int(refreshTokenLife.Seconds()),
	})
}

// forgotPassword writes a link to RomM's log. The response does not tell whether
// the user exists.
func (x *exchange) forgotPassword() error {
	var body struct{ Username string }
	if err := x.decode(&body); err != nil {
		return err
	}
	if u, found := x.accounts.byName(body.Username); found {
		x.resets.put(randomHex(16), u.Username, x.options.Now().Add(10*time.Minute))
	}
	return x.json(http.StatusOK, nil)
}

// resetPassword ends all sessions of the account.
func (x *exchange) resetPassword() error {
	var body struct {
		Token       string `json:"token"`
		NewPassword string `json:"new_password"`
	}
	if err := x.decode(&body); err != nil {
		return err
	}
	name, ok := x.resets.take(body.Token, x.options.Now())
	if !ok {
		return detail{status: http.StatusBadRequest, text: "Invalid token"}
	}
	x.ResetPassword(name, body.NewPassword)
	return x.json(http.StatusOK, nil)
}

// ResetToken returns the token in the last link that POST /api/forgot-password
// wrote to the log for the user, or "".
func (s *Server) ResetToken(user string) string { return s.resets.last(user) }

// ResetPassword does what the link in RomM's log does: it sets the user's password
// and ends all their sessions.
func (s *Server) ResetPassword(user, password string) {
	s.SetPassword(user, password)
	s.dropSessionsOf(user)
}

// oneTime holds secrets that work once: links, codes, refresh tokens. Its zero
// value is empty.
type oneTime struct {
	mu      sync.Mutex
	secrets []oneTimeSecret
}

type oneTimeSecret struct {
	secret, value string
	expires       time.Time
}

func (o *oneTime) put(secret, value string, expires time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.secrets = append(o.secrets, oneTimeSecret{secret, value, expires})
}

func (o *oneTime) peek(secret string, now time.Time) (string, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, known := range o.secrets {
		if known.secret == secret && now.Before(known.expires) {
			return known.value, true
		}
	}
	return "", false
}

func (o *oneTime) take(secret string, now time.Time) (string, bool) {
	value, ok := o.peek(secret, now)
	o.mu.Lock()
	defer o.mu.Unlock()
	before := len(o.secrets)
	o.secrets = slices.DeleteFunc(o.secrets, func(known oneTimeSecret) bool { return known.secret == secret })
	return value, ok && len(o.secrets) < before
}

func (o *oneTime) last(value string) string {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, known := range slices.Backward(o.secrets) {
		if strings.EqualFold(known.value, value) {
			return known.secret
		}
	}
	return ""
}
