// RomM's accounts and sessions, through its API.

package romm

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/romm-oidc/caddy-romm-oidc/flow/span"
	"github.com/romm-oidc/caddy-romm-oidc/handler/application"
	"github.com/romm-oidc/caddy-romm-oidc/handler/request"
)

// account is the part of a RomM user that the gate reads.
type account struct {
	ID        int                `json:"id"`
	Username  string             `json:"username"`
	Email     string             `json:"email"`
	Role      string             `json:"role"`
	Enabled   bool               `json:"enabled"`
	Scopes    optional[[]string] `json:"oauth_scopes"`
	Created   string             `json:"created_at"`
	LastLogin optional[string]   `json:"last_login"`
}

// created is when RomM made the account, without the time zone, which not every
// release reports.
func (u *account) created() string {
	return u.Created[:min(len(u.Created), len("2006-01-02T15:04:05"))]
}

// valid reports whether u is an account: the user of kiosk mode is not one.
func (u *account) valid() bool { return u.ID > 0 && u.Username != "" }

// key names the account for good. Its ID alone does not: after RomM's database
// was recreated, another account has it.
func (u *account) key() string { return strconv.Itoa(u.ID) + " " + u.created() }

// accountOf is the account with this key.
func accountOf(key string) (*account, error) {
	number, created, _ := strings.Cut(key, " ")
	id, err := strconv.Atoi(number)
	if err != nil {
		return nil, fmt.Errorf("reading the key of an account: %w", err)
	}
	return &account{ID: id, Created: created}, nil
}

// The response about one account, and about all, in bytes. Users choose how much
// settings they store, so the limits are generous: an account that is too large
// to read would keep its role.
const (
	accountLimit  = 1 << 20
	accountsLimit = 16 << 20
)

// whoIs returns the account of session or, if that is empty, of the credential
// that call adds.
func (a *App) whoIs(ctx context.Context, call application.Caller, session string) (*account, error) {
	return a.account(ctx, call, "/api/users/me", session)
}

// account returns the account at path, read with session.
func (a *App) account(ctx context.Context, call application.Caller, path, session string) (*account, error) {
	asked := application.Call{Method: http.MethodGet, Target: path, Limit: accountLimit}
	if session != "" {
		asked.Cookie = sessionCookie + "=" + session
	}
	answer, err := call(ctx, asked)
	if err != nil {
		return nil, errUnreachable.Because(err)
	}
	return accountIn("GET "+path, answer)
}

// accountIn reads the account in answer, the response to the request what. With
// an error it returns the account if the response has one that is not valid.
func accountIn(what string, answer *application.Answer) (*account, error) {
	if answer.Cut {
		return nil, errAccountTooLarge.Because(seen(what, answer))
	}
	var user account
	if err := decode(what, answer, &user); err != nil {
		return nil, err
	}
	if !user.valid() {
		return &user, unexpected(what, answer)
	}
	return &user, nil
}

// otherAdmins reports whether RomM has an enabled administrator other than user.
func (a *App) otherAdmins(ctx context.Context, call application.Caller, session string, user *account) (bool, error) {
	const what = "GET /api/users"
	answer, err := call(ctx, application.Call{
		Method: http.MethodGet, Target: "/api/users", Cookie: sessionCookie + "=" + session, Limit: accountsLimit,
	})
	if err != nil {
		return false, errUnreachable.Because(err)
	}
	isOther := func(other optional[account]) bool { // one that cannot be read is no administrator
		return other.value.valid() && other.value.ID != user.ID && other.value.Role == RoleAdmin && other.value.Enabled
	}
	if answer.Cut { // users must not keep another one from losing a role by making their own accounts large
		if slices.ContainsFunc(firstElements[optional[account]](answer.Body), isOther) {
			return true, nil
		}
		return false, errAccountTooLarge.Because(seen(what, answer))
	}
	var users []optional[account]
	if err := decode(what, answer, &users); err != nil {
		return false, err
	}
	return slices.ContainsFunc(users, isOther), nil
}

