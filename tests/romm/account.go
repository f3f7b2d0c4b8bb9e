// The user API: accounts, their creation and invitations.

package romm

import (
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"
)

var usernameShape = regexp.MustCompile(`^[A-Za-z0-9_-]{3,}$`)

func userRoutes() []route {
	const one = "/api/users/{id}"
	return []route{
		{methods: "POST", pattern: "/api/users", serve: (*exchange).createUser},
		{methods: "POST", pattern: "/api/users/invite-link", serve: (*exchange).invite},
		{methods: "POST", pattern: "/api/users/register", from: "3.10.0", serve: (*exchange).register},
		{methods: "GET", pattern: "/api/users", scope: "users.read", serve: (*exchange).listUsers},
		{methods: "GET", pattern: "/api/users/me", scope: "me.read", serve: (*exchange).me},
		{methods: "GET", pattern: "/api/users/identifiers", scope: "users.read", from: "4.9.0", serve: (*exchange).userIdentifiers},
		{methods: "GET", pattern: one, scope: "users.read", serve: (*exchange).readUser},
		{methods: "GET", pattern: one + "/avatar", scope: "assets.read", serve: serveCover},
		{methods: "PUT", pattern: one, scope: "me.write", serve: (*exchange).updateUser},
		{methods: "DELETE", pattern: one, scope: "users.write", serve: (*exchange).deleteUser},
	}
}

// userJSON returns a user as this release shows it.
func (x *exchange) userJSON(u User) map[string]any {
	body := map[string]any{
		"id": u.ID, "username": u.Username, "email": u.Email, "enabled": !u.Disabled, "role": u.Role,
		"oauth_scopes": x.scopesOf(u), "avatar_path": "", "last_login": nil, "last_active": nil,
		"created_at": u.Created.UTC().Truncate(time.Second), "updated_at": u.Created.UTC().Truncate(time.Second),
	}
	if !u.LastLogin.IsZero() {
		body["last_login"], body["last_active"] = u.LastLogin.UTC(), u.LastLogin.UTC()
	}
	if x.version.atLeast(4, 4, 0) {
		body["ra_username"], body["ra_progression"] = nil, nil
	}
	if x.version.atLeast(4, 6, 0) {
		body["ui_settings"] = nil
		if u.UISettings != "" {
			body["ui_settings"] = json.RawMessage(u.UISettings)
		}
	}
	if x.version.webDevices() {
		body["current_device_id"] = nil
		if x.user != nil && x.user.ID == u.ID && x.deviceID != "" {
			body["current_device_id"] = x.deviceID
		}
	}
	if x.version.atLeast(5, 0, 0) {
		body["permission_group_id"] = nil
	}
	return body
}

func (x *exchange) me() error { return x.json(http.StatusOK, x.userJSON(*x.user)) }

func (x *exchange) listUsers() error {
	all := x.accounts.all()
	list := make([]map[string]any, 0, len(all))
	for _, u := range all {
		list = append(list, x.userJSON(u))
	}
	return x.json(http.StatusOK, list)
}

func (x *exchange) userIdentifiers() error {
	all := x.accounts.all()
	ids := make([]int, 0, len(all))
	for _, u := range all {
		ids = append(ids, u.ID)
	}
	return x.json(http.StatusOK, ids)
}

func (x *exchange) readUser() error {
	u, err := x.pathUser()
	if err != nil {
		return err
	}
	return x.json(http.StatusOK, x.userJSON(u))
}

func (x *exchange) pathUser() (User, error) {
	id, err := x.id()
	if err != nil {
		return User{}, err
	}
	u, found := x.accounts.byID(id)
	if !found {
		return User{}, detail{status: http.StatusNotFound, text: fmt.Sprintf("User with id '%d' not found", id)}
	}
	return u, nil
}

// createUser is open to anonymous requests until there is an administrator,
// whatever DISABLE_SETUP_WIZARD says. After that it returns 403, never 401.
func (x *exchange) createUser() error {
	if x.accounts.hasAdmin() && x.need("users.write") != nil {
		return errForbidden
	}
	var body struct{ Username, Password, Email, Role string }
	if x.version.atLeast(4, 0, 0) {
		if err := x.decode(&body); err != nil {
			return err
		}
	} else {
		query := x.r.URL.Query()
		body.Username, body.Password = query.Get("username"), query.Get("password")
		body.Email, body.Role = query.Get("email"), query.Get("role")
	}
	role, err := x.roleOf(body.Role)
	if err != nil {
		return err
	}
	return x.create(User{Username: body.Username, Password: body.Password, Email: body.Email, Role: role})
}

// roleOf reads a role. From 5.0 every role except admin is user. Before 5.0 an
// unknown role is an exception.
func (x *exchange) roleOf(word string) (string, error) {
	word = strings.ToLower(word)
	switch {
	case word == roleAdmin:
		return word, nil
	case x.version.twoRoles():
		return x.version.lowestRole(), nil
	case word == roleEditor || word == "viewer":
		return word, nil
	}
	return "", errUnhandled
}

