// Sign-in through OpenID Connect, from the authorization request to the account.

package romm

import (
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

var errOIDCDisabled = detail{status: http.StatusInternalServerError, text: "OAuth disabled"}

// startLogin redirects the browser to the provider. It replaces a sign-in that is
// pending in the same session.
func (x *exchange) startLogin() error {
	if !x.options.OIDC.Enabled {
		return errOIDCDisabled
	}
	meta, err := x.provider.metadata(x.r.Context())
	if err != nil {
		return err
	}
	login := &pendingLogin{
		State: randomText(30), Nonce: randomText(20), RedirectURI: x.options.OIDC.RedirectURI,
		Expires: x.options.Now().Add(time.Hour).Unix(),
	}
	target, err := x.provider.authorizationURL(meta, login, x.version.claimRoles())
	if err != nil {
		return err
	}
	x.session.data.Login = login
	return x.redirect(http.StatusFound, target)
}

// finishLogin is the callback. Every violation of OAuth or OpenID Connect is an
// unhandled exception. The session is then not written, so the state of the
// sign-in stays valid.
func (x *exchange) finishLogin() error {
	if !x.options.OIDC.Enabled {
		return errOIDCDisabled
	}
	query := x.r.URL.Query()
	login := x.session.data.Login
	if query.Has("error") || login == nil || query.Get("state") != login.State || x.options.Now().Unix() > login.Expires {
		return errUnhandled
	}
	x.session.data.Login = nil
	meta, err := x.provider.metadata(x.r.Context())
	if err != nil {
		return err
	}
	answer, err := x.provider.redeem(x.r.Context(), meta, login, query.Get("code"))
	if err != nil {
		return err
	}
	if answer.IDToken == "" {
		return detail{status: http.StatusBadRequest, text: "Userinfo is missing from token."}
	}
	c, err := x.provider.verify(x.r.Context(), meta, answer, login.Nonce, x.options.Now())
	if err != nil {
		return err
	}
	u, err := x.accountFor(meta, c)
	if err != nil {
		return err
	}
	x.signIn(u)
	if x.options.OIDC.RPInitiatedLogout && x.version.atLeast(4, 8, 0) {
		x.session.data.IDToken = answer.IDToken
	}
	return x.redirect(http.StatusTemporaryRedirect, "/")
}

// signIn signs the user in to the current session, which keeps its id.
func (x *exchange) signIn(u User) {
	x.session.data.Issuer, x.session.data.Subject = sessionIssuer, u.Username
	if x.version.webDevices() {
		x.session.data.DeviceID = x.accounts.webDevice(u, x.clientHost(), browserName(x.r.UserAgent()))
	}
	_, _ = x.accounts.update(u.ID, func(u *User) { u.LastLogin = x.options.Now() })
}

// accountFor maps claims to an account. The email address is the only link. The
// roles claim overwrites the role, the last administrator's too.
func (x *exchange) accountFor(meta *providerMetadata, c claims) (User, error) {
	refuse := func(status int, text string) (User, error) { return User{}, detail{status: status, text: text} }
	if c["email"] == nil {
		return refuse(http.StatusBadRequest, "Email is missing from token.")
	}
	email, ok := c["email"].(string)
	if !ok {
		return User{}, errUnhandled
	}
	verified := c["email_verified"]
	if verified == false || slices.Contains(meta.Claims, "email_verified") && verified != true {
		return refuse(http.StatusBadRequest, "Email is not verified.")
	}
	name, err := x.claimedName(c)
	if err != nil {
		return User{}, err
	}
	role, claimed, err := x.claimedRole(c)
	if err != nil {
		return User{}, err
	}
	u, found := x.accounts.byEmail(email)
	switch {
	case !found && !x.options.OIDC.mayRegister(x.version):
		return refuse(http.StatusForbidden,
			"User registration is disabled. Please contact an administrator to create an account.")
	case !found && name == "":
		return User{}, errUnhandled
	case !found: // up to 5.2, a taken name is an exception of the database
		u, err = x.accounts.add(User{Username: name, Email: strings.ToLower(email), Role: role, Created: x.options.Now()})
		if errors.Is(err, errUserExists) && x.version.takenNamesRefused() {
			return refuse(http.StatusConflict, fmt.Sprintf("Username '%s' is already taken. Please contact an administrator.", name))
		}
	case claimed && u.Role != role:
		u, err = x.accounts.update(u.ID, func(u *User) { u.Role = role })
	}
	if err != nil {
		return User{}, err
	}
	if u.Disabled {
		return refuse(http.StatusUnauthorized, "Disabled user")
	}
	return u, nil
}

func (x *exchange) claimedName(c claims) (string, error) {
	attribute := "preferred_username"
	if x.version.atLeast(4, 5, 0) {
		attribute = x.options.OIDC.UsernameAttribute
		if c[attribute] == nil {
			return "", detail{
				status: http.StatusBadRequest,
				text:   fmt.Sprintf("'%s' attribute is missing from token.", attribute),
			}
		}
	}
	name, _ := c[attribute].(string)
	return name, nil
}

// claimedRole returns the role that the claims grant, and whether it replaces the
// account's role.
func (x *exchange) claimedRole(c claims) (role string, claimed bool, err error) {
	oidc, lowest := x.options.OIDC, x.version.lowestRole()
	if oidc.ClaimRoles == "" || !x.version.claimRoles() {
		return lowest, false, nil
	}
	roles, given := c[oidc.ClaimRoles]
	if !given {
		return lowest, !x.version.absentClaimKeepsRole(), nil
	}
	if falsy(roles) {
		roles = []any{}
	}
	editor := roleEditor
	if x.version.twoRoles() {
		editor = lowest
	}
	for _, grant := range []struct{ value, role string }{
		{oidc.RoleAdmin, roleAdmin}, {oidc.RoleEditor, editor}, {oidc.RoleViewer, lowest},
	} {
		if grant.value == "" {
			continue
		}
		granted, err := has(roles, grant.value)
		if err != nil {
			return "", false, err
		}
		if granted {
			return grant.role, true, nil
		}
	}
	if oidc.RoleViewer == "*" {
		return lowest, true, nil
	}
	return "", false, detail{
		status: http.StatusForbidden, text: "User has not been granted any roles for this application.",
	}
}

// browserName returns the name of a web device, from its User-Agent.
func browserName(agent string) string {
	first := func(names ...string) string {
		for i := 0; i < len(names); i += 2 {
			if strings.Contains(agent, names[i]) {
				return names[i+1]
			}
		}
		return ""
	}
	browser := first("Edg/", "Edge", "Firefox/", "Firefox", "Chrome/", "Chrome", "Safari/", "Safari")
	system := first("Android", "Android", "iPhone", "iOS", "Windows", "Windows", "Mac OS", "macOS", "Linux", "Linux")
	switch {
	case browser == "":
		product, _, _ := strings.Cut(agent, " ")
		return product
	case system == "":
		return browser
	}
	return browser + " on " + system
}

func randomText(length int) string {
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
	text := make([]byte, 0, length)
	var b [1]byte
	for len(text) < length {
		_, _ = rand.Read(b[:]) // never fails (crypto/rand)
		if int(b[0]) < 4*len(letters) {
			text = append(text, letters[int(b[0])%len(letters)])
		}
	}
	return string(text)
}