// Confirm asks RomM whether session is alive and still belongs to its account:
// RomM's session holds a user name, and that name may be another account's by
// now. The status does not tell whether it is alive: in kiosk mode RomM answers
// 200 to a dead session, too.
func (a *App) Confirm(ctx context.Context, call application.Caller, session application.Session) (alive bool, role string, err error) {
	ctx, end := span.Start(ctx, SpanConfirm)
	answer, err := call(ctx, application.Call{
		Method: http.MethodGet, Target: "/api/users/me", Cookie: sessionCookie + "=" + session.ID, Limit: accountLimit,
	})
	end(err)
	if err != nil {
		return false, "", err
	}
	switch a.Filter(answer.Header, true, new([1]string)) {
	case application.Alive:
		var user struct {
			ID      int              `json:"id"`
			Created string           `json:"created_at"`
			Role    optional[string] `json:"role"`
		}
		if answer.Cut {
			return false, "", unexpected("GET /api/users/me", answer)
		}
		if err := decode("GET /api/users/me", answer, &user); err != nil {
			return false, "", err
		}
		return (&account{ID: user.ID, Created: user.Created}).key() == session.Account, user.Role.value, nil
	case application.Forgotten:
		return false, "", nil
	case application.Unknown:
		if denies(answer) {
			return false, "", nil
		}
	}
	return false, "", unexpected("GET /api/users/me", answer)
}

// denies reports whether RomM itself refused. RomM before 4.5 sends no cookie for
// a session that it signed with another key, which happens after a restart if
// none is configured.
func denies(answer *application.Answer) bool {
	return (answer.Status == http.StatusUnauthorized || answer.Status == http.StatusForbidden) &&
		strings.Contains(string(answer.Body), `"detail"`)
}

// noCredentials makes RomM skip its CSRF check, for which the gate has no token.
// It is an empty user name and password: RomM ignores it next to a signed-in
// session, and refuses it otherwise. A bearer token would not work, because RomM
// answers 500 to one that it cannot read.
const noCredentials = "Basic Og==" //nolint:gosec // not a credential

// Unforgeable makes r, which has a session, pass RomM's CSRF check. Releases up to
// 5.2 skip the check for a request with credentials. Later ones do not if it has a
// session, so a request that changes something gets a CSRF token there.
func (a *App) Unforgeable(ctx context.Context, call application.Caller, r *http.Request) error {
	if request.IsSafe(r.Method) || !a.isWithin(v521, version{}) {
		r.Header["Authorization"] = []string{noCredentials}
		return nil
	}
	session := r.Header.Get("Cookie")
	token, err := csrfToken(ctx, call, session)
	if err != nil {
		return errUnreachable.Because(err)
	}
	r.Header["Cookie"] = []string{session + "; " + csrfCookie + "=" + token}
	r.Header["X-Csrftoken"] = []string{token}
	return nil
}

// csrfToken returns a CSRF token for the session in cookie, the value of a Cookie
// header field. The token is empty if RomM is configured to require none.
func csrfToken(ctx context.Context, call application.Caller, cookie string) (string, error) {
	answer, err := call(ctx, application.Call{Method: http.MethodGet, Target: "/api/heartbeat", Cookie: cookie})
	if err != nil {
		return "", err
	}
	return cookieOf(answer, csrfCookie), nil
}

// SignOut ends session in RomM.
func (a *App) SignOut(ctx context.Context, call application.Caller, session string) error {
	if session == "" {
		return nil
	}
	_, err := a.write(ctx, call, application.Call{Method: http.MethodPost, Target: "/api/logout", Cookie: sessionCookie + "=" + session})
	return err
}

// write sends change, which has a session, past RomM's CSRF check.
func (a *App) write(ctx context.Context, call application.Caller, change application.Call) (*application.Answer, error) {
	change.Header = http.Header{"Authorization": {noCredentials}}
	answer, err := call(ctx, change)
	if err != nil || answer.Status != http.StatusForbidden {
		return answer, err
	}
	// RomM after 5.2 checks the CSRF token of a request with a session, whatever its credentials.
	token, err := csrfToken(ctx, call, change.Cookie)
	if err != nil {
		return nil, err
	}
	change.Cookie += "; " + csrfCookie + "=" + token
	change.Header = http.Header{"X-Csrftoken": {token}}
	return call(ctx, change)
}

// sessionOf returns the last session that answer sets. It is empty if answer sets
// none, or ends it. RomM before 4.5 stores the session in the cookie itself, so
// only the newest cookie is good.
func sessionOf(answer *application.Answer) string {
	session := cookieOf(answer, sessionCookie)
	if session == "null" {
		return ""
	}
	return session
}

// cookieOf returns the last value that answer sets for the cookie name, empty if
// it sets none.
func cookieOf(answer *application.Answer, name string) string {
	value := ""
	for _, line := range answer.Header["Set-Cookie"] {
		if cookie, err := http.ParseSetCookie(line); err == nil && cookie.Name == name {
			value = cookie.Value
		}
	}
	return value
}