func (x *exchange) create(u User) error {
	if !usernameShape.MatchString(u.Username) {
		return detail{status: http.StatusBadRequest, text: "Username must be at least 3 characters of letters, numbers, underscores or hyphens"}
	}
	u.Username, u.Email, u.Created = strings.ToLower(u.Username), strings.ToLower(u.Email), x.options.Now()
	added, err := x.accounts.add(u)
	if errors.Is(err, errUserExists) {
		return detail{status: http.StatusBadRequest, text: fmt.Sprintf("Username %s already exists", u.Username)}
	}
	return x.json(http.StatusCreated, x.userJSON(added))
}

// changedProfile returns u with what users may change of themselves.
func (x *exchange) changedProfile(u User, form url.Values) (User, error) {
	changed := u
	if name := strings.ToLower(form.Get("username")); name != "" && name != u.Username {
		if !usernameShape.MatchString(name) {
			return u, detail{status: http.StatusBadRequest, text: "Username must be at least 3 characters of letters, numbers, underscores or hyphens"}
		}
		changed.Username = name
	}
	if password := form.Get("password"); password != "" {
		changed.Password = password
	}
	if form.Has("email") {
		changed.Email = strings.ToLower(form.Get("email"))
	}
	if settings := form.Get("ui_settings"); settings != "" && x.version.atLeast(4, 6, 0) {
		if !json.Valid([]byte(settings)) {
			return u, errUnhandled
		}
		changed.UISettings = settings
	}
	return changed, nil
}

// updateUser reads a form, or before 4.0 the query. Users cannot change their own
// role or enabled flag, and from 5.0 the last administrator stays one.
func (x *exchange) updateUser() error {
	u, err := x.pathUser()
	if err != nil {
		return err
	}
	own, admin := u.ID == x.user.ID, x.user.Role == roleAdmin
	if !own && !admin {
		return errForbidden
	}
	form, err := x.form()
	if err != nil {
		return err
	}
	changed, err := x.changedProfile(u, form)
	if err != nil {
		return err
	}
	if admin && !own {
		if err := x.applyRights(&changed, form); err != nil {
			return err
		}
	}
	updated, err := x.accounts.update(u.ID, func(u *User) { *u = changed })
	if err != nil {
		return detail{status: http.StatusBadRequest, text: fmt.Sprintf("Username %s already exists", changed.Username)}
	}
	if updated.Username != u.Username || updated.Password != u.Password {
		if own {
			x.session.data = sessionData{}
		}
		if x.version.sessionsOfAUser() {
			x.dropSessionsOf(u.Username)
		}
	}
	if updated.Role != u.Role {
		x.sockets.broadcast(mainSockets, "permissions:changed", map[string]any{})
	}
	return x.json(http.StatusOK, x.userJSON(updated))
}

func (x *exchange) applyRights(u *User, form url.Values) error {
	if word := form.Get("role"); word != "" {
		role, err := x.roleOf(word)
		if err != nil {
			return err
		}
		if u.Role == roleAdmin && role != roleAdmin && x.version.twoRoles() && x.accounts.admins() == 1 {
			return detail{status: http.StatusBadRequest, text: "Cannot demote the last admin"}
		}
		u.Role = role
	}
	if form.Has("enabled") {
		u.Disabled = !strings.EqualFold(form.Get("enabled"), "true") && form.Get("enabled") != "1"
	}
	return nil
}

// form reads urlencoded and multipart bodies, or before 4.0 the query.
func (x *exchange) form() (url.Values, error) {
	if !x.version.atLeast(4, 0, 0) {
		return x.r.URL.Query(), nil
	}
	x.r.Body = http.MaxBytesReader(x.reply, x.r.Body, 16<<20)
	var err error
	if kind, _, _ := mime.ParseMediaType(x.r.Header.Get("Content-Type")); kind == "multipart/form-data" {
		err = x.r.ParseMultipartForm(1 << 20)
	} else {
		err = x.r.ParseForm()
	}
	if err != nil {
		return nil, detail{status: http.StatusUnprocessableEntity, text: "Field required"}
	}
	return x.r.PostForm, nil
}

func (x *exchange) deleteUser() error {
	u, err := x.pathUser()
	switch {
	case err != nil:
		return err
	case u.ID == x.user.ID:
		return detail{status: http.StatusBadRequest, text: "You can't delete yourself"}
	case u.Role == roleAdmin && x.accounts.admins() == 1:
		return detail{status: http.StatusBadRequest, text: "You can't delete the last admin user"}
	}
	x.accounts.remove(u.ID)
	return x.json(http.StatusOK, nil)
}

// invite is open until there is an administrator, but an anonymous request then
// fails because it has no user name.
func (x *exchange) invite() error {
	if x.accounts.hasAdmin() && x.need("users.write") != nil {
		return errForbidden
	}
	if x.user == nil {
		return errUnhandled
	}
	role, err := x.roleOf(x.r.URL.Query().Get("role"))
	if err != nil {
		return err
	}
	token := randomHex(32)
	x.invites.put(token, role, x.options.Now().Add(10*time.Minute))
	return x.json(http.StatusCreated, map[string]string{"token": token, "url": "/register?token=" + token})
}

func (x *exchange) register() error {
	var body struct{ Username, Password, Email, Token string }
	if err := x.decode(&body); err != nil {
		return err
	}
	role, ok := x.invites.take(body.Token, x.options.Now())
	if !ok {
		return detail{status: http.StatusBadRequest, text: "Invalid token"}
	}
	return x.create(User{Username: body.Username, Password: body.Password, Email: body.Email, Role: role})
}
